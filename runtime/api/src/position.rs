use std::fmt;

/// A topic's own id, as Kafka gives it (a UUID). A topic that is deleted and made anew under its old name has
/// another one, so nothing that was decided for the old topic is ever believed of the new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u128);

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: TopicId,
    pub partition: u32,
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.topic, self.partition)
    }
}

/// Lanes that are read together: those of one connector that follow one schedule. What has positions and floors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FeedId(pub u32);

/// One feed's way through one partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Track {
    pub feed: FeedId,
    pub partition: TopicPartition,
}

impl fmt::Debug for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "feed {} of {:?}", self.feed.0, self.partition)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Offset(pub i64);

impl Offset {
    pub const ZERO: Offset = Offset(0);
    /// The end of a range that has none: "and everything after it".
    pub const OPEN: Offset = Offset(i64::MAX);

    pub fn after(self) -> Offset {
        Offset(self.0 + 1)
    }
}

/// Half open. `next` is the reader's position, never "last record + 1": transaction markers and compaction leave
/// holes that only the reader can see past.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetRange {
    pub start: Offset,
    pub next: Offset,
}

impl OffsetRange {
    /// # Panics
    /// If the range ends before it starts.
    pub fn new(start: Offset, next: Offset) -> OffsetRange {
        assert!(start <= next, "a range ends before it starts: {start:?}..{next:?}");
        OffsetRange { start, next }
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.next
    }

    pub fn contains(&self, offset: Offset) -> bool {
        self.start <= offset && offset < self.next
    }
}

impl fmt::Debug for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.next == Offset::OPEN {
            return write!(f, "[{}..)", self.start.0);
        }
        write!(f, "[{}..{})", self.start.0, self.next.0)
    }
}
