//! Files → checked values. Says every mistake with its file, line, what is allowed and how to mend it, as many at
//! once as can be found.
//!
//! Knows no connector by name: the kinds of sinks and what they make of their settings come in as an argument, as do
//! the environment and the files that hold secrets. Secrets stay references (`${env:NAME}`, `${file:/path}`) in all
//! that is answered here; [`resolve`] fills them in as late as possible.

mod connector;
mod flush;
mod kafka;
pub mod limits;
mod load;
mod model;
mod names;
mod nearest;
mod pinned;
mod problem;
mod reference;
mod section;
mod sink;
mod units;
mod worker;
mod yaml;

pub use connector::{ConnectorConfig, DeadLetters, Format, connector};
pub use flush::Flush;
pub use kafka::{KafkaConfig, Mechanism, Protocol, Security};
pub use load::{Config, load};
pub use pinned::{Pinned, pinned};
pub use problem::{Problem, Problems};
pub use reference::{Environment, SystemEnvironment, resolve};
pub use sink::SinkConfig;
pub use worker::{ClusterConfig, JournalConfig, Log, LogFormat, ReplayDistance, Worker, worker};
