//! Topics that have other ids where a backup is restored, and the same offsets.

use outflow_api::{
    ConfigRevision, LaneRecord, Pending, Recovered, RevisionRecord, Run, TopicId, TopicPartition, Track,
};
use std::collections::BTreeMap;

/// The backup's id → the id of today.
#[derive(Default)]
pub struct Moved(pub BTreeMap<TopicId, TopicId>);

impl Moved {
    /// Entries name topics by 32 digits of hex that stand for nothing else.
    pub fn revision(&self, mut revision: ConfigRevision) -> ConfigRevision {
        for content in revision.entries.iter_mut().filter_map(|entry| entry.content.as_mut()) {
            let Ok(text) = str::from_utf8(content) else { continue };
            let hex = |id: &TopicId| format!("{:032x}", id.0);
            let moved = self.0.iter().filter(|(old, _)| text.contains(&hex(old)));
            let new = moved.fold(text.to_owned(), |text, (old, new)| text.replace(&hex(old), &hex(new)));
            *content = new.into();
        }
        revision
    }

    pub fn journal(&self, journal: Recovered) -> Recovered {
        let Recovered { floors, lanes, revisions, .. } = journal;
        let track = |Track { feed, partition }| Track { feed, partition: self.partition(partition) };
        let starts = |record: RevisionRecord| RevisionRecord { starts: self.keys(record.starts), ..record };
        Recovered {
            floors: floors.into_iter().map(|(at, floor)| (track(at), floor)).collect(),
            lanes: lanes.into_iter().map(|(id, lane)| (id, self.lane(lane))).collect(),
            revisions: revisions.into_iter().map(starts).collect(),
            ..journal
        }
    }

    fn lane(&self, lane: LaneRecord) -> LaneRecord {
        let run = |run: Run| Run { owed: self.keys(run.owed), spent: self.keys(run.spent), ..run };
        LaneRecord {
            next: self.keys(lane.next),
            owed: self.keys(lane.owed),
            spent: self.keys(lane.spent),
            runs: lane.runs.into_iter().map(run).collect(),
            pending: lane.pending.map(|pending| self.pending(pending)),
            ..lane
        }
    }

    /// It keeps its id, by which its destination knows it. The hash of its rows has the old topic's id in it.
    fn pending(&self, pending: Pending) -> Pending {
        let is_moved = pending.covers.keys().any(|at| self.0.contains_key(&at.topic));
        Pending {
            rows_hash: if is_moved { Pending::HASH_UNKNOWN } else { pending.rows_hash },
            covers: self.keys(pending.covers),
            rejected: self.keys(pending.rejected),
            ..pending
        }
    }

    fn keys<V>(&self, map: BTreeMap<TopicPartition, V>) -> BTreeMap<TopicPartition, V> {
        map.into_iter().map(|(at, value)| (self.partition(at), value)).collect()
    }

    fn partition(&self, at: TopicPartition) -> TopicPartition {
        TopicPartition { topic: self.0.get(&at.topic).copied().unwrap_or(at.topic), ..at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{
        BatchId, ConfigEntry, Generation, Incarnation, LaneId, Offset, OffsetRange, Pins, Ranges, Revision, Shard,
    };

    fn at(topic: u128) -> TopicPartition {
        TopicPartition { topic: TopicId(topic), partition: 3 }
    }

    fn lane(topic: u128, rows_hash: u64) -> LaneRecord {
        let owed = BTreeMap::from([(at(topic), Ranges::of(OffsetRange::new(Offset(5), Offset::OPEN)))]);
        let (incarnation, shard, generation) = (Incarnation(1), Shard(0), Generation(2));
        let pending = Pending {
            id: BatchId { incarnation, shard, generation, lane: LaneId(1), seq: 4 },
            token: b"t".as_slice().into(),
            covers: BTreeMap::from([(at(topic), OffsetRange::new(Offset(1), Offset(5)))]),
            version: Revision(1),
            run: None,
            by: Pins::OWN_OFFSETS,
            rejected: BTreeMap::from([(at(topic), vec![Offset(2)])]),
            rows: 3,
            rows_hash,
        };
        let run = Run { id: Some(Revision(2)), by: Pins::OWN_OFFSETS, owed: owed.clone(), spent: BTreeMap::new() };
        let next = BTreeMap::from([(at(topic), Offset(5))]);
        LaneRecord { next, owed, runs: vec![run], pending: Some(pending), ..LaneRecord::default() }
    }

    #[test]
    fn positions_and_entries_follow_their_topic_and_a_decided_batch_stays_the_same_batch() {
        let moved = Moved(BTreeMap::from([(TopicId(7), TopicId(8))]));
        assert_eq!(moved.lane(lane(7, 9)), lane(8, Pending::HASH_UNKNOWN));
        assert_eq!(moved.lane(lane(6, 9)), lane(6, 9), "of another topic");
        let revision = |id: u128| {
            let content = Some(format!("{{\"{:032x}/0\":[[0,{id}]]}}", id).into());
            ConfigRevision { revision: Revision(1), entries: vec![ConfigEntry { object: "c".to_owned(), content }] }
        };
        let text = |revision: ConfigRevision| revision.entries[0].content.clone().expect("it says something");
        let new = text(moved.revision(revision(7)));
        assert_eq!(new, format!("{{\"{:032x}/0\":[[0,7]]}}", 8), "ids, and nothing that looks like one");
        assert_eq!(moved.revision(revision(6)), revision(6));
        let pending = lane(8, Pending::HASH_UNKNOWN).pending.expect("decided");
        assert!(pending.is_of(3, 77) && !pending.is_of(4, 77));
    }
}
