//! Files, and what is put over REST → checked values: a worker, its connectors, and tens of thousands of merchants.
//! Says every mistake with its file, line (or key), what is allowed and how to mend it, as many at once as there are.
//! A wrong worker or connector stops everything; a wrong merchant is refused alone.
//!
//! Knows no connector by name: the kinds of sinks and what they make of their settings come in as an argument, as do
//! the environment and the files that hold secrets. Secrets stay references (`${env:NAME}`, `${file:/path}`) in all
//! that is answered here; [`resolve`] fills them in as late as possible.

mod agree;
mod columns;
mod connect;
mod connector;
mod definition;
mod delivery;
mod document;
mod files;
mod flat;
mod flush;
mod kafka;
pub mod limits;
mod list;
mod loader;
mod merchant;
mod model;
mod names;
mod nearest;
mod only;
mod pinned;
mod problem;
mod reference;
mod rest;
mod routing;
mod row;
mod section;
mod sink;
mod source;
mod stamp;
mod start;
mod template;
mod units;
mod watcher;
mod worker;
mod yaml;

pub use columns::{Field, field};
pub use connector::{ConnectorConfig, DeadLetters, Format, connector};
pub use definition::{Definition, DefinitionKind, Plugin};
pub use delivery::Delivery;
pub use document::{fits, merchant_document};
pub use flat::{Judged, in_a_line, judge};
pub use flush::{Flush, FlushChange};
pub use kafka::{KafkaConfig, Mechanism, Protocol, Security};
pub use loader::{Config, Loaded, Loader, Refused, load};
pub use merchant::MerchantConfig;
pub use nearest::nearest;
pub use only::Only;
pub use pinned::{Place, Shape, pinned, pinned_place, pinned_shape};
pub use problem::{Problem, Problems};
pub use reference::{Environment, SystemEnvironment, resolve, resolve_text};
pub use rest::{Peers, Rest, Role, Tls, Token};
pub use routing::{MerchantKey, Routing, UnknownMerchants};
pub use sink::SinkConfig;
pub use start::{Start, StartOffset};
pub use watcher::{Stopper, Wake, Watcher};
pub use worker::{Alarms, Calls, ClusterConfig, JournalConfig, Log, LogFormat, ReplayDistance, Worker, worker};
pub use yaml::read_plain;
