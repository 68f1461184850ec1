use crate::{Fault, Offset, OffsetRange, RecordBlock, TopicPartition};
use std::{sync::Arc, time::Duration};

#[derive(Debug)]
pub enum SourceEvent {
    /// Ranges of a partition chain: each starts where the one before ended, from the offset given to `assign`.
    /// `block` may be empty: the reader moved past transaction markers, compacted or aborted records.
    Fetched { range: OffsetRange, block: Arc<RecordBlock> },
    /// The reader stands at the end of the log.
    AtEnd { partition: TopicPartition, end: Offset },
    /// This partition can't be read any further: below the log's start (`offsets-gone`: records were lost, with
    /// numbers), above its end (`log-truncated`), no rights, another topic under this name (`topic-recreated`).
    Failed { partition: TopicPartition, fault: Fault },
}

/// Reads partitions that are given to it by hand; knows nothing of groups. Blocking; lives on a thread of its own.
///
/// # Contract
/// - Committed records only.
/// - `pause` takes effect at once: nothing of the partition is answered until `resume`, nothing is lost.
/// - `unassign` and a new `assign` of the same partition may be far apart or the next call.
/// - Memory that it holds ahead of the caller is bounded by its own settings.
pub trait Source: Send {
    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), Fault>;
    fn unassign(&mut self, partitions: &[TopicPartition]);
    fn pause(&mut self, partitions: &[TopicPartition]);
    fn resume(&mut self, partitions: &[TopicPartition]);

    /// Waits at most `wait` for the first event, answers what is there.
    fn poll(&mut self, wait: Duration, out: &mut Vec<SourceEvent>) -> Result<(), Fault>;

    /// Start (inclusive) and end (exclusive) of the partition's log, now.
    fn bounds(&mut self, partition: TopicPartition) -> Result<OffsetRange, Fault>;

    /// The first offset whose record is not older (milliseconds since 1970 UTC), or the end of the log.
    fn offset_at(&mut self, partition: TopicPartition, timestamp_ms: i64) -> Result<Offset, Fault>;
}
