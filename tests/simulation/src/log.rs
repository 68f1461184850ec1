use crate::Rng;
use outflow_api::{Offset, OffsetRange, TopicId, TopicPartition};
use std::collections::BTreeMap;

/// Whether a row can be written at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    Fits,
    /// Does not fit the model: seen when the batch is prepared.
    NotModel,
    /// Refused by the destination: seen when the batch is committed, where nothing was staged.
    NotDestination,
}

#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub key: u8,
    pub fit: Fit,
}

pub type RowId = (TopicPartition, Offset);

/// All topics. `None` is an offset without a record: a transaction marker, or compaction.
#[derive(Default)]
pub struct Log {
    pub partitions: BTreeMap<TopicPartition, Vec<Option<Row>>>,
}

impl Log {
    pub fn add(&mut self, topic: u32, partition: u32) -> TopicPartition {
        let key = TopicPartition { topic: TopicId(topic.into()), partition };
        self.partitions.entry(key).or_default();
        key
    }

    pub fn grow(&mut self, key: TopicPartition, row: Option<Row>) {
        self.partitions.get_mut(&key).expect("a partition stays").push(row);
    }

    pub fn draw(rng: &mut Rng, keys: u32, hole: u64, misfit: u64, refuse: u64) -> Option<Row> {
        let (key, is_hole) = (rng.below(keys.into()) as u8, rng.chance(hole));
        let fit = match () {
            () if rng.chance(misfit) => Fit::NotModel,
            () if rng.chance(refuse) => Fit::NotDestination,
            () => Fit::Fits,
        };
        (!is_hole).then_some(Row { key, fit })
    }

    pub fn end(&self, key: TopicPartition) -> Offset {
        Offset(self.partitions[&key].len() as i64)
    }

    pub fn row(&self, (key, offset): RowId) -> Option<Row> {
        self.partitions[&key].get(offset.0 as usize).copied().flatten()
    }

    /// Rows of the range, holes left out.
    pub fn rows(&self, key: TopicPartition, range: OffsetRange) -> impl Iterator<Item = (Offset, Row)> + '_ {
        let rows = &self.partitions[&key];
        let next = (range.next.0.max(0) as usize).min(rows.len());
        let start = (range.start.0 as usize).min(next);
        let offsets = rows[start..next].iter().zip(start as i64..);
        offsets.filter_map(|(row, offset)| Some((Offset(offset), (*row)?)))
    }
}

/// Of the rows of a batch, in their order.
pub fn hash(rows: &[RowId]) -> u64 {
    rows.iter().fold(0xcbf2_9ce4_8422_2325, |hash, (key, offset)| {
        let words = [key.topic.0 as u64, key.partition.into(), offset.0 as u64];
        words.iter().fold(hash, |hash, word| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3))
    })
}
