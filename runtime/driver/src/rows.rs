use crate::{
    memory::{Budget, Reserved},
    packed::Packed,
    pages::Pages,
    route::Taking,
};
use outflow_api::{LaneId, OffsetRange, RecordBlock, Revision, RowSlice, Rows, TopicPartition};
use rustc_hash::FxHashMap;
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// A lane that takes this part of its partition's records, while memory is tight, is among the largest, which are
/// sealed soon: to compress its rows would cost more than the few more files do.
const BUSY_PART: usize = 64;
/// A small block says little about who is busy.
const BUSY_ROWS_MIN: usize = 8;

/// Rows in memory, and the bytes of the budget that they hold as long as anybody holds them.
#[derive(Clone)]
pub(crate) struct Kept {
    pub slice: RowSlice,
    pub memory: Arc<Reserved>,
}

/// Rows of the live stream that wait for their batch, by lane and version.
pub(crate) struct OpenRows {
    pages: Pages,
    lanes: FxHashMap<LaneId, Vec<(Revision, Waiting)>>,
}

/// A lane that takes most of a block shares it; of one that takes a few rows, the rows are copied, for the block would
/// stay as long as they do.
#[derive(Default)]
pub(crate) struct Waiting {
    shared: Vec<Kept>,
    own: Vec<Packed>,
}

impl Waiting {
    pub fn keep(&mut self, kept: Kept) {
        self.shared.push(kept);
    }

    /// Rising rows.
    pub fn copy(&mut self, block: &RecordBlock, rows: &Taking, pages: &Pages) {
        let Some(first) = rows.first() else { return };
        let at = self.own.iter().position(|own| own.goes_on_with(block.partition(), block.offset(first)));
        let at = at.unwrap_or_else(|| {
            self.own.push(Packed::new(block, pages));
            self.own.len() - 1
        });
        let own = &mut self.own[at];
        rows.iter().for_each(|row| own.push(block, row));
        let is_busy = rows.len() >= BUSY_ROWS_MIN && rows.len() * BUSY_PART >= block.len();
        if !(is_busy && pages.budget().is_tight()) {
            own.settle();
        }
    }

    pub fn append(&mut self, mut other: Waiting) {
        self.shared.append(&mut other.shared);
        self.own.append(&mut other.own);
    }

    /// What it holds of the budget.
    pub fn held_bytes(&self) -> usize {
        self.shared_bytes() + self.own.iter().map(Packed::held_bytes).sum::<usize>()
    }

    /// What the rows are when they are unpacked.
    pub fn raw_bytes(&self) -> usize {
        self.shared_bytes() + self.own.iter().map(Packed::raw_bytes).sum::<usize>()
    }

    fn shared_bytes(&self) -> usize {
        self.shared.iter().map(|kept| part_of(kept, kept.slice.block.held_bytes())).sum()
    }

    /// In no particular order.
    pub fn finish(self, budget: &Budget) -> Vec<Kept> {
        let Waiting { mut shared, own } = self;
        shared.extend(own.into_iter().map(|packed| packed.unpack(budget)));
        shared
    }
}

impl OpenRows {
    pub fn new(pages: Pages) -> OpenRows {
        OpenRows { pages, lanes: FxHashMap::default() }
    }

    fn waiting(&mut self, lane: LaneId, version: Revision) -> &mut Waiting {
        let versions = self.lanes.entry(lane).or_default();
        let at = versions.iter().position(|(known, _)| *known == version).unwrap_or_else(|| {
            versions.push((version, Waiting::default()));
            versions.len() - 1
        });
        &mut versions[at].1
    }

    pub fn keep(&mut self, lane: LaneId, version: Revision, kept: Kept) {
        self.waiting(lane, version).keep(kept);
    }

    pub fn copy(&mut self, lane: LaneId, version: Revision, block: &RecordBlock, rows: &Taking) {
        let pages = self.pages.clone();
        self.waiting(lane, version).copy(block, rows, &pages);
    }

    /// What all of them are when they are unpacked.
    pub fn raw_bytes(&self) -> usize {
        self.lanes.values().flatten().map(|(_, waiting)| waiting.raw_bytes()).sum()
    }

    pub fn forget(&mut self, lane: LaneId) {
        self.lanes.remove(&lane);
    }

    /// All rows of this version: a batch takes whatever of them has come.
    pub fn take(&mut self, lane: LaneId, version: Revision) -> Waiting {
        let Some(versions) = self.lanes.get_mut(&lane) else { return Waiting::default() };
        let Some(at) = versions.iter().position(|(known, _)| *known == version) else { return Waiting::default() };
        let (_, waiting) = versions.swap_remove(at);
        if versions.is_empty() {
            self.lanes.remove(&lane);
        }
        waiting
    }
}

fn part_of(kept: &Kept, bytes: usize) -> usize {
    bytes * kept.slice.rows.len() / kept.slice.block.len().max(1)
}

/// All rows of a block, in the budget's books.
pub(crate) fn whole(block: RecordBlock, memory: Reserved) -> Kept {
    let rows: Range<usize> = 0..block.len();
    Kept { slice: RowSlice { block: Arc::new(block), rows }, memory: Arc::new(memory) }
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
