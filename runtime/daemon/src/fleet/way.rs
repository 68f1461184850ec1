//! How other workers are reached: one client for all of them, made anew when the token or the authority changes.

use crate::client::{Daemon, Place};
use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub struct Way {
    look: Box<dyn Fn() -> Result<Place, String> + Send + Sync>,
    answer_max: Duration,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    /// With the content of the authority's file.
    of: Option<(Place, Vec<u8>)>,
    daemon: Option<Daemon>,
    trouble: Option<String>,
}

impl Way {
    /// `look`: what is configured now; its url is the scheme alone.
    pub fn new(look: impl Fn() -> Result<Place, String> + Send + Sync + 'static, answer_max: Duration) -> Way {
        let way = Way { look: Box::new(look), answer_max, made: Mutex::default() };
        way.renew();
        way
    }

    /// Looks whether something changed. What cannot be used leaves in force what was before.
    pub fn renew(&self) {
        let mut made = self.made();
        let trouble = self.try_renew(&mut made).err();
        if trouble.is_some() && trouble != made.trouble {
            tracing::warn!(trouble, event = "peers-unusable", "other workers cannot be asked as rest.peers says");
        }
        made.trouble = trouble;
    }

    fn try_renew(&self, made: &mut Made) -> Result<(), String> {
        let place = (self.look)()?;
        let read =
            |path: &PathBuf| fs::read(path).map_err(|error| format!("rest.peers.ca, {}: {error}", path.display()));
        let authority = place.ca.as_ref().map(read).transpose()?.unwrap_or_default();
        let of = (place, authority);
        if made.of.as_ref() != Some(&of) {
            made.daemon = Some(Daemon::patient(&of.0, self.answer_max).map_err(|error| error.to_string())?);
            made.of = Some(of);
        }
        Ok(())
    }

    pub fn to(&self, peer: &str) -> Result<Daemon, String> {
        let made = self.made();
        let daemon = made.daemon.as_ref().map(|daemon| daemon.of_host(peer));
        daemon.ok_or_else(|| made.trouble.clone().unwrap_or_default())
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_client_is_kept_until_the_token_or_the_authority_changes_and_over_an_authority_that_cannot_be_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let (ca, one) = (folder.path().join("ca.pem"), include_str!("../../tests/steering/tls/ca.pem"));
        let write = |text: &str| fs::write(&ca, text).expect("written");
        write(one);
        let token = Arc::new(Mutex::new("first"));
        let (said, path) = (Arc::clone(&token), ca.clone());
        let look = move || {
            let token = Some((*said.lock().unwrap_or_else(PoisonError::into_inner)).to_owned());
            Ok(Place { url: "https".to_owned(), token, ca: Some(path.clone()), json: true })
        };
        let way = Way::new(look, Duration::from_secs(1));
        let made_of = || way.made().of.clone().map(|(place, authority)| (place.token, authority.len()));
        let first = made_of();
        assert!(first.is_some() && way.to("a:1").is_ok());
        way.renew();
        assert_eq!(made_of(), first);
        write("nothing");
        way.renew();
        assert!(made_of() == first && way.to("a:1").is_ok() && way.made().trouble.is_some());
        write(&format!("{one}\n"));
        way.renew();
        assert!(made_of() != first && way.made().trouble.is_none());
        *token.lock().unwrap_or_else(PoisonError::into_inner) = "second";
        way.renew();
        assert_eq!(made_of().and_then(|(token, _)| token).as_deref(), Some("second"));
    }
}
