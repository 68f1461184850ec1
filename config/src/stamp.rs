use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime},
};
use twox_hash::XxHash3_128;

/// Tells by what the file system says whether a file is still what was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    pub length: u64,
    inode: u64,
    /// Of the content and of the inode, in nanoseconds: the second also sees a file that another one replaced.
    modified: i64,
    changed: i64,
    /// Old enough when it was read: within one tick of the file system's clock it may be written again unseen.
    settled: bool,
}

/// Coarser clocks than this are on no file system that holds a configuration. Tests do not wait.
const TICK: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(2) };

impl Stamp {
    pub fn of(found: &Metadata) -> Stamp {
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (modified, changed) = (nanos(found.mtime(), found.mtime_nsec()), nanos(found.ctime(), found.ctime_nsec()));
        let settled = now.saturating_sub(TICK).as_nanos() as i64 > modified.max(changed);
        Stamp { length: found.len(), inode: found.ino(), modified, changed, settled }
    }

    pub fn is_of(&self, found: &Metadata) -> bool {
        self.settled && *self == Stamp { settled: true, ..Stamp::of(found) }
    }
}

pub fn content_hash(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}
