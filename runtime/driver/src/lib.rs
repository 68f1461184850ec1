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
//! | `entrance` | a worker's way into its cluster |
//! | `attendance` | the thread that keeps us in the group |
//! | `plan` | what the files ask for, and its way into the config log |
//! | `configuration` | the config log as this process knows it |
//! | `forgetting` | when the shards are asked what they need |
//! | `holds` | what the shards that run here may still ask for |
//! | `topology` | the topics that are read, as the cluster has them now |
//! | `ownership` | from "this shard is ours" to a running engine |
//! | `shard` | one owned shard: executes the engine's actions, feeds it events |
//! | `shard/intake` | how rows come in: live, behind, in passes |
//! | `shard/preparing` | from a batch's rows to their staging, or to what is refused of them |
//! | `shard/again` | rows that are read again |
//! | `shard/clearing` | what nobody decided is cleared away |
//! | `shard/repairing`, `shard/replacing` | what the ledger is asked, what is removed, and what came of it |
//! | `shard/ages` | how old is what is not delivered, and how long it is kept |
//! | `shard/publishing` | what the config log brings, in the engine's terms |
//! | `route` | whose rows are these? |
//! | `sample` | the newest records of some topics, for whoever wants to see what would become of them |
//! | `trial` | what would become of them by definitions that nobody has published |
//! | `lanes` | lanes that are open |
//! | `reader`, `catch_up` | the two threads that read the source |
//! | `pass` | one way through a partition for everybody who reads again |
//! | `rows`, `packed` | rows that wait for their batch |
//! | `nowhere` | the sink of rows that belong to nobody |
//! | `batch` | rows → columns → bytes, dead letters, cuts |
//! | `refusals`, `provenance` | rows that destinations refused, and where they came from |
//! | `delivery` | prepare, reveal and remove against a sink, with retries |
//! | `calls` | how many calls to destinations are under way, and whose |
//! | `calls/party`, `calls/places` | a host or a credential, and how many calls it takes |
//! | `calls/circuit`, `calls/circuits` | who is in trouble, and when it is tried again |
//! | `compute` | the threads that encode |
//! | `letters` | the dead letter of a record, in Connect's terms |
//! | `looks` | who wants to know how lanes stand |
//! | `memory` | the process's one budget |
//! | `pages`, `chain`, `packed` | where lanes' own rows wait: pages of one size, bytes in them, rows compressed |
//! | `timeline` | when a partition's records were written |
//! | `stay`, `alarms` | how long a topic keeps what is not delivered, and whom the log names |
//! | `status` | counters for people |
//! | `steering` | what people ask of a running worker |

mod alarms;
mod attendance;
mod batch;
mod calls;
mod catch_up;
mod chain;
mod compute;
mod configuration;
mod delivery;
mod entrance;
mod forgetting;
mod holds;
mod lanes;
mod letters;
mod looks;
mod memory;
mod nowhere;
mod ownership;
mod packed;
mod pages;
mod pass;
mod pattern;
mod plan;
mod provenance;
mod reader;
mod refusals;
mod retry;
mod route;
mod rows;
mod sample;
mod shard;
mod status;
mod stay;
mod steering;
mod timeline;
mod topology;
mod trial;
mod worker;

pub use calls::CallLimits;
pub use configuration::{Configuration, Published, Standing};
pub use lanes::{OpenLane, Opener};
pub use memory::Budget;
pub use nowhere::Nowhere;
pub use plan::{From, Plan, TopicPattern};
pub use route::Field;
pub use sample::Sample;
pub use shard::{LaneState, Repaired, Replacement, Undelivered, oldest, oldest_known};
pub use status::{
    CallsStatus, CircuitStatus, ConnectorStatus, LaneCounts, LaneStatus, OwnLane, PartitionStatus, ShardStatus, Status,
    Summary,
};
pub use stay::Stay;
pub use steering::{Drafted, Steering};
pub use trial::{Trial, Tried, TriedLane, open_newest};
pub use worker::{Worker, WorkerSettings};
