//! A lane that is too slow, or fails, owes what comes: its debt is in the journal, the floor moves on, nobody waits.

use crate::{
    Action, BatchSpec, DebtRead, Engine, Reason, Stop,
    lane::{Batch, Lane, Rows, Stage},
};
use outflow_api::{BatchId, LaneId, Offset, OffsetRange, Parked, TopicPartition, Track};
use std::collections::BTreeMap;

/// Rows that are to be read again, of one partition.
pub(crate) struct Debt {
    pub rows: Rows,
    pub partition: TopicPartition,
    pub range: OffsetRange,
}

impl Engine {
    /// From `next` on, the lane owes everything (P13); open rows are dropped. Not only from its first row on: after a
    /// crash, rows between `next` and that one may be routed anew, and the live stream must find no gap in the debt. A
    /// batch that is not being decided stays, as a part of the debt.
    pub(crate) fn fall_behind(&mut self, id: LaneId, out: &mut Vec<Action>) {
        self.owe_what_comes(id);
        let lane = self.lanes.get_mut(id).expect("the caller saw it");
        let undecided = |slot: &&mut Batch| slot.rows == Rows::Live && !matches!(slot.stage, Stage::Deciding { .. });
        if let Some(slot) = lane.slot.as_mut().filter(undecided) {
            slot.rows = Rows::Debt;
        }
        lane.seal_now = false;
        if !lane.open.is_empty() {
            lane.open.clear();
            out.push(Action::Forget { lane: id });
        }
        lane.is_dirty = true;
    }

    pub(crate) fn owe_what_comes(&mut self, id: LaneId) {
        let lane = self.lanes.get_mut(id).expect("the caller saw it");
        let feed = lane.record.feed;
        for (track, cursor) in self.tracks.iter().filter(|(track, _)| track.feed == feed) {
            let next = lane.record.next.get(&track.partition).copied().unwrap_or(cursor.floor);
            lane.owe(track.partition, OffsetRange::new(next.max(cursor.floor), Offset::OPEN));
        }
        lane.is_dirty |= lane.journaled.as_ref().is_none_or(|journaled| journaled.owed != lane.record.owed);
    }

    /// The lane is tried again later; until then its debt grows in the journal and not in memory.
    pub(crate) fn park(&mut self, id: LaneId, reason: Reason, out: &mut Vec<Action>) {
        self.give_up_slot(id, out);
        self.fall_behind(id, out);
        let (first_ms, max_ms) = (self.settings.park_ms_first, self.settings.park_ms_max);
        let lane = self.lanes.get_mut(id).expect("the caller saw it");
        let held = lane.record.parked.as_ref().is_some_and(|parked| parked.held);
        if !held {
            lane.record.parked = Some(Parked { code: reason.code, hint: reason.hint, held });
        }
        lane.park_ms = (lane.park_ms * 2).clamp(first_ms, max_ms);
        lane.resume_at_ms = self.now_ms + lane.park_ms;
    }

    /// Whatever is not being decided goes back to being owed.
    pub(crate) fn give_up_slot(&mut self, id: LaneId, out: &mut Vec<Action>) {
        let lane = self.lanes.get_mut(id).expect("the caller saw it");
        let Some(batch) = lane.slot.take_if(|batch| !matches!(batch.stage, Stage::Deciding { .. })) else { return };
        if batch.rows == Rows::Live {
            batch.covers.iter().for_each(|(key, range)| lane.owe(*key, *range));
        }
        if let Stage::Prepared(ready) = batch.stage {
            out.push(Action::Abort { lane: id, prepared: ready.prepared });
        }
    }

    pub(crate) fn resume(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(id).filter(|lane| lane.record.parked.is_some()) else { return };
        lane.resume_at_ms = self.now_ms;
        self.unpark_if_due(id);
    }

    fn unpark_if_due(&mut self, id: LaneId) {
        let now_ms = self.now_ms;
        let Some(lane) = self.lanes.get_mut(id) else { return };
        let may_go_on = lane.record.parked.as_ref().is_some_and(|parked| !parked.held);
        // While a reveal hangs there is nothing to try: its own answer resumes the lane.
        if may_go_on && lane.resume_at_ms <= now_ms && !lane.reveal_stalled {
            lane.record.parked = None;
            lane.is_dirty = true;
        }
    }

    /// Starts reading debt where a slot is free; lets lanes that have caught up turn live.
    pub(crate) fn pay_debts(&mut self, is_tick: bool, out: &mut Vec<Action>) {
        let due = self.agenda.resume.iter().take_while(|(at, _)| *at <= self.now_ms);
        let due: Vec<LaneId> = due.map(|(_, id)| *id).collect();
        due.into_iter().for_each(|id| self.unpark_if_due(id));
        self.note_changes();
        let owing: Vec<LaneId> = match is_tick {
            true => self.agenda.read.iter().copied().collect(),
            false => self.agenda.read.intersection(self.lanes.recent()).copied().collect(),
        };
        for id in owing {
            if self.draining {
                break;
            }
            let lane = self.lanes.get(id).expect("a lane in debt is there");
            if lane.is_behind() && !lane.is_ready_but_blocked() && self.is_near(lane) {
                self.join(id);
            }
            let lane = self.lanes.get(id).expect("just seen");
            if lane.slot.is_none()
                && let Some(debt) = self.debt_to_read(lane)
            {
                self.read_debt(id, debt, out);
            }
        }
        if is_tick {
            self.fall_where_reveals_hang(out);
        }
    }

    fn read_debt(&mut self, id: LaneId, debt: Debt, out: &mut Vec<Action>) {
        let Debt { rows, partition, range } = debt;
        let batch = self.mint(id);
        let lane = self.lanes.get_mut(id).expect("the caller saw it");
        let spent = lane.spent(rows).and_then(|spent| spent.get(&partition)).into_iter().flatten();
        let spent = spent.filter(|offset| range.contains(**offset)).copied().collect();
        let covers = BTreeMap::from([(partition, range)]);
        lane.slot = Some(Batch { stage: Stage::Reading(batch), rows, version: Default::default(), covers });
        lane.debt_was_last = true;
        out.push(Action::ReadDebt { batch, partition, range, by: rows.by(), spent });
    }

    /// The first owed range of a partition, as far as the reader has seen the log; runs come behind what else is owed.
    pub(crate) fn debt_to_read(&self, lane: &Lane) -> Option<Debt> {
        let feed = lane.record.feed;
        let readable = |partition: &TopicPartition, range: Option<OffsetRange>| {
            let (first, position) = (range?, self.tracks.get(&Track { feed, partition: *partition })?.position);
            let next = first.next.min(position);
            (first.start < next).then(|| OffsetRange::new(first.start, next))
        };
        let debt = lane.record.owed.iter().find_map(|(partition, owed)| {
            Some(Debt { rows: Rows::Debt, partition: *partition, range: readable(partition, owed.first())? })
        });
        debt.or_else(|| {
            let runs = lane.record.runs.iter().flat_map(|run| run.owed.iter().map(move |owed| (run, owed)));
            runs.into_iter().find_map(|(run, (partition, owed))| {
                let rows = Rows::Run { id: run.id, by: run.by };
                Some(Debt { rows, partition: *partition, range: readable(partition, owed.first())? })
            })
        })
    }

    fn is_near(&self, lane: &Lane) -> bool {
        lane.record.owed.iter().all(|(key, owed)| {
            let open = owed.as_slice().last().filter(|range| range.next == Offset::OPEN);
            let track = Track { feed: lane.record.feed, partition: *key };
            let position = self.tracks.get(&track).map(|cursor| cursor.position);
            let distance = open.zip(position).map(|(range, position)| position.0 - range.start.0);
            distance.is_none_or(|distance| distance <= self.settings.join_offsets)
        })
    }

    /// P15: `owed [c, J)` in place of `[c, ∞)`, with J not below `next`: debt below it (of a batch that was lost) would
    /// be owed no more, and the live stream skips it. The live stream keeps rows from J on at once; until the record is
    /// journaled they hold the floor as any open row does.
    pub(crate) fn join(&mut self, id: LaneId) {
        let lane = self.lanes.get_mut(id).expect("the caller saw it");
        let feed = lane.record.feed;
        for (key, owed) in &mut lane.record.owed {
            let Some(open) = owed.as_slice().last().copied().filter(|range| range.next == Offset::OPEN) else {
                continue;
            };
            let Some(cursor) = self.tracks.get(&Track { feed, partition: *key }) else { continue };
            let next = lane.record.next.entry(*key).or_insert(open.start);
            *next = cursor.position.max(open.start).max(cursor.floor).max(*next);
            owed.remove(OffsetRange::new(*next, Offset::OPEN));
        }
        lane.record.owed.retain(|_, owed| !owed.is_empty());
        lane.park_ms = 0;
        lane.is_dirty = true;
    }

    pub(crate) fn debt_read(&mut self, read: DebtRead, out: &mut Vec<Action>) {
        let DebtRead { batch, version, covers, rows } = read;
        let id = batch.lane;
        if !self.is_reading(batch) {
            return; // asked for before the lane parked
        }
        let lane = self.lanes.get(id).expect("it is reading");
        let slot = lane.slot.as_ref().expect("it is reading");
        let (kind, asked) = (slot.rows, slot.covers.iter().next().map(|(key, range)| (*key, *range)));
        let Some((partition, asked)) =
            asked.filter(|(_, asked)| asked.start == covers.start && covers.next <= asked.next)
        else {
            return self.stop(Stop::Halt(format!("read debt {covers:?} for {batch}, which asked for {asked:?}")), out);
        };
        debug_assert!(asked.start < asked.next);
        let covers = BTreeMap::from([(partition, covers)]);
        if rows == 0 {
            let lane = self.lanes.get_mut(id).expect("just seen");
            lane.decided(kind, &covers);
            lane.slot = None;
            lane.is_dirty = true;
            return;
        }
        let batch = self.mint(id);
        let lane = self.lanes.get_mut(id).expect("just seen");
        lane.slot = Some(Batch { stage: Stage::Preparing(batch), rows: kind, version, covers: covers.clone() });
        out.push(Action::Prepare(BatchSpec { id: batch, version, covers, debt: true }));
    }

    pub(crate) fn debt_failed(&mut self, batch: BatchId, reason: Reason, out: &mut Vec<Action>) {
        if self.is_reading(batch) {
            self.park(batch.lane, reason, out);
        }
    }

    /// The rows of this `ReadDebt` are still waited for.
    pub fn is_reading(&self, batch: BatchId) -> bool {
        let slot = self.lanes.get(batch.lane).and_then(|lane| lane.slot.as_ref());
        slot.is_some_and(|slot| matches!(slot.stage, Stage::Reading(own) if own == batch))
    }

    /// P17: a lane whose next batch is full while its last one still waits for the destination never blocks the shard.
    fn fall_where_reveals_hang(&mut self, out: &mut Vec<Action>) {
        let slow = |lane: &Lane| self.now_ms.saturating_sub(lane.reveal_since_ms) >= self.settings.slow_reveal_ms;
        let hangs = |id: &LaneId| self.lanes.get(*id).is_some_and(|lane| slow(lane) && lane.is_full());
        let hanging: Vec<LaneId> = self.agenda.blocked.iter().copied().filter(hangs).collect();
        hanging.into_iter().for_each(|id| self.fall_behind(id, out));
    }
}
