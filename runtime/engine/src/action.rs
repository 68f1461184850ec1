use crate::Reason;
use outflow_api::{
    Applied, BatchId, CommitPermit, Delivered, Generation, LaneId, Offset, OffsetRange, Pending, Pins, Prepared,
    Ranges, Revision, TopicPartition, Track, Transaction,
};
use std::collections::BTreeMap;

/// What is to be done. Actions may be executed at once and in any order, but for `Forget` and `Prepare`, which speak
/// of the rows held at that moment.
#[derive(Clone, Debug)]
pub enum Action {
    /// Start reading for this feed here.
    Read { track: Track, from: Offset },
    /// Take the lane's rows within `covers`, encode them, prepare them at the destination.
    Prepare(BatchSpec),
    /// One atomic write; dead letters of the named rows go with it.
    Append(Decision),
    /// Make it visible, however often it takes. `read_rows`: the sink asked for them, read them again if need be.
    Reveal { permit: CommitPermit, pending: Pending, read_rows: bool },
    /// Read again what the lane owes; stop where the lane's version changes, or where a batch is full. Rows in `spent`
    /// are rejected ones whose dead letters are out.
    ReadDebt { batch: BatchId, partition: TopicPartition, range: OffsetRange, by: Pins, spent: Vec<Offset> },
    /// Show the shard's whole ledger to an [`Account`](crate::Account) of these ranges and letters. Whenever it is
    /// read: what is asked for can no longer change.
    ReadLedger { command: Applied, lane: LaneId, ranges: BTreeMap<TopicPartition, Ranges>, letters: u32 },
    /// Show the shard's whole ledger to [`Deliveries`](crate::Deliveries) of these ranges; as above.
    ReadDeliveries { command: Applied, lane: LaneId, ranges: BTreeMap<TopicPartition, Ranges> },
    /// Take the rows of this batch away, however often it takes: the rows in its place are visible.
    Remove(Delivered),
    /// For people: a replay takes the place of what is there; or why nothing is sent and nothing removed.
    Replaced { lane: LaneId, run: Revision, outcome: Result<Replaced, Reason> },
    /// For people: what came of a repair. The offsets that are read again, those of other lanes' rows included; or why
    /// nothing is sent.
    Repaired { lane: LaneId, run: Revision, outcome: Result<u64, Reason> },
    /// Prepared and never to be decided.
    Abort { lane: LaneId, prepared: Prepared },
    /// Drop the lane's open rows: it owes them now.
    Forget { lane: LaneId },
    /// Remove what older owners prepared and nobody decided.
    Sweep { below: Generation, keep: Vec<Prepared> },
    /// The last action: this engine does nothing more.
    Stop(Stop),
}

/// What a replay takes the place of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// That are read again, those of other lanes' rows included.
    pub offsets: u64,
    /// Of these, how many were not asked for, and lie in batches that have rows which were.
    pub widened: u64,
    /// That are to be removed.
    pub batches: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchSpec {
    pub id: BatchId,
    pub version: Revision,
    pub covers: BTreeMap<TopicPartition, OffsetRange>,
    /// The rows are those of the last `ReadDebt`, not open ones.
    pub debt: bool,
}

/// A transaction, and whose dead letters belong to it: the engine has no payloads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decision {
    pub transaction: Transaction,
    pub letters: Vec<Letters>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letters {
    pub batch: BatchId,
    pub rows: BTreeMap<TopicPartition, Vec<Offset>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Somebody newer owns the shard, or may: recover by owning it again, if we are still asked to.
    Fenced,
    /// Only reading the journal again will tell what was decided.
    Unknown,
    /// The journal takes nothing.
    Refused(Reason),
    /// Belief and sight disagree.
    Halt(String),
}
