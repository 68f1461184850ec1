//! Kafka behind the seams of `outflow-api`: topics are read by a [`Source`](outflow_api::Source), decisions are kept in
//! a compacted topic by a [`Journal`](outflow_api::Journal), configuration in another by a
//! [`ConfigLog`](outflow_api::ConfigLog), workers share shards by a consumer group. The only crate
//! of the product that names rdkafka.

mod append;
mod cluster;
mod config_log;
mod config_reader;
mod examine;
mod fault;
mod journal;
mod ledger;
mod letters;
mod log;
mod members;
mod membership;
#[allow(unsafe_code)] // messages in bulk and topic ids are only to be had from librdkafka's C interface
mod native;
mod prepare;
mod recovery;
mod recreated;
mod report;
mod retention;
mod runs;
mod settings;
mod source;
mod topics;

pub use cluster::KafkaCluster;
pub use settings::KafkaSettings;
