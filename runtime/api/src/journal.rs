use crate::{
    BatchId, Fault, FeedId, Generation, Incarnation, LaneId, Offset, OffsetRange, Pins, Ranges, Revision,
    TopicPartition, Track,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Where a lane stands: the last value under its key is the truth. No record: nothing owed, `next` is its feed's floor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LaneRecord {
    /// For as long as the lane lives: who follows another schedule from now on is another lane.
    pub feed: FeedId,
    /// The live stream skips what is below.
    pub next: BTreeMap<TopicPartition, Offset>,
    /// Still to be delivered; open-ended while the lane is not live.
    pub owed: BTreeMap<TopicPartition, Ranges>,
    /// Explicit ranges by other definitions than those of their own offsets: what is owed and was mended, and
    /// deliveries beside the live one. Rising.
    pub runs: Vec<Run>,
    /// Decided and not yet known to be visible: at most one.
    pub pending: Option<Pending>,
    /// Offsets within `owed` whose dead letters are out already: a batch was decided, then lost at the destination.
    pub spent: BTreeMap<TopicPartition, Vec<Offset>>,
    pub parked: Option<Parked>,
    pub replacing: Option<Replacing>,
}

impl LaneRecord {
    /// A record that says nothing is a tombstone.
    pub fn says_nothing(&self, floor: impl Fn(Track) -> Option<Offset>) -> bool {
        let passed = |(partition, next): (&TopicPartition, &Offset)| {
            let track = Track { feed: self.feed, partition: *partition };
            floor(track).is_some_and(|floor| *next <= floor)
        };
        self.pending.is_none()
            && self.parked.is_none()
            && self.runs.is_empty()
            && self.replacing.is_none()
            && self.owed.values().all(Ranges::is_empty)
            && self.next.iter().all(passed)
    }

    /// Of the live stream, mended or not.
    pub fn owes(&self, partition: TopicPartition, offset: Offset) -> bool {
        let mended = self.runs.iter().filter(|run| run.id.is_none()).map(|run| &run.owed);
        mended.chain([&self.owed]).any(|owed| owed.get(&partition).is_some_and(|owed| owed.contains(offset)))
    }
}

/// Explicit offset ranges, to be delivered to a lane by definitions that are named (P21, P32).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Of the entry of the config log that asked for it; `None`: rows of the live stream that were mended.
    pub id: Option<Revision>,
    pub by: Pins,
    pub owed: BTreeMap<TopicPartition, Ranges>,
    /// As the lane's own.
    pub spent: BTreeMap<TopicPartition, Vec<Offset>>,
}

/// A run that takes the place of older deliveries: they are removed when the journal knows that all of it is visible.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replacing {
    pub run: Revision,
    /// Not yet known to be removed.
    pub old: Vec<Delivered>,
}

impl Replacing {
    pub fn names(&self, batch: BatchId) -> bool {
        self.old.iter().any(|old| old.id == batch)
    }
}

/// A visible batch, and by what its sink removes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivered {
    pub id: BatchId,
    pub receipt: Bytes,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parked {
    /// The fault's code.
    pub code: String,
    pub hint: String,
    /// By a person: nobody but a person lets it go on.
    pub held: bool,
}

/// A decided batch. From here on it will be revealed, by whoever owns the shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    pub id: BatchId,
    /// What the sink's `prepare` answered: all that `commit` needs.
    pub token: Bytes,
    pub covers: BTreeMap<TopicPartition, OffsetRange>,
    /// The lane's own version: what the rows were decoded by.
    pub version: Revision,
    /// `None`: of the live stream.
    pub run: Option<Revision>,
    pub by: Pins,
    /// Rows within `covers` that went to the dead letters.
    pub rejected: BTreeMap<TopicPartition, Vec<Offset>>,
    pub rows: u64,
    /// Of the list of (topic, partition, offset) of all rows, rejected ones included: a batch that is read again
    /// must be the same batch. Of topics that were restored as copies with other ids: `HASH_UNKNOWN`.
    pub rows_hash: u64,
}

impl Pending {
    pub const HASH_UNKNOWN: u64 = 0;

    /// Whether a batch that was read again is this one.
    pub fn is_of(&self, rows: u64, rows_hash: u64) -> bool {
        rows == self.rows && (rows_hash == self.rows_hash || self.rows_hash == Pending::HASH_UNKNOWN)
    }
}

/// From which offset on each partition follows a revision of the config log. What it says stands there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevisionRecord {
    pub revision: Revision,
    pub starts: BTreeMap<TopicPartition, Offset>,
}

/// How much of the config log the shard has taken: all revisions below, and this many commands of this one. Each
/// command's effects share the transaction that moves this mark (P31).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Applied {
    pub revision: Revision,
    pub commands: u32,
}

/// One atomic write.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Transaction {
    /// `None` is a tombstone.
    pub lanes: Vec<(LaneId, Option<LaneRecord>)>,
    /// All floors of the shard, or none where they did not change.
    pub floors: BTreeMap<Track, Offset>,
    pub revisions: Vec<RevisionRecord>,
    pub revisions_gone: Vec<Revision>,
    pub applied: Option<Applied>,
    pub ledger: Vec<LedgerRow>,
    pub dead_letters: Vec<DeadLetter>,
}

/// A record that fits nowhere, on its way to the connector's dead letter topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    pub topic: String,
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Bytes)>,
}

/// What the ledger remembers for ever, one row per event of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerRow {
    pub batch: BatchId,
    pub event: LedgerEvent,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LedgerEvent {
    /// Every decision of the batch's incarnation comes behind this row: where it is missing, what else is missing
    /// cannot be known. The batch is a name only.
    Began,
    Decided {
        covers: BTreeMap<TopicPartition, OffsetRange>,
        version: Revision,
        /// `None`: the live run.
        run: Option<Revision>,
        rows: u64,
        rejected: u64,
        rows_hash: u64,
        /// What the sink needs to remove the batch one day; empty where it cannot, or an older build did not ask it.
        receipt: Bytes,
    },
    Revealed,
    /// Visible once, and removed: all rows that it covers are delivered by this run.
    Removed {
        run: Revision,
    },
    /// Proven never to become visible; its rows are owed again, but for those whose dead letters are out.
    Lost {
        spent: BTreeMap<TopicPartition, Vec<Offset>>,
    },
    /// Given up by an operator, without proof: perhaps visible, perhaps never.
    Abandoned,
    /// Owed, and given up by an operator before anything was decided: never delivered. The batch is a name only.
    Skipped {
        /// `None`: the live run.
        run: Option<Revision>,
        covers: BTreeMap<TopicPartition, OffsetRange>,
    },
}

/// What the last owners decided, as of the barrier of the new one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    pub incarnation: Incarnation,
    pub generation: Generation,
    pub floors: BTreeMap<Track, Offset>,
    pub lanes: BTreeMap<LaneId, LaneRecord>,
    /// Rising.
    pub revisions: Vec<RevisionRecord>,
    pub applied: Applied,
    pub bytes_read: u64,
}

#[derive(Debug)]
pub enum AppendOutcome {
    Done,
    /// Checked before the first byte was sent (sizes, topics, rights): nothing was written, this owner goes on.
    Refused(Fault),
    /// A newer owner has it. Nothing was written.
    Fenced,
    /// Written or not: only reading it again will tell. The one sound answer is to recover.
    Unknown(Fault),
}

/// The durable decisions of one shard. Blocking; lives on a thread of its own.
///
/// # Contract (one suite of laws runs against every implementation)
/// - `acquire` fences every older owner *first*, writes a barrier *second* and reads *third*; what it answers is all
///   that was ever decided, and nothing can be added to it but by this owner. The generation rises by each `acquire`.
/// - `append` is atomic, and durable before `Done`.
/// - After anything but `Done` or `Refused`, only `acquire` of a new instance may follow.
/// - State, not events: reading costs what is live, not what ever happened.
/// - The ledger begins, before anything is decided, with a row that says so.
pub trait Journal: Send {
    fn acquire(&mut self) -> Result<Recovered, Fault>;
    fn append(&mut self, transaction: &Transaction) -> AppendOutcome;
}

/// One shard's ledger, for whoever wants to know what was decided: no ownership is needed. Blocking.
pub trait Ledger: Send {
    /// Every row that is there, oldest first: at least those of all decisions that were answered Done before the call.
    fn read(&mut self, each: &mut dyn FnMut(LedgerRow)) -> Result<(), Fault>;
}
