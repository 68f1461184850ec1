//! The shell around the engine: threads, tasks, timers and retries. The only place that sleeps, spawns and reads the
//! clock.
//!
//! ```text
//! membership thread ─ which shards are ours ─► worker ─► one task per shard, which holds its engine and its rows
//! reader thread ───── blocks of records ───────────────►   ├─ decode + encode on threads of their own
//! catch-up thread ─── rows read again ─────────────────►   ├─ prepare, reveal: futures with retries
//! journal thread, one per shard ◄─ decisions ──────────────┘
//! ```
//!
//! | file | noun |
//! |---|---|
//! | `worker` | a process's share of the group: owns shards, hands them over, drains |
//! | `shard` | one owned shard: executes the engine's actions, feeds it events |
//! | `definitions` | what a revision says: lanes, their versions, their pinned settings |
//! | `lanes` | opened lanes and routes of all revisions still needed |
//! | `reader`, `catch_up` | the two threads that read the source |
//! | `rows` | rows that wait for their batch |
//! | `batch` | rows → columns → bytes, dead letters, cuts |
//! | `delivery` | prepare and reveal against a sink, with retries |
//! | `compute` | the threads that encode |
//! | `letters` | the dead letter of a record, in Connect's terms |
//! | `memory` | the process's one budget |
//! | `status` | counters for people |

mod batch;
mod catch_up;
mod compute;
mod definitions;
mod delivery;
mod lanes;
mod letters;
mod memory;
mod ownership;
mod reader;
mod retry;
mod rows;
mod shard;
mod status;
mod worker;

pub use definitions::{LaneDefinition, Wanted};
pub use lanes::{OpenLane, Opener};
pub use memory::Budget;
pub use status::{ConnectorStatus, LaneStatus, PartitionStatus, ShardStatus, Status, Summary};
pub use worker::{ConnectorPlan, Worker, WorkerSettings};
