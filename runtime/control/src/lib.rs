//! What a worker shows over HTTP (is it alive, is it ready, how far is it), and what people may ask of it.
//!
//! In: snapshots of the [`Status`], which the driver publishes on the [`Board`], and requests. Out: answers, and calls
//! of [`Steering`], [`Connectors`], [`Documents`], [`DeadLetters`], [`DryRuns`], [`Events`] and [`Loggers`]. Nothing
//! else reaches back. Addresses that others can reach need tokens and TLS.
//!
//! | file | noun |
//! |---|---|
//! | `board`, `status`, `metrics` | what is shown |
//! | `steering` | what may be asked of merchants, and how it is answered |
//! | `connectors` | the same of connectors, in Kafka Connect's terms |
//! | `dry_run` | what would happen if something were put, and its paths |
//! | `events` | what happened of late |
//! | `group` | the other workers |
//! | `request`, `body` | a body or query as people write it, checked |
//! | `refusal` | why something asked is not done |
//! | `connect`, `plugins`, `loggers` | Kafka Connect's paths |
//! | `merchants`, `dead_letters`, `router` | our own paths |
//! | `documents` | all that is configured, out and in |
//! | `access` | who may ask what |
//! | `server`, `tls` | the listener |
//!
//! Fault codes: `not-loopback`, `address-in-use`, `cannot-listen`, `listener-failed`,
//! `tls-unusable`.

mod access;
mod board;
mod body;
mod connect;
mod connectors;
mod dead_letters;
mod documents;
mod dry_run;
mod events;
mod group;
mod loggers;
mod merchants;
mod metrics;
mod plugins;
mod refusal;
mod request;
mod router;
mod server;
mod status;
mod steering;
mod tls;

pub use access::{Access, Role, Token, token_hash};
pub use board::Board;
pub use connectors::{
    ConnectorState, Connectors, Expected, Flat, Info, JudgedValue, Judgement, Kept, KeyInfo, Kind, PluginInfo, Put,
    RunState, Standing, TaskId, TaskState, TopicOffset, Validation, Wish, WorkerState,
};
pub use dead_letters::{
    Chosen, Content as LetterContent, DeadLetters, Letter, LetterPage, Place as LetterPlace, Record as LetterRecord,
    SentAgain, WantedLetters,
};
pub use documents::{Content as DocumentContent, Document, Documents, Imported, Lines, Named, Outcome};
pub use dry_run::{
    Change, Column, ColumnChange, DryRun, DryRuns, Effect, Past, PastSpan, Proposal, Proposed, Rejection, Sampled,
    Trial,
};
pub use events::{Event, EventLevel, EventPage, Events, Sought, now_ms, rfc3339};
pub use group::{Group, Worker};
pub use loggers::{LEVELS, LoggerLevel, Loggers};
pub use metrics::metrics;
pub use refusal::Refusal;
pub use router::Asked;
pub use server::{Control, Entry, Tls};
pub use status::{CallsStatus, Circuit, ConnectorStatus, ParkedLane, PartitionStatus, Phase, ShardStatus, Status};
pub use steering::{
    Accepted, Act, Alarm, Begin, Content, Delivery, Detail, Merchant, OwedPartition, Page, Placed, Repair, Replacement,
    Request, State, Steering, Step, Undelivered, Until, Wanted,
};
pub use tls::Certificate;
