use crate::{Account, Deliveries, FlushLimits};
use bytes::Bytes;
use outflow_api::{Applied, BatchId, FeedId, LaneId, Offset, OffsetRange, Ranges, Revision, TopicPartition, Track};
use std::collections::BTreeMap;

/// What happened. Events of one shard are handled one after the other, each with the time at which it arrived.
#[derive(Clone, Debug)]
pub enum Event {
    /// The feed's reader moved over `range`. `taken` tells what of it was kept for which lane: only rows that
    /// `Engine::wanted` named, and all of those.
    Fetched {
        track: Track,
        range: OffsetRange,
        taken: Vec<Taken>,
    },
    /// The feed's pass is over: what its lanes hold is to be delivered now.
    PassEnded(FeedId),
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
    /// Answer to `Action::Prepare`: the destination refuses some of the rows, and staged none. Whoever reads them again
    /// leaves those out.
    RowsRefused {
        batch: BatchId,
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
    /// The next revision of the config log. It takes effect at offsets that the engine chooses and journals (P19).
    Published(Publication),
    /// Answer to `Action::ReadLedger`.
    LedgerRead {
        command: Applied,
        account: Result<Account, Reason>,
    },
    /// Answer to `Action::ReadDeliveries`.
    DeliveriesRead {
        command: Applied,
        deliveries: Result<Deliveries, Reason>,
    },
    /// Answer to `Action::Remove`.
    Removed {
        batch: BatchId,
    },
    /// Partitions that are new to these feeds, from the given offsets on. A new partition is new to every feed that the
    /// revision taken last has, or a later one that is published: its rows may still be routed by each of them.
    TracksAdded(BTreeMap<Track, Offset>),
    /// Nothing more will be fetched for this feed: its connector or schedule is gone.
    FeedRetired(FeedId),
    /// The process holds more than its memory budget: seal so much of what is large or old, give up what can be read
    /// again.
    Pressure {
        bytes: u64,
    },
    /// Somebody mended the lane's destination: try now.
    Resume(LaneId),
    /// Seal and deliver all that is here; nothing more will be fetched.
    Drain,
    Tick,
}

/// What a revision says that concerns this shard.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    pub revision: Revision,
    /// It routes or shapes rows in another way than the one before.
    pub defines: bool,
    /// Feeds that begin with it, where they begin; `None`: where the revision itself does.
    pub feeds: BTreeMap<Track, Option<Offset>>,
    /// In their order; each takes effect once.
    pub commands: Vec<Command>,
}

/// What is to be done to one lane, once (P31).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    pub lane: LaneId,
    pub feed: FeedId,
    pub act: Act,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Rows before the lane's own first revision, from these offsets on, routed by that revision.
    History {
        from: BTreeMap<TopicPartition, Offset>,
    },
    /// These offsets once more, routed by that revision.
    Replay {
        by: Revision,
        ranges: BTreeMap<TopicPartition, Ranges>,
    },
    /// Those of these offsets that the lane has missed, as its ledger shows, routed by that revision.
    Repair {
        by: Revision,
        ranges: BTreeMap<TopicPartition, Ranges>,
        /// More than 0: each of these rows became so many dead letters of this lane, and is missing unless it was
        /// delivered besides.
        letters: u32,
    },
    /// These offsets once more, routed by that revision, in place of all that was delivered of them.
    Replace {
        by: Revision,
        ranges: BTreeMap<TopicPartition, Ranges>,
    },
    /// Nothing is delivered until `Resume`; what comes is owed.
    Pause,
    Resume,
    /// What is owed and not decided becomes what the newest definitions say (P21); whose it is stays as it is.
    Mend,
    /// What is owed is owed no more, and runs end: the lane goes on with what comes.
    Skip,
    /// The decided batch is given up as not delivered.
    Abandon,
}

/// Rows of one partition that were kept for one lane, under one version of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    pub lane: LaneId,
    pub version: Revision,
    pub first: Offset,
    pub rows: u64,
    pub bytes: u64,
    /// Of the lane, as they are today.
    pub flush: FlushLimits,
}

/// A prefix of the range that was asked for, all of one version of the lane.
#[derive(Clone, Debug)]
pub struct DebtRead {
    /// As `Action::ReadDebt` named it.
    pub batch: BatchId,
    pub version: Revision,
    pub covers: OffsetRange,
    /// Spent ones included.
    pub rows: u64,
}

#[derive(Clone, Debug)]
pub struct PreparedBatch {
    pub id: BatchId,
    pub token: Bytes,
    /// By what the sink could remove the batch one day.
    pub receipt: Bytes,
    /// As asked, or cut short: a batch ends before it has too many dead letters (P11).
    pub covers: BTreeMap<TopicPartition, OffsetRange>,
    pub rows: u64,
    /// Rows that fit nowhere, those included that `Action::ReadDebt` named as spent.
    pub rejected: BTreeMap<TopicPartition, Vec<Offset>>,
    pub rows_hash: u64,
    /// What the dead letters of `rejected` add to the transaction.
    pub letter_bytes: usize,
    /// What was cut off a live batch; it is open again.
    pub rest: Vec<(TopicPartition, Taken)>,
    /// More rejected rows per hundred than this, of a thousand rows or more, park the lane: a wrong model must not
    /// empty a topic into the dead letters.
    pub reject_percent_max: u64,
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
