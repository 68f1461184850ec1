//! The seams of Outflow: values first, traits last.
//!
//! Reading order: a [`Source`] yields [`RecordBlock`]s of raw records; the engine says which rows make a batch;
//! a [`Decoder`] turns them into Arrow columns; a [`Sink`] encodes and prepares them, visible to nobody; a
//! [`Journal`] makes the decision durable; the sink reveals them. A [`Cluster`] hands out sources, journals and
//! shards: Kafka, or a folder on the local disk.
//!
//! Nothing here knows Kafka, tokio or any warehouse.

mod batch;
mod cluster;
mod config_log;
mod decoder;
mod fault;
mod journal;
mod model;
mod pins;
mod position;
mod quota;
mod ranges;
mod record;
mod remote;
mod retention;
mod sink;
mod source;
mod sqltype;
pub mod versioned;

pub use batch::{BatchId, Generation, Incarnation, LaneId, Revision, Shard};
pub use cluster::{Cluster, Finding, Member, Membership, MembershipEvent, RevokeDone, TopicInfo};
pub use config_log::{ConfigEntry, ConfigLog, ConfigRevision, Forgotten, Publication};
pub use decoder::{Decoded, Decoder, RejectedRow};
pub use fault::{Blame, Fault, Reach, Verdict};
pub use journal::{
    AppendOutcome, Applied, DeadLetter, Delivered, Journal, LaneRecord, Ledger, LedgerEvent, LedgerRow, Parked,
    Pending, Recovered, Replacing, RevisionRecord, Run, Transaction,
};
pub use model::{Column, FilterError, Model, UnknownFields};
pub use pins::{Pin, Pins};
pub use position::{FeedId, Offset, OffsetRange, TopicId, TopicPartition, Track};
pub use quota::{Charge, Demand, Pace};
pub use ranges::Ranges;
pub use record::{Headers, RecordBlock, RecordView, RowSlice, Rows};
pub use remote::Remote;
pub use retention::Retention;
pub use sink::{
    CommitOutcome, CommitPermit, Encoded, Guarantee, Identity, OpenSink, Origin, Piece, PrepareOutcome, Prepared,
    RECEIPT_BYTES_MAX, SealedBatch, Setting, SettingKind, Sink, SinkContext, SinkDescriptor, SweepReport, SweepScope,
    TOKEN_BYTES_MAX, without_values,
};
pub use source::{Source, SourceEvent};
pub use sqltype::{SqlType, SqlTypeError, StructField};
