//! Topics, journal, ledger, dead letters and configuration in a folder: Outflow without Kafka, by the same laws.
//!
//! ```text
//! cluster                                  format and number of shards, fixed when the folder is made
//! lock                                     held by the one process that runs the shards; names its process id
//! topics/<name>/topic                      id and number of partitions
//! topics/<name>/<partition>/<base>.log     records; a segment starts at offset <base>
//! journal/<shard>/journal.log              live state, then decisions
//! journal/<shard>/ledger.log               every row of the ledger
//! config/log                               every revision of the configuration, one frame each
//! positions/<connector>.json               floors, for people
//! ```
//!
//! # What survives kill -9 and power loss
//!
//! - A file is a row of frames (`frame`): checksum, length, own position. A torn end is cut off; a frame that is
//!   broken in the middle is damage, and halts.
//! - A topic's `append` returns after fdatasync. A reader syncs what it finds before it answers it: what was read
//!   once is never gone after a power loss, whoever wrote it and however he died.
//! - The journal's `append` is one frame and one fdatasync. A new owner writes the whole live state to a new file,
//!   syncs it, renames it over the old one and syncs the folder: what it believes is durable, even if the owner
//!   before it died between write and sync.
//! - A new file's folder is synced before anything relies on the name.
//! - The ledger's first row is synced before anything is decided.
//! - Ledger rows and dead letters are part of the decision's frame and are copied out behind it. The ledger is not
//!   synced by each decision, but before the frames go that hold its rows; a new owner copies what is missing. Dead
//!   letters carry the number of their decision; only the last frame's can be missing, and the frame knows from
//!   which offset to look for them.
//! - A publication is one frame and one fdatasync, under `config/lock`; whoever reads one syncs it before he answers.
//!
//! # Fencing
//!
//! Every write to a journal happens under its lock file, after a look whether the log is still the same file and
//! ends where this owner left it. Each `acquire` replaces the file.

mod cluster;
mod config_log;
mod cursor;
mod disk;
mod frame;
mod journal;
mod ledger;
mod log;
mod membership;
mod outbox;
mod partition;
mod pulse;
mod record;
mod source;
mod topic;
mod wire;

pub use cluster::LocalCluster;
pub use journal::LocalJournal;
pub use record::RecordToWrite;
pub use source::LocalSource;
pub use topic::LocalTopic;
