use outflow_api::Remote;
use std::{fmt, sync::Arc};

/// Who is called: a host, or one of its credentials.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Party {
    Host(Arc<str>),
    Credential { host: Arc<str>, credential: Arc<str> },
}

impl Party {
    pub fn host(remote: &Remote) -> Party {
        Party::Host(Arc::clone(&remote.host))
    }

    pub fn credential(remote: &Remote) -> Party {
        Party::Credential { host: Arc::clone(&remote.host), credential: Arc::clone(&remote.credential) }
    }

    /// From the narrow to the wide: who waits for a place of his credential holds none of the host.
    pub fn both(remote: &Remote) -> [Party; 2] {
        [Party::credential(remote), Party::host(remote)]
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Host(host) => write!(f, "host {host}"),
            Party::Credential { host, credential } => write!(f, "{credential} at {host}"),
        }
    }
}
