use bytes::Bytes;
use outflow_api::{BatchId, LaneId, Offset, OffsetRange, Revision, TopicPartition};
use std::collections::BTreeMap;

/// What happened. Events of one shard are handled one after the other, each with the time at which it arrived.
#[derive(Clone, Debug)]
pub enum Event {
    /// The reader moved over `range`. `taken` tells what of it was kept for which lane: only rows that
    /// `Engine::wanted` named, and all of those.
    Fetched {
        partition: TopicPartition,
        range: OffsetRange,
        taken: Vec<Taken>,
    },
    /// Answer to `Action::ReadDebt`.
    DebtRead(DebtRead),
    DebtFailed {
        batch: BatchId,
        reason: Reason,
    },
    /// Answer to `Action::Prepare`.
    Prepared(PreparedBatch),
    /// The destination refuses, or the bound of retries is reached.
    PrepareFailed {
        batch: BatchId,
        reason: Reason,
    },
    /// Answer to `Action::Append`.
    Journaled(Journaled),
    /// Answer to `Action::Reveal`.
    Revealed {
        batch: BatchId,
        outcome: Revealed,
    },
    /// No answer yet and none in sight; it is still being tried.
    RevealStalled {
        batch: BatchId,
        reason: Reason,
    },
    /// Definitions changed. They take effect at offsets that the engine chooses and journals (P19).
    Revised {
        revision: Revision,
        content: Bytes,
    },
    /// From the given offsets on.
    PartitionsAdded(BTreeMap<TopicPartition, Offset>),
    /// The process holds more than its memory budget: seal what is large or old, give up what can be read again.
    Pressure,
    /// Somebody mended the lane's destination: try now.
    Resume(LaneId),
    /// Seal and deliver all that is here; nothing more will be fetched.
    Drain,
    Tick,
}

/// Rows of one partition that were kept for one lane, under one version of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    pub lane: LaneId,
    pub version: Revision,
    pub partition: TopicPartition,
    pub first: Offset,
    pub rows: u64,
    pub bytes: u64,
}

/// A prefix of what is owed in each partition, all of one version of the lane.
#[derive(Clone, Debug)]
pub struct DebtRead {
    /// As `Action::ReadDebt` named it.
    pub batch: BatchId,
    pub version: Revision,
    pub covers: BTreeMap<TopicPartition, OffsetRange>,
    /// Spent ones included.
    pub rows: u64,
}

#[derive(Clone, Debug)]
pub struct PreparedBatch {
    pub id: BatchId,
    pub token: Bytes,
    /// As asked, or cut short: a batch ends before it has too many dead letters (P11).
    pub covers: BTreeMap<TopicPartition, OffsetRange>,
    pub rows: u64,
    /// Rows that fit nowhere, those included that `Action::ReadDebt` named as spent.
    pub rejected: BTreeMap<TopicPartition, Vec<Offset>>,
    pub rows_hash: u64,
    /// What the dead letters of `rejected` add to the transaction.
    pub letter_bytes: usize,
    /// What was cut off a live batch; it is open again.
    pub rest: Vec<Taken>,
}

/// Why something does not go on: a fault's code and hint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    pub code: String,
    pub hint: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Journaled {
    Done,
    /// Nothing was written, and this owner may go on.
    Refused(Reason),
    Fenced,
    Unknown,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Revealed {
    Committed,
    AlreadyCommitted,
    NeedsRows,
    /// Rows that the destination refuses for good; the others are not revealed yet.
    Rejected {
        rows: BTreeMap<TopicPartition, Vec<Offset>>,
    },
    /// Proven never to become visible.
    Lost,
    /// The batch was read again and is not what it was.
    RowsDiffer,
}
