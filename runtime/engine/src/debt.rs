//! A lane that is too slow, or fails, owes what comes: its debt is in the journal, the floor moves on, nobody waits.

use crate::{
    Action, BatchSpec, DebtRead, Engine, Reason, Stop,
    lane::{Batch, Lane, Stage},
};
use outflow_api::{BatchId, LaneId, Offset, OffsetRange, Parked, TopicPartition};
use std::collections::BTreeMap;

impl Engine {
    /// From `next` on, the lane owes everything (P13); open rows are dropped. Not only from its first row on: after a
    /// crash, rows between `next` and that one may be routed anew, and the live stream must find no gap in the debt. A
    /// batch that is not being decided stays, as a part of the debt.
    pub(crate) fn fall_behind(&mut self, id: LaneId, out: &mut Vec<Action>) {
        let lane = self.lanes.get_mut(&id).expect("the caller saw it");
        for (key, partition) in &self.partitions {
            let next = lane.record.next.get(key).copied().unwrap_or(partition.floor);
            lane.owe(*key, OffsetRange::new(next.max(partition.floor), Offset::OPEN));
        }
        if let Some(slot) = lane.slot.as_mut().filter(|slot| !matches!(slot.stage, Stage::Deciding { .. })) {
            slot.debt = true;
        }
        if !lane.open.is_empty() {
            lane.open.clear();
            out.push(Action::Forget { lane: id });
        }
        self.dirty.insert(id);
    }

    /// The lane is tried again later; until then its debt grows in the journal and not in memory.
    pub(crate) fn park(&mut self, id: LaneId, reason: Reason, out: &mut Vec<Action>) {
        self.give_up_slot(id, out);
        self.fall_behind(id, out);
        let (first_ms, max_ms) = (self.settings.park_ms_first, self.settings.park_ms_max);
        let lane = self.lanes.get_mut(&id).expect("the caller saw it");
        lane.record.parked = Some(Parked { code: reason.code, hint: reason.hint });
        lane.park_ms = (lane.park_ms * 2).clamp(first_ms, max_ms);
        lane.resume_at_ms = self.now_ms + lane.park_ms;
    }

    /// Whatever is not being decided goes back to being owed.
    fn give_up_slot(&mut self, id: LaneId, out: &mut Vec<Action>) {
        let lane = self.lanes.get_mut(&id).expect("the caller saw it");
        let Some(batch) = lane.slot.take_if(|batch| !matches!(batch.stage, Stage::Deciding { .. })) else { return };
        if !batch.debt {
            batch.covers.iter().for_each(|(key, range)| lane.owe(*key, *range));
        }
        if let Stage::Prepared(ready) = batch.stage {
            out.push(Action::Abort { lane: id, prepared: ready.prepared });
        }
    }

    pub(crate) fn resume(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.record.parked.is_some()) else { return };
        lane.resume_at_ms = self.now_ms;
        self.unpark_if_due(id);
    }

    fn unpark_if_due(&mut self, id: LaneId) {
        let now_ms = self.now_ms;
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        // While a reveal hangs there is nothing to try: its own answer resumes the lane.
        if lane.record.parked.is_some() && lane.resume_at_ms <= now_ms && !lane.reveal_stalled {
            lane.record.parked = None;
            self.dirty.insert(id);
        }
    }

    /// Starts reading debt where a slot is free; lets lanes that have caught up turn live.
    pub(crate) fn pay_debts(&mut self, out: &mut Vec<Action>) {
        let owing: Vec<LaneId> =
            self.lanes.iter().filter(|(_, lane)| !lane.record.owed.is_empty()).map(|(id, _)| *id).collect();
        for id in owing {
            self.unpark_if_due(id);
            let lane = &self.lanes[&id];
            if lane.record.parked.is_some() || self.draining {
                continue;
            }
            if lane.is_behind() && !lane.is_ready_but_blocked() && self.is_near(lane) {
                self.join(id);
            }
            let lane = &self.lanes[&id];
            if lane.slot.is_some() {
                continue;
            }
            let Some(owed) = self.debt_to_read(lane) else { continue };
            let spent = lane.record.spent.clone();
            let (now_ms, batch) = (self.now_ms, self.mint(id));
            let lane = self.lanes.get_mut(&id).expect("just seen");
            let covers = owed.clone();
            lane.slot = Some(Batch {
                stage: Stage::Reading(batch),
                debt: true,
                version: Default::default(),
                covers,
                since_ms: now_ms,
            });
            lane.debt_was_last = true;
            out.push(Action::ReadDebt { batch, owed, spent });
        }
        self.fall_where_reveals_hang(out);
    }

    /// The first owed range of each partition, as far as the reader has seen the log.
    pub(crate) fn debt_to_read(&self, lane: &Lane) -> Option<BTreeMap<TopicPartition, OffsetRange>> {
        let readable = lane.record.owed.iter().filter_map(|(key, owed)| {
            let (first, position) = (owed.first()?, self.partitions.get(key)?.position);
            let next = first.next.min(position);
            (first.start < next).then(|| (*key, OffsetRange::new(first.start, next)))
        });
        let readable: BTreeMap<_, _> = readable.collect();
        (!readable.is_empty()).then_some(readable)
    }

    fn is_near(&self, lane: &Lane) -> bool {
        lane.record.owed.iter().all(|(key, owed)| {
            let open = owed.as_slice().last().filter(|range| range.next == Offset::OPEN);
            let position = self.partitions.get(key).map(|partition| partition.position);
            let distance = open.zip(position).map(|(range, position)| position.0 - range.start.0);
            distance.is_none_or(|distance| distance <= self.settings.join_offsets)
        })
    }

    /// P15: `owed [c, J)` in place of `[c, ∞)`, with J not below `next`: debt below it (of a batch that was lost) would
    /// be owed no more, and the live stream skips it. The live stream keeps rows from J on at once; until the record is
    /// journaled they hold the floor as any open row does.
    fn join(&mut self, id: LaneId) {
        let lane = self.lanes.get_mut(&id).expect("the caller saw it");
        for (key, owed) in &mut lane.record.owed {
            let Some(open) = owed.as_slice().last().copied().filter(|range| range.next == Offset::OPEN) else {
                continue;
            };
            let Some(partition) = self.partitions.get(key) else { continue };
            let next = lane.record.next.entry(*key).or_insert(open.start);
            *next = partition.position.max(open.start).max(partition.floor).max(*next);
            owed.remove(OffsetRange::new(*next, Offset::OPEN));
        }
        lane.record.owed.retain(|_, owed| !owed.is_empty());
        lane.park_ms = 0;
        self.dirty.insert(id);
    }

    pub(crate) fn debt_read(&mut self, read: DebtRead, out: &mut Vec<Action>) {
        let DebtRead { batch, version, covers, rows } = read;
        let id = batch.lane;
        if !self.is_reading(batch) {
            return; // asked for before the lane parked
        }
        let owed = &self.lanes[&id].record.owed;
        if !covers.iter().all(|(key, range)| owed.get(key).is_some_and(|owed| owed.covers(*range))) {
            return self.stop(Stop::Halt(format!("read debt {covers:?} of lane {id:?}, which owes {owed:?}")), out);
        }
        if rows == 0 {
            let lane = self.lanes.get_mut(&id).expect("just seen");
            lane.decided(&covers);
            lane.slot = None;
            self.dirty.insert(id);
            return;
        }
        let batch = self.mint(id);
        let since_ms = self.now_ms;
        let lane = self.lanes.get_mut(&id).expect("just seen");
        lane.slot =
            Some(Batch { stage: Stage::Preparing(batch), debt: true, version, covers: covers.clone(), since_ms });
        out.push(Action::Prepare(BatchSpec { id: batch, version, covers, debt: true }));
    }

    pub(crate) fn debt_failed(&mut self, batch: BatchId, reason: Reason, out: &mut Vec<Action>) {
        if self.is_reading(batch) {
            self.park(batch.lane, reason, out);
        }
    }

    /// The rows of this `ReadDebt` are still waited for.
    pub fn is_reading(&self, batch: BatchId) -> bool {
        let slot = self.lanes.get(&batch.lane).and_then(|lane| lane.slot.as_ref());
        slot.is_some_and(|slot| matches!(slot.stage, Stage::Reading(own) if own == batch))
    }

    /// P17: a lane whose next batch is full while its last one still waits for the destination never blocks the shard.
    fn fall_where_reveals_hang(&mut self, out: &mut Vec<Action>) {
        let slow = |lane: &Lane| self.now_ms.saturating_sub(lane.reveal_since_ms) >= self.settings.slow_reveal_ms;
        let hanging = self
            .lanes
            .iter()
            .filter(|(id, lane)| lane.is_ready_but_blocked() && slow(lane) && self.is_full(**id, lane));
        let hanging: Vec<LaneId> = hanging.map(|(id, _)| *id).collect();
        hanging.into_iter().for_each(|id| self.fall_behind(id, out));
    }
}
