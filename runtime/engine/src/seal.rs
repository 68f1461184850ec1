use crate::{
    Action, BatchSpec, Engine, PreparedBatch, Reason, Stop,
    lane::{Batch, Lane, Ready, Stage},
};
use outflow_api::{LaneId, OffsetRange, Prepared, Ranges, TopicPartition};
use std::collections::BTreeMap;

impl Engine {
    /// Gives every lane whose open rows are due and whose slot is free a batch.
    pub(crate) fn seal_due(&mut self, out: &mut Vec<Action>) {
        let due: Vec<LaneId> =
            self.lanes.iter().filter(|(id, lane)| self.is_due(**id, lane)).map(|(id, _)| *id).collect();
        for id in due {
            let lane = &self.lanes[&id];
            // Debt and live rows take turns in the slot.
            let debt_waits = !lane.debt_was_last && lane.record.parked.is_none() && self.debt_to_read(lane).is_some();
            if lane.slot.is_none() && (self.draining || !debt_waits) {
                self.seal(id, out);
            }
        }
    }

    fn is_due(&self, id: LaneId, lane: &Lane) -> bool {
        let Some(open) = lane.open.front() else { return false };
        let limits = self.settings.flush(id);
        let age_ms = self.now_ms.saturating_sub(open.since_ms);
        // A lane's next version waits behind it: only a change of the lane's own version seals (P18).
        self.draining
            || lane.open.len() > 1
            || open.rows() >= limits.rows_max
            || open.bytes() >= limits.bytes_max
            || age_ms >= limits.age_ms_max.min(self.settings.replay_ms_max)
            || open.parts.iter().any(|(key, part)| {
                let position = self.partitions.get(key).map_or(part.first, |partition| partition.position);
                position.0 - part.first.0 >= self.settings.replay_offsets_max
            })
    }

    /// Over the limits, all its versions together, not merely old: more of it cannot wait.
    pub(crate) fn is_full(&self, id: LaneId, lane: &Lane) -> bool {
        let limits = self.settings.flush(id);
        let rows: u64 = lane.open.iter().map(|open| open.rows()).sum();
        let bytes: u64 = lane.open.iter().map(|open| open.bytes()).sum();
        rows >= limits.rows_max || bytes >= limits.bytes_max
    }

    pub(crate) fn seal(&mut self, id: LaneId, out: &mut Vec<Action>) {
        let batch = self.mint(id);
        let lane = self.lanes.get_mut(&id).expect("the caller saw it");
        assert!(lane.slot.is_none(), "the slot of lane {id:?} is taken");
        let Some(open) = lane.open.pop_front() else { return };
        let covers: BTreeMap<TopicPartition, OffsetRange> = open
            .parts
            .iter()
            .map(|(key, part)| {
                let partition = &self.partitions[key];
                let next_version = lane.open.iter().filter_map(|later| later.parts.get(key)).map(|part| part.first);
                // Nothing below the floor: the definitions of those rows may be forgotten.
                let next = lane.record.next.get(key).copied().unwrap_or(partition.floor);
                let start = next.max(partition.floor);
                assert!(start <= part.first, "a row below `next` was taken");
                let covers = OffsetRange::new(start, next_version.min().unwrap_or(partition.position));
                let owed = lane.record.owed.get(key).and_then(Ranges::last);
                assert!(owed.is_none_or(|owed| owed.next <= start), "a live batch would swallow debt");
                (*key, covers)
            })
            .collect();
        let (version, since_ms) = (open.version, open.since_ms);
        let stage = Stage::Preparing(batch);
        lane.slot = Some(Batch { stage, debt: false, version, covers: covers.clone(), since_ms });
        lane.debt_was_last = false;
        out.push(Action::Prepare(BatchSpec { id: batch, version, covers, debt: false }));
    }

    pub(crate) fn prepared(&mut self, batch: PreparedBatch, out: &mut Vec<Action>) {
        let PreparedBatch { id, token, covers, rows, rejected, rows_hash, letter_bytes, rest } = batch;
        let prepared = Prepared { id, token };
        let percent = self.settings.reject_percent(id.lane);
        let now_ms = self.now_ms;
        if self.pending(id).is_some() {
            return; // the answer came twice, and the batch is decided: its staging must stay
        }
        let Some(lane) = self.holder(id) else {
            // Its lane fell behind meanwhile; the rows are owed and will have another batch.
            return out.push(Action::Abort { lane: id.lane, prepared });
        };
        let slot = lane.slot.as_mut().expect("the holder's slot is taken");
        if !matches!(slot.stage, Stage::Preparing(_)) {
            return; // the answer came twice
        }
        if !is_prefix(&covers, &slot.covers) {
            let what = format!("batch {id} was asked for {:?} and covers {covers:?}", slot.covers);
            return self.stop(Stop::Halt(what), out);
        }
        slot.covers = covers;
        slot.stage = Stage::Prepared(Ready { prepared, rows, rejected, rows_hash, letter_bytes });
        if !slot.debt {
            rest.iter().for_each(|taken| lane.take(taken, now_ms));
        }
        let Some(Stage::Prepared(ready)) = lane.slot.as_ref().map(|slot| &slot.stage) else { return };
        let refused: u64 = ready.rejected.values().map(|offsets| offsets.len() as u64).sum();
        if rows + refused >= 1_000 && refused * 100 > (rows + refused) * percent {
            let hint = format!(
                "{refused} of {} rows do not fit the model: mend it, or raise the share for the dead letters",
                rows + refused
            );
            self.park(id.lane, Reason { code: "too-many-rejects".into(), hint }, out);
        }
    }

    pub(crate) fn prepare_failed(&mut self, id: outflow_api::BatchId, reason: Reason, out: &mut Vec<Action>) {
        let preparing = |lane: &mut Lane| matches!(&lane.slot, Some(Batch { stage: Stage::Preparing(_), .. }));
        if self.holder(id).is_some_and(preparing) {
            self.park(id.lane, reason, out);
        }
    }

    /// Memory is short: seal everything that has a free slot, oldest first; what waits for a slow destination is
    /// given up and read again later.
    pub(crate) fn relieve(&mut self, out: &mut Vec<Action>) {
        let open = self.lanes.iter().filter(|(_, lane)| !lane.open.is_empty());
        let mut open: Vec<(u64, LaneId)> = open.map(|(id, lane)| (lane.open[0].since_ms, *id)).collect();
        open.sort_unstable();
        for (_, id) in open {
            let lane = &self.lanes[&id];
            if lane.slot.is_none() {
                self.seal(id, out);
            } else if lane.is_ready_but_blocked() {
                self.fall_behind(id, out);
            }
        }
    }
}

impl Lane {
    /// The destination is what it waits for, not we.
    pub(crate) fn is_ready_but_blocked(&self) -> bool {
        let prepared = matches!(self.slot, Some(Batch { stage: Stage::Prepared(_), .. }));
        prepared && self.record.pending.is_some()
    }
}

/// Each range starts as asked and ends no later; partitions may be missing altogether.
fn is_prefix(cut: &BTreeMap<TopicPartition, OffsetRange>, asked: &BTreeMap<TopicPartition, OffsetRange>) -> bool {
    cut.iter()
        .all(|(key, range)| asked.get(key).is_some_and(|whole| whole.start == range.start && range.next <= whole.next))
}
