//! The real program on a real broker, disturbed in every way, and counted by readers that are not ours.
//!
//! In: the daemon as built in the same profile, servers from `outflow-rig`. Out: tests in `tests/laws`, one program,
//! which take turns: a broker that is killed shares its machine with nobody.

mod census;
mod connector;
mod daemon;
mod gate;
mod lake;
mod merchant;
mod producer;
mod site;
mod topic;
mod turn;
mod warehouse;
mod watcher;

pub use census::{Census, Due, dues};
pub use connector::Connector;
pub use daemon::Daemon;
pub use gate::Gate;
pub use lake::{Count, Lake, count};
pub use merchant::Merchant;
pub use producer::{Producer, event};
pub use site::Site;
pub use topic::{Record, committed_offsets, each_record, ends, produce, produce_aged, produce_with, records};
pub use turn::alone;
pub use warehouse::Warehouse;
pub use watcher::{Seen, Watcher};
