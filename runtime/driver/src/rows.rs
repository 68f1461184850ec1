use crate::memory::Reserved;
use outflow_api::{LaneId, OffsetRange, Revision, RowSlice, Rows, TopicPartition};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Rows in memory, and the bytes of the budget that they hold as long as anybody holds them.
#[derive(Clone)]
pub(crate) struct Kept {
    pub slice: RowSlice,
    pub memory: Arc<Reserved>,
}

/// Rows of the live stream that wait for their batch, by lane and version.
#[derive(Default)]
pub(crate) struct OpenRows(HashMap<(LaneId, Revision), Vec<Kept>>);

impl OpenRows {
    pub fn keep(&mut self, lane: LaneId, version: Revision, kept: Kept) {
        self.0.entry((lane, version)).or_default().push(kept);
    }

    pub fn forget(&mut self, lane: LaneId) {
        self.0.retain(|(of, _), _| *of != lane);
    }

    pub fn take(
        &mut self,
        lane: LaneId,
        version: Revision,
        covers: &BTreeMap<TopicPartition, OffsetRange>,
    ) -> Vec<Kept> {
        let kept = self.0.remove(&(lane, version)).unwrap_or_default();
        let (inside, outside) = split(kept, covers);
        if !outside.is_empty() {
            self.0.insert((lane, version), outside);
        }
        inside
    }
}

/// The rows within `covers`, and the others.
pub(crate) fn split(kept: Vec<Kept>, covers: &BTreeMap<TopicPartition, OffsetRange>) -> (Vec<Kept>, Vec<Kept>) {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for Kept { slice, memory } in kept {
        let RowSlice { block, rows } = slice;
        let range = covers.get(&block.partition());
        let from = range.map_or(rows.end, |range| block.row_at(range.start).clamp(rows.start, rows.end));
        let to = range.map_or(rows.end, |range| block.row_at(range.next).clamp(from, rows.end));
        let put = |into: &mut Vec<Kept>, rows: std::ops::Range<usize>| {
            if !rows.is_empty() {
                let slice = RowSlice { block: Arc::clone(&block), rows };
                into.push(Kept { slice, memory: Arc::clone(&memory) });
            }
        };
        put(&mut outside, rows.start..from);
        put(&mut inside, from..to);
        put(&mut outside, to..rows.end);
    }
    (inside, outside)
}

pub(crate) fn rows_of(kept: &[Kept]) -> Rows {
    Rows::new(kept.iter().map(|kept| kept.slice.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Budget;
    use outflow_api::{Offset, RecordBlock, TopicId};

    #[test]
    fn splitting_loses_no_row() {
        let partition = TopicPartition { topic: TopicId(1), partition: 0 };
        let mut block = RecordBlock::new(partition);
        (0..10).for_each(|offset| block.push(Offset(offset * 2), 0, None, None, []));
        let slice = RowSlice { block: Arc::new(block), rows: 1..9 };
        let kept = vec![Kept { slice, memory: Arc::new(Budget::new(0).reserve(0)) }];
        let (inside, outside) = split(kept, &BTreeMap::from([(partition, OffsetRange::new(Offset(5), Offset(11)))]));
        let offsets = |kept: &[Kept]| rows_of(kept).iter().map(|row| row.offset.0).collect::<Vec<_>>();
        assert_eq!(offsets(&inside), [6, 8, 10]);
        assert_eq!(offsets(&outside), [2, 4, 12, 14, 16]);
    }
}
