use crate::{
    Action, BatchSpec, Engine, PreparedBatch, Reason, Stop,
    lane::{Batch, Lane, Ready, Rows, Stage},
};
use outflow_api::{BatchId, LaneId, Offset, OffsetRange, Prepared, Ranges, TopicPartition, Track};
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// Gives every lane whose open rows are due and whose slot is free a batch. Between two ticks only those are looked
    /// at that the event was about.
    pub(crate) fn seal_due(&mut self, is_tick: bool, out: &mut Vec<Action>) {
        let due: BTreeSet<LaneId> = match (self.draining, is_tick) {
            (true, _) => self.agenda.due.iter().map(|(_, id)| *id).collect(),
            (false, true) => self.due(),
            (false, false) => self.agenda.seal.intersection(self.lanes.recent()).copied().collect(),
        };
        for id in due {
            let lane = self.lanes.get(id).expect("a lane with open rows is there");
            // Debt and live rows take turns in the slot.
            let debt_waits = !lane.debt_was_last && lane.record.parked.is_none() && self.debt_to_read(lane).is_some();
            if lane.slot.is_none() && !lane.open.is_empty() && (self.draining || !debt_waits) {
                self.seal(id, out);
            }
        }
    }

    fn due(&self) -> BTreeSet<LaneId> {
        let old = self.agenda.due.iter().take_while(|(at, _)| *at <= self.now_ms).map(|(_, id)| *id);
        let far = self.agenda.holds.iter().flat_map(|(track, holds)| {
            let position = self.tracks.get(track).map_or(Offset::ZERO, |cursor| cursor.position);
            let limit = position.0.saturating_sub(self.settings.replay_offsets_max);
            holds.iter().take_while(move |(first, _)| first.0 <= limit).map(|(_, id)| *id)
        });
        old.chain(far).chain(self.agenda.seal.iter().copied()).collect()
    }

    pub(crate) fn seal(&mut self, id: LaneId, out: &mut Vec<Action>) {
        let batch = self.mint(id);
        let lane = self.lanes.get_mut(id).expect("the caller saw it");
        assert!(lane.slot.is_none(), "the slot of lane {id:?} is taken");
        let Some(open) = lane.open.pop_front() else { return };
        lane.seal_now &= !lane.open.is_empty();
        let feed = lane.record.feed;
        let covers: BTreeMap<TopicPartition, OffsetRange> = open
            .parts
            .iter()
            .map(|(key, part)| {
                let cursor = &self.tracks[&Track { feed, partition: *key }];
                let next_version = lane.open.iter().filter_map(|later| later.parts.get(key)).map(|part| part.first);
                // Nothing below the floor: the definitions of those rows may be forgotten.
                let next = lane.record.next.get(key).copied().unwrap_or(cursor.floor);
                let start = next.max(cursor.floor);
                assert!(start <= part.first, "a row below `next` was taken");
                let covers = OffsetRange::new(start, next_version.min().unwrap_or(cursor.position));
                let owed = lane.record.owed.get(key).and_then(Ranges::last);
                assert!(owed.is_none_or(|owed| owed.next <= start), "a live batch would swallow debt");
                (*key, covers)
            })
            .collect();
        let version = open.version;
        let (stage, rows) = (Stage::Preparing(batch), Rows::Live);
        lane.slot = Some(Batch { stage, rows, version, covers: covers.clone() });
        lane.debt_was_last = false;
        out.push(Action::Prepare(BatchSpec { id: batch, version, covers, debt: false }));
    }

    pub(crate) fn prepared(&mut self, batch: PreparedBatch, out: &mut Vec<Action>) {
        let PreparedBatch { id, token, receipt, covers, rows, rejected, rows_hash, letter_bytes, .. } = batch;
        let PreparedBatch { rest, reject_percent_max, .. } = batch;
        let prepared = Prepared { id, token };
        let now_ms = self.now_ms;
        if self.is_decided(id) {
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
        slot.stage = Stage::Prepared(Ready { prepared, rows, receipt, rejected, rows_hash, letter_bytes });
        if lane.is_live_batch() {
            // It was due with the others.
            lane.seal_now |= !rest.is_empty();
            for (partition, taken) in &rest {
                lane.take(*partition, taken, now_ms);
            }
        }
        let Some(Stage::Prepared(ready)) = lane.slot.as_ref().map(|slot| &slot.stage) else { return };
        let refused: u64 = ready.rejected.values().map(|offsets| offsets.len() as u64).sum();
        if let Some(reason) = too_many_rejects(rows + refused, refused, reject_percent_max) {
            self.park(id.lane, reason, out);
        }
    }

    /// It may be closed already, and the journal does not know yet: until then its entry names the staging (P29).
    fn is_decided(&self, id: BatchId) -> bool {
        let records = self.lanes.get(id.lane).map(|lane| lane.journaled.iter().chain([&lane.record]));
        let mut pending = records.into_iter().flatten().filter_map(|record| record.pending.as_ref());
        pending.any(|pending| pending.id == id)
    }

    /// An id stands for its rows, so what is left of them is another batch: they are owed, and read again. The live
    /// stream goes on behind them.
    pub(crate) fn rows_refused(&mut self, id: BatchId, out: &mut Vec<Action>) {
        let Some(lane) = self.holder(id) else { return };
        let Some(Batch { stage: Stage::Preparing(_), rows, covers, .. }) = &lane.slot else { return };
        if *rows == Rows::Live {
            for (key, range) in covers.clone() {
                let next = lane.record.next.entry(key).or_insert(range.next);
                *next = range.next.max(*next);
            }
            lane.is_dirty = true;
        }
        self.give_up_slot(id.lane, out);
    }

    pub(crate) fn prepare_failed(&mut self, id: BatchId, reason: Reason, out: &mut Vec<Action>) {
        let preparing = |lane: &mut Lane| matches!(&lane.slot, Some(Batch { stage: Stage::Preparing(_), .. }));
        if self.holder(id).is_some_and(preparing) {
            self.park(id.lane, reason, out);
        }
    }

    /// Memory is short: the largest lanes first, and among equals the oldest, so that few and large batches make room.
    /// What waits for a slow destination is given up and read again later.
    pub(crate) fn relieve(&mut self, bytes: u64, out: &mut Vec<Action>) {
        let open = self.lanes.iter().filter(|(_, lane)| !lane.open.is_empty());
        let mut open: Vec<(u64, u64, LaneId)> = open
            .map(|(id, lane)| {
                let held: u64 = lane.open.iter().map(|open| open.bytes()).sum();
                (u64::MAX - held, lane.open[0].since_ms, id)
            })
            .collect();
        open.sort_unstable();
        let mut freed = 0;
        for (rest, _, id) in open {
            if freed >= bytes {
                break;
            }
            let lane = self.lanes.get(id).expect("just seen");
            if lane.slot.is_none() {
                freed += u64::MAX - rest;
                self.seal(id, out);
            } else if lane.is_ready_but_blocked() {
                freed += u64::MAX - rest;
                self.fall_behind(id, out);
            }
        }
    }
}

/// Rows that fit nowhere are few, or something is wrong that a person should see before a topic is emptied into the
/// dead letters. Of small batches nobody can tell.
pub fn too_many_rejects(rows: u64, rejected: u64, percent_max: u64) -> Option<Reason> {
    if rows < 1_000 || rejected * 100 <= rows * percent_max {
        return None;
    }
    let hint = format!(
        "{rejected} of {rows} rows do not fit the model, or the destination refuses them: mend it, or raise the share \
         for the dead letters"
    );
    Some(Reason { code: "too-many-rejects".into(), hint })
}

/// Each range starts as asked and ends no later; partitions may be missing altogether.
fn is_prefix(cut: &BTreeMap<TopicPartition, OffsetRange>, asked: &BTreeMap<TopicPartition, OffsetRange>) -> bool {
    cut.iter()
        .all(|(key, range)| asked.get(key).is_some_and(|whole| whole.start == range.start && range.next <= whole.next))
}
