//! Do the laws find a config log that breaks them? One in memory, sound or with one flaw.

use outflow_api::{ConfigLog, ConfigRevision, Fault, Forgotten, Publication, Revision};
use outflow_conformance::config_log::{self, Harness};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const ENTRIES_MAX: usize = 100_000;
const ENTRY_BYTES_MAX: usize = 900 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    None,
    TakesAnyNumber,
    TakesTheNewestAgain,
    KeepsWhatItRefuses,
    TakesAnySize,
    ForgetsWhatIsGone,
    ShowsHalf,
    AnswersTwice,
    BeginsAtTheEnd,
    IsAlwaysCurrent,
    Swaps,
    ForgetsTooMuch,
    ForgetsWhereItForgot,
}

#[derive(Default)]
struct Store {
    published: Mutex<Vec<ConfigRevision>>,
    forgotten: AtomicU64,
    changed: Condvar,
}

impl Store {
    fn published(&self) -> MutexGuard<'_, Vec<ConfigRevision>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Memory {
    store: Arc<Store>,
    flaw: Flaw,
}

struct Log {
    store: Arc<Store>,
    flaw: Flaw,
    /// How many there were when it was opened.
    end: usize,
    read: usize,
}

impl Harness for Memory {
    fn open(&self) -> Box<dyn ConfigLog> {
        let (store, flaw, end) = (Arc::clone(&self.store), self.flaw, self.store.published().len());
        let read = if flaw == Flaw::BeginsAtTheEnd { end } else { 0 };
        Box::new(Log { store, flaw, end, read })
    }
}

fn is_too_large(ConfigRevision { entries, .. }: &ConfigRevision) -> bool {
    let bytes = |content: &Option<bytes::Bytes>| content.as_ref().map_or(0, bytes::Bytes::len);
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.object.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.len() < entries.len()
        || entries.len() > ENTRIES_MAX
        || names.iter().any(|name| name.is_empty() || name.len() > 1_000)
        || entries.iter().any(|entry| entry.object.len() + bytes(&entry.content) + 10 > ENTRY_BYTES_MAX)
        || entries.iter().map(|entry| bytes(&entry.content)).sum::<usize>() > 256 << 20
}

impl ConfigLog for Log {
    fn read(&mut self, wait: Duration) -> Result<Vec<ConfigRevision>, Fault> {
        let published = self.store.published();
        let waiting = |published: &mut Vec<ConfigRevision>| published.len() <= self.read && self.read >= self.end;
        let published = self.store.changed.wait_timeout_while(published, wait, waiting);
        let published = published.unwrap_or_else(PoisonError::into_inner).0;
        let mut found = published[self.read.min(published.len())..].to_vec();
        self.read = published.len();
        match self.flaw {
            Flaw::AnswersTwice if found.len() > 1 => self.read -= 1,
            Flaw::ForgetsWhatIsGone => {
                found.iter_mut().for_each(|revision| revision.entries.retain(|entry| entry.content.is_some()));
            }
            Flaw::ShowsHalf => found.iter_mut().for_each(|revision| drop(revision.entries.pop())),
            Flaw::Swaps if found.len() > 2 => found.swap(0, 1),
            _ => {}
        }
        Ok(found)
    }

    fn is_current(&self) -> bool {
        self.flaw == Flaw::IsAlwaysCurrent || self.read >= self.end
    }

    fn publish(&mut self, revision: &ConfigRevision) -> Publication {
        let mut published = self.store.published();
        if is_too_large(revision) && self.flaw != Flaw::TakesAnySize {
            return Publication::Refused(Fault::halt("too-large", "make it smaller"));
        }
        let next = published.len() as u64 + 1;
        let number = revision.revision.0;
        let is_next = number == next || self.flaw == Flaw::TakesAnyNumber;
        if self.flaw == Flaw::TakesTheNewestAgain && number > 0 && number + 1 == next {
            published.pop();
        } else if !is_next {
            if self.flaw == Flaw::KeepsWhatItRefuses {
                published.push(revision.clone());
            }
            return Publication::Behind;
        }
        published.push(revision.clone());
        self.store.changed.notify_all();
        Publication::Done
    }

    fn forget(&mut self, forgotten: &Forgotten) -> Publication {
        let mut published = self.store.published();
        if forgotten.until.0 > published.len() as u64 {
            return Publication::Behind;
        }
        for ConfigRevision { revision, entries } in published.iter_mut() {
            let named = |object: &String| match self.flaw {
                Flaw::ForgetsTooMuch => forgotten.entries.iter().any(|(_, name)| name == object),
                _ => forgotten.entries.contains(&(*revision, object.clone())),
            };
            entries.retain(|entry| !named(&entry.object));
        }
        match self.flaw {
            Flaw::ForgetsWhereItForgot => self.store.forgotten.store(forgotten.until.0, Ordering::Relaxed),
            _ => drop(self.store.forgotten.fetch_max(forgotten.until.0, Ordering::Relaxed)),
        }
        Publication::Done
    }

    fn forgotten(&self) -> Revision {
        Revision(self.store.forgotten.load(Ordering::Relaxed))
    }
}

/// The laws that do not hold.
fn broken(flaw: Flaw) -> Vec<&'static str> {
    let holds = |law: fn(&dyn Harness)| {
        let memory = Memory { store: Arc::default(), flaw };
        catch_unwind(AssertUnwindSafe(|| law(&memory))).is_ok()
    };
    config_log::laws().into_iter().filter(|(_, law)| !holds(*law)).map(|(name, _)| name).collect()
}

#[test]
fn a_sound_log_keeps_every_law() {
    assert_eq!(broken(Flaw::None), <[&str; 0]>::default());
}

#[test]
fn every_flaw_breaks_a_law() {
    for flaw in [
        Flaw::TakesAnyNumber,
        Flaw::TakesTheNewestAgain,
        Flaw::KeepsWhatItRefuses,
        Flaw::TakesAnySize,
        Flaw::ForgetsWhatIsGone,
        Flaw::ShowsHalf,
        Flaw::AnswersTwice,
        Flaw::BeginsAtTheEnd,
        Flaw::IsAlwaysCurrent,
        Flaw::Swaps,
        Flaw::ForgetsTooMuch,
        Flaw::ForgetsWhereItForgot,
    ] {
        let broken = broken(flaw);
        println!("{flaw:?}: {broken:?}");
        assert!(!broken.is_empty(), "{flaw:?} breaks no law");
    }
}
