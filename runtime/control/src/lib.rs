//! What a worker shows over HTTP: is it alive, is it ready, how far is it.
//!
//! In: snapshots of the [`Status`], which the driver publishes on the [`Board`]. Out: answers on a loopback address.
//! Nothing here reaches back into the worker. Other addresses need tokens and TLS, and are refused.
//!
//! Fault codes: `not-loopback`, `address-in-use`, `cannot-listen`, `listener-failed`.

mod board;
mod metrics;
mod router;
mod server;
mod status;

pub use board::Board;
pub use metrics::metrics;
pub use server::Control;
pub use status::{ConnectorStatus, ParkedLane, PartitionStatus, Phase, ShardStatus, Status};
