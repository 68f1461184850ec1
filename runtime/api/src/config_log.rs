use crate::{Fault, Revision};
use bytes::Bytes;
use std::time::Duration;

/// What one revision says of one object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigEntry {
    /// `connector/orders`, `lane/17`, …: at most once in a revision.
    pub object: String,
    /// `None`: it is gone from here on.
    pub content: Option<Bytes>,
}

/// One atomic publication. What it does not name stays as the revision before says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigRevision {
    pub revision: Revision,
    pub entries: Vec<ConfigEntry>,
}

/// Contents that nobody can ask for any more (P20).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Forgotten {
    /// Every shard is past it; what it and older ones say, but for the newest word on each object, may go.
    pub until: Revision,
    /// What these revisions say of these objects.
    pub entries: Vec<(Revision, String)>,
}

#[derive(Debug)]
pub enum Publication {
    Done,
    /// Nothing of it was published, for somebody else is ahead: read, and decide again. Who reads nothing new has met
    /// a publisher in the middle of his work, and waits a little before he tries again.
    Behind,
    /// Nothing of it was published: limits, rights, no connection. The fault's verdict says whether the same call may
    /// succeed later.
    Refused(Fault),
    /// Published or not, or about to be. The next publication decides it, and so does reading a later revision: publish
    /// the same again, and where that is Behind, compare with what is read.
    Unknown(Fault),
}

/// Where configuration is published: one log of numbered revisions for all workers and all shards. Blocking; lives on
/// a thread of its own.
///
/// # Contract (one suite of laws runs against every implementation)
/// - `read` answers every revision that was published, whole, rising without gap from 1 on, each once; a reader that
///   is opened later reads the same. What was answered is durable.
/// - `publish` is atomic, durable before `Done`, and takes effect only as the revision right behind the newest one. Of
///   many publishers of one number at most one gets `Done`; whatever a publisher had begun when another one followed
///   appears whole and before the other's, or never.
/// - Nothing is overwritten: what a revision says of an object is said until it is forgotten.
/// - `forget` is atomic and durable before `Done`, and takes nothing but the entries that it names: a reader that is
///   opened later reads all revisions, and of those up to `Forgotten::until` perhaps without these entries.
/// - Every outcome leaves the log usable: reading and publishing go on with the same instance.
pub trait ConfigLog: Send {
    /// Waits at most `wait` for the first revision, and returns early at the moment when `is_current` turns true.
    /// Brokers that are away for a while are no fault.
    fn read(&mut self, wait: Duration) -> Result<Vec<ConfigRevision>, Fault>;

    /// Everything that was published when this was opened has been answered by `read`.
    fn is_current(&self) -> bool;

    /// Compare-and-set. What it reads on the way is answered by the next `read`.
    fn publish(&mut self, revision: &ConfigRevision) -> Publication;

    /// Takes contents away for good. Publishers are fenced by it as by a publication. Doing it twice is no harm.
    fn forget(&mut self, forgotten: &Forgotten) -> Publication;

    /// The highest `Forgotten::until` that was read.
    fn forgotten(&self) -> Revision;
}
