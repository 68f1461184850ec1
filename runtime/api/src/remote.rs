use std::{fmt, sync::Arc};

/// Whom a lane's calls go to, and as whom: calls are bounded, and troubles counted, for all lanes that have it in
/// common. People see both names, so they hold no secret, nor what is made from one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Remote {
    /// As the network knows it: `s3.eu-west-1.amazonaws.com`, `127.0.0.1:9000`.
    pub host: Arc<str>,
    /// Among those that the host knows: `access key 5d41402abc4b2a76`, `the workload's own`.
    pub credential: Arc<str>,
}

impl Remote {
    pub fn new(host: &str, credential: &str) -> Remote {
        Remote { host: host.into(), credential: credential.into() }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.credential, self.host)
    }
}
