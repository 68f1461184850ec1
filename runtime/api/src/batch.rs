use std::fmt;

/// Random, one per journal partition; a journal that was restored or mirrored gets another one, so two
/// installations can never mint the same batch id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Incarnation(pub u64);

/// The unit of ownership: a fixed set of source partitions (`partition mod shards`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Shard(pub u32);

/// Counts the owners of a shard: the journal offset of the owner's barrier record, so it only rises and is durable
/// before the first batch is named.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation(pub u64);

/// One (connector, merchant, destination): the unit of order, of failure and of catching up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LaneId(pub u32);

/// Number of a set of definitions: what is read, how it is shaped and where it goes. Rises by each change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

/// Named before any I/O: a repeated call writes the same thing to the same place, and the destination recognises a
/// batch by it. Every object key, staging name, stream label and ledger row contains all of it.
///
/// `seq` counts the shard's batches within the generation, never a lane's own: a lane that was forgotten while idle
/// would begin again at 1 and find its new batch "already there".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BatchId {
    pub incarnation: Incarnation,
    pub shard: Shard,
    pub generation: Generation,
    pub lane: LaneId,
    pub seq: u32,
}

impl fmt::Display for BatchId {
    /// Fixed width, lowercase, safe in object keys, file names and SQL identifiers after a letter:
    /// `4f1c…-0003-00000000002a-0000000007-00000001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchId { incarnation, shard, generation, lane, seq } = self;
        write!(f, "{:016x}-{:04x}-{:012x}-{:08x}-{:08x}", incarnation.0, shard.0, generation.0, lane.0, seq)
    }
}
