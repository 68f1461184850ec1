//! What a worker shows over HTTP (is it alive, is it ready, how far is it), and what people may ask of it.
//!
//! In: snapshots of the [`Status`], which the driver publishes on the [`Board`], and requests. Out: answers on a
//! loopback address, and calls of [`Steering`]. Nothing else reaches back into the worker. Other addresses need tokens
//! and TLS, and are refused.
//!
//! | file | noun |
//! |---|---|
//! | `board`, `status`, `metrics` | what is shown |
//! | `steering` | what may be asked, and how it is answered |
//! | `request` | a body or query as people write it, checked |
//! | `refusal` | why something asked is not done |
//! | `merchants`, `router` | paths |
//! | `server` | the listener |
//!
//! Fault codes: `not-loopback`, `address-in-use`, `cannot-listen`, `listener-failed`.

mod board;
mod merchants;
mod metrics;
mod refusal;
mod request;
mod router;
mod server;
mod status;
mod steering;

pub use board::Board;
pub use metrics::metrics;
pub use refusal::Refusal;
pub use server::Control;
pub use status::{CallsStatus, Circuit, ConnectorStatus, ParkedLane, PartitionStatus, Phase, ShardStatus, Status};
pub use steering::{
    Accepted, Act, Alarm, Begin, Delivery, Detail, Merchant, OwedPartition, Page, Repair, Replacement, Request, State,
    Steering, Until, Wanted,
};
