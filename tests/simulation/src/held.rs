use crate::RowId;
use outflow_api::{LaneId, Offset, OffsetRange, Revision, TopicPartition};
use std::collections::BTreeMap;

/// The rows that a worker holds open, by lane and the lane's version, in (topic, partition, offset) order.
#[derive(Default)]
pub struct Held(BTreeMap<LaneId, BTreeMap<Revision, BTreeMap<RowId, ()>>>);

impl Held {
    pub fn keep(&mut self, lane: LaneId, version: Revision, row: RowId) -> Result<(), String> {
        match self.0.entry(lane).or_default().entry(version).or_default().insert(row, ()) {
            Some(()) => Err(format!("{row:?} is held twice for {lane:?}")),
            None => Ok(()),
        }
    }

    pub fn take(
        &mut self,
        lane: LaneId,
        version: Revision,
        covers: &BTreeMap<TopicPartition, OffsetRange>,
    ) -> Result<Vec<RowId>, String> {
        let Some(versions) = self.0.get_mut(&lane) else { return Ok(Vec::new()) };
        let within = |(key, offset): &RowId| covers.get(key).is_some_and(|range| range.contains(*offset));
        let mut taken = Vec::new();
        for (own, rows) in versions {
            let chosen: Vec<RowId> = rows.keys().filter(|row| within(row)).copied().collect();
            if *own != version && !chosen.is_empty() {
                return Err(format!("a batch of {version:?} of {lane:?} covers {chosen:?}, which are of {own:?}"));
            }
            chosen.iter().for_each(|row| {
                rows.remove(row);
            });
            taken.extend(chosen);
        }
        Ok(taken)
    }

    pub fn forget(&mut self, lane: LaneId) {
        self.0.remove(&lane);
    }

    pub fn rows(&self, lane: LaneId) -> u64 {
        self.0.get(&lane).map_or(0, |versions| versions.values().map(|rows| rows.len() as u64).sum())
    }

    pub fn all(&self) -> u64 {
        self.0.keys().map(|lane| self.rows(*lane)).sum()
    }
}

/// In front of the row: the whole ranges of earlier partitions, and a part of its own.
pub fn cut(covers: &BTreeMap<TopicPartition, OffsetRange>, at: RowId) -> BTreeMap<TopicPartition, OffsetRange> {
    let before = covers.iter().filter(|(key, _)| **key <= at.0).map(|(key, range)| {
        let next: Offset = if *key == at.0 { at.1 } else { range.next };
        (*key, OffsetRange::new(range.start, next))
    });
    before.collect()
}
