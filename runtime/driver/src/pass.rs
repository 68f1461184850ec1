//! One way through a partition for everybody who reads beside the live stream: lanes in debt, runs, decided batches
//! whose rows are gone from memory. Whoever comes while it is under way joins it where it stands, or waits for the next
//! round.

use crate::{
    pages::Pages,
    route::Taking,
    rows::{Kept, Waiting},
};
use outflow_api::{LaneId, Offset, OffsetRange, Pins, Revision, TopicPartition};
use std::collections::BTreeMap;

/// Rows of one lane in one partition, to be read again.
pub(crate) struct Want {
    pub lane: LaneId,
    pub range: OffsetRange,
    pub by: Pins,
    /// Only rows of this version of the lane, as a decided batch has; else those of the first version that is met.
    pub version: Option<Revision>,
    pub rows_max: u64,
    pub bytes_max: u64,
    next: Offset,
    found: Waiting,
    rows: u64,
    bytes: u64,
    is_full: bool,
    /// The batch is what it is: nothing of the range is left for another one.
    is_decided: bool,
}

/// What came of it: the rows, and how far they were looked for.
pub(crate) struct Found {
    pub found: Waiting,
    pub rows: u64,
    pub version: Option<Revision>,
    pub covers: OffsetRange,
}

impl Want {
    pub fn new(lane: LaneId, range: OffsetRange, by: Pins) -> Want {
        let (found, next) = (Waiting::default(), range.start);
        let (rows_max, bytes_max) = (u64::MAX, u64::MAX);
        let (is_full, is_decided) = (false, false);
        Want {
            lane,
            range,
            by,
            version: None,
            rows_max,
            bytes_max,
            next,
            found,
            rows: 0,
            bytes: 0,
            is_full,
            is_decided,
        }
    }

    /// The rows of a decided batch.
    pub fn decided(lane: LaneId, range: OffsetRange, by: Pins, version: Revision) -> Want {
        Want { version: Some(version), is_decided: true, ..Want::new(lane, range, by) }
    }

    pub fn next(&self) -> Offset {
        self.next
    }

    pub fn is_over(&self) -> bool {
        self.is_full || self.next >= self.range.next
    }

    /// The lane's rows of this version in the piece that was just read; more of them come if it is not over.
    pub fn take(&mut self, kept: &Kept, version: Revision, rows: impl Iterator<Item = usize>, pages: &Pages) {
        if self.is_full {
            return;
        }
        let block = &kept.slice.block;
        for row in rows {
            let offset = block.offset(row);
            if offset < self.next || !self.range.contains(offset) {
                continue;
            }
            let is_other = *self.version.get_or_insert(version) != version;
            if is_other && self.is_decided {
                continue;
            }
            if is_other || self.rows >= self.rows_max || self.bytes >= self.bytes_max {
                // A batch has one version, and limits: it ends before this row.
                self.is_full = true;
                self.next = offset;
                return;
            }
            self.rows += 1;
            self.bytes += (block.payload_bytes() / block.len().max(1)) as u64;
            self.found.copy(block, &Taking::All(row..row + 1), pages);
        }
    }

    /// The piece is read through.
    pub fn passed(&mut self, next: Offset) {
        if !self.is_full {
            self.next = next.min(self.range.next).max(self.next);
        }
    }

    pub fn finish(self) -> Found {
        let covers = OffsetRange::new(self.range.start, self.next);
        Found { found: self.found, rows: self.rows, version: self.version, covers }
    }
}

/// Where the next piece of a partition begins and how far it may go.
#[derive(Default)]
pub(crate) struct Sweep {
    /// Where the last piece ended: who stands behind it waits until the others are through.
    stood: BTreeMap<TopicPartition, Offset>,
}

impl Sweep {
    /// `needs`: from where and up to where somebody wants to read.
    pub fn next(
        &self,
        partition: TopicPartition,
        needs: impl Iterator<Item = (Offset, Offset)>,
    ) -> Option<OffsetRange> {
        let stood = self.stood.get(&partition).copied().unwrap_or(Offset::ZERO);
        let (mut ahead, mut behind, mut end) = (None, None, Offset::ZERO);
        for (from, upto) in needs.filter(|(from, upto)| from < upto) {
            let first: &mut Option<Offset> = if from >= stood { &mut ahead } else { &mut behind };
            *first = Some(first.map_or(from, |first| first.min(from)));
            end = end.max(upto);
        }
        Some(OffsetRange::new(ahead.or(behind)?, end))
    }

    pub fn stands(&mut self, partition: TopicPartition, at: Offset) {
        self.stood.insert(partition, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::TopicId;

    #[test]
    fn a_sweep_goes_on_to_the_end_before_it_turns_back() {
        let partition = TopicPartition { topic: TopicId(1), partition: 0 };
        let mut sweep = Sweep::default();
        let next = |sweep: &Sweep, needs: &[(i64, i64)]| {
            let needs = needs.iter().map(|(from, upto)| (Offset(*from), Offset(*upto)));
            sweep.next(partition, needs).map(|range| (range.start.0, range.next.0))
        };
        assert_eq!(next(&sweep, &[(5, 100), (20, 50)]), Some((5, 100)));
        sweep.stands(partition, Offset(30));
        assert_eq!(next(&sweep, &[(10, 100), (30, 50)]), Some((30, 100)));
        assert_eq!(next(&sweep, &[(10, 100)]), Some((10, 100)));
        assert_eq!(next(&sweep, &[(10, 10)]), None);
    }
}
