use crate::{Action, Engine, Settings, engine::Partition, lane::Lane, revision::Revisions};
use outflow_api::{Offset, OffsetRange, Prepared, Recovered, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// The engine of a new owner. `starts`: all partitions of the shard, and where to begin those that no owner ever
    /// read. Everything pending is revealed again, everything owed stays owed, everything else is read from the floor.
    pub fn recover(
        settings: Settings,
        recovered: Recovered,
        starts: &BTreeMap<TopicPartition, Offset>,
        now_ms: u64,
        out: &mut Vec<Action>,
    ) -> Engine {
        let Recovered { incarnation, generation, floors, lanes, revisions, .. } = recovered;
        let partition = |(key, start): (&TopicPartition, &Offset)| {
            let journaled = floors.contains_key(key);
            let floor = floors.get(key).copied().unwrap_or(*start);
            (*key, Partition { position: floor, floor, journaled })
        };
        let mut engine = Engine {
            settings,
            incarnation,
            generation,
            seq: 0,
            now_ms,
            partitions: starts.iter().map(partition).collect(),
            lanes: lanes.into_iter().map(|(id, record)| (id, Lane::recovered(record))).collect(),
            dirty: BTreeSet::new(),
            revisions: Revisions::recovered(revisions),
            deciding: None,
            decided_at_ms: now_ms,
            chosen_last: Default::default(),
            draining: false,
            stopped: false,
        };
        engine.owe_new_partitions();
        let pending = |lane: &Lane| {
            let pending = lane.record.pending.as_ref()?;
            Some(Prepared { id: pending.id, token: pending.token.clone() })
        };
        // P29: never what a pending entry names.
        let keep = engine.lanes.values().filter_map(pending).collect();
        out.push(Action::Sweep { below: generation, keep });
        for lane in engine.lanes.values_mut() {
            lane.reveal_since_ms = now_ms;
            out.extend(lane.reveal(false));
        }
        out.extend(engine.partitions.iter().map(|(key, at)| Action::Read { partition: *key, from: at.position }));
        engine.pay_debts(out);
        engine
    }

    /// A lane that was behind when a partition appeared owes it from its start.
    fn owe_new_partitions(&mut self) {
        for (key, partition) in self.partitions.iter().filter(|(_, partition)| !partition.journaled) {
            for (id, lane) in self.lanes.iter_mut().filter(|(_, lane)| lane.is_behind()) {
                lane.owe(*key, OffsetRange::new(partition.position, Offset::OPEN));
                self.dirty.insert(*id);
            }
        }
    }
}
