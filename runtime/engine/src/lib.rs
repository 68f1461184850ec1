//! The exactly-once core of one shard, as a state machine: events in, actions out. No I/O, no clock, no tasks, no
//! randomness; it never sees a record, only counts and offsets. Whoever drives it (the driver in production, the
//! simulator in tests) holds the rows, executes the actions and reports what came of them.
//!
//! The protocol's rules (P1, P2, …) are listed in `runtime/README.md`; comments name the rule they keep.
//!
//! | file | noun |
//! |---|---|
//! | `event`, `action` | what goes in, what comes out |
//! | `engine` | the shard: dispatch, positions, what the live stream wants |
//! | `lane` | one lane: its record, open rows, the batch in its slot |
//! | `lanes` | all of them, and which have changed |
//! | `agenda` | who is to be looked at, and when |
//! | `seal` | when rows become a batch, and which |
//! | `debt` | falling behind, parking, reading again, joining |
//! | `decide` | what goes into a transaction |
//! | `floor` | how far the reader may forget |
//! | `settle` | what a transaction's answer changes |
//! | `reveal` | what a destination's answer changes |
//! | `publish` | what the config log brings: definitions and commands |
//! | `repair` | what a lane has missed, and where to ask for it |
//! | `account` | what a ledger says of one lane |
//! | `replace` | what a run takes the place of, and when it goes |
//! | `deliveries` | which batches of a lane a ledger shows in some offsets |
//! | `revision` | which definitions hold from which offset |
//! | `recover` | from the journal to a running engine |

mod account;
mod action;
mod agenda;
mod debt;
mod decide;
mod deliveries;
mod engine;
mod event;
mod floor;
mod lane;
mod lanes;
mod publish;
mod recover;
mod repair;
mod replace;
mod reveal;
mod revision;
mod seal;
mod settings;
mod settle;

pub use account::Account;
pub use action::{Action, BatchSpec, Decision, Letters, Replaced, Stop};
pub use deliveries::Deliveries;
pub use engine::{Engine, LaneView};
pub use event::{Act, Command, DebtRead, Event, Journaled, PreparedBatch, Publication, Reason, Revealed, Taken};
pub use seal::too_many_rejects;
pub use settings::{FlushLimits, Settings};
