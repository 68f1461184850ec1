//! A run that takes the place of what is there (P32). New rows first: only when the journal knows that all of the run
//! is visible, the old batches are removed. Until then a reader sees rows twice, and never misses one.
//!
//! Whole batches go, so all that they cover is delivered again. The record of the lane names them from the command on;
//! whoever owns the shard removes what is left of them, and each removal may be repeated by anybody, at any time: what
//! is named was replaced for good.

use crate::{
    Action, Command, Deliveries, Engine, Reason, Replaced,
    account::reason,
    deliveries::Found,
    lane::{Lane, Rows},
};
use outflow_api::{
    Applied, BatchId, Delivered, FeedId, LaneId, LaneRecord, LedgerEvent, LedgerRow, Offset, OffsetRange, Ranges,
    Replacing, Revision, TopicPartition, Track,
};
use std::collections::BTreeMap;

/// More pieces than these would make a record that no transaction takes.
const PIECES_MAX: usize = 1_000;
/// Of one lane.
const REMOVALS_AT_ONCE: usize = 4;

type Covers = BTreeMap<TopicPartition, Ranges>;

/// A crash forgets it, and the next owner asks again.
pub(crate) struct Search {
    command: Applied,
    lane: LaneId,
    feed: FeedId,
    asked: u64,
    /// Wider with each answer, until all that the batches cover is within.
    ranges: Covers,
    stage: Stage,
}

enum Stage {
    /// What was decided of these offsets is not all visible, or not yet in the ledger. The offsets are those of the
    /// first look: what is decided later lies behind them, or a busy lane would never have an answer.
    Waiting,
    Reading,
    Known(Result<Found, Reason>),
}

impl Engine {
    pub(crate) fn is_searching(&self) -> bool {
        self.search.as_ref().is_some_and(|search| matches!(search.stage, Stage::Reading))
    }

    /// Asks, unless it has asked, or a batch of these offsets is about to have its outcome.
    pub(crate) fn knows_deliveries(&mut self, command: &Command, ranges: &Covers, out: &mut Vec<Action>) -> bool {
        let mark = self.revisions.applied;
        let Command { lane: id, feed, .. } = command;
        if self.search.as_ref().is_none_or(|search| search.command != mark) {
            let ranges = self.below_live(self.lanes.get(*id), *feed, ranges);
            let asked = ranges.values().map(Ranges::offsets).sum();
            let (lane, feed, stage) = (*id, *feed, Stage::Waiting);
            self.search = Some(Search { command: mark, lane, feed, asked, ranges, stage });
        }
        let search = self.search.as_ref().expect("just made");
        match search.stage {
            Stage::Known(_) => return true,
            Stage::Reading => return false,
            Stage::Waiting => {}
        }
        let lane = self.lanes.get(*id);
        // A destination that hangs must not hold up the commands behind this one.
        let is_soon = |lane: &Lane| {
            let since_ms = self.now_ms.saturating_sub(lane.reveal_since_ms);
            !lane.reveal_stalled && since_ms < self.settings.slow_reveal_ms
        };
        let pending = lane.filter(|lane| is_soon(lane)).and_then(|lane| lane.record.pending.as_ref());
        let is_moving = pending.is_some_and(|pending| touch(&pending.covers, &search.ranges));
        if is_moving || lane.is_some_and(|lane| !lane.ledger.is_empty()) {
            return false;
        }
        let stage = match self.refuse_to_replace(lane, *feed, &search.ranges) {
            Some(reason) => Stage::Known(Err(reason)),
            None if search.ranges.is_empty() => Stage::Known(Ok(Found { ranges: Covers::new(), old: Vec::new() })),
            None => {
                out.push(Action::ReadDeliveries { command: mark, lane: *id, ranges: search.ranges.clone() });
                Stage::Reading
            }
        };
        let is_known = matches!(stage, Stage::Known(_));
        if let Some(search) = &mut self.search {
            search.stage = stage;
        }
        is_known
    }

    /// What the live stream is still to bring comes by itself.
    fn below_live(&self, lane: Option<&Lane>, feed: FeedId, ranges: &Covers) -> Covers {
        let below = ranges.iter().filter_map(|(key, ranges)| {
            let floor = self.tracks.get(&Track { feed, partition: *key })?.floor;
            let next = lane.and_then(|lane| lane.record.next.get(key)).copied().unwrap_or(floor);
            let mut ranges = ranges.clone();
            ranges.remove(OffsetRange::new(next.max(floor), Offset::OPEN));
            let open = lane.and_then(|lane| lane.record.owed.get(key)?.last());
            open.filter(|open| open.next == Offset::OPEN).into_iter().for_each(|open| ranges.remove(open));
            // A batch may begin below the floor of today, and be owed as a whole tomorrow.
            let slot = lane.and_then(|lane| lane.slot.as_ref()).filter(|slot| slot.rows == Rows::Live);
            let covers = slot.and_then(|slot| slot.covers.get(key));
            covers.into_iter().for_each(|covers| ranges.remove(OffsetRange::new(covers.start, Offset::OPEN)));
            (!ranges.is_empty()).then_some((*key, ranges))
        });
        below.collect()
    }

    fn refuse_to_replace(&self, lane: Option<&Lane>, feed: FeedId, ranges: &Covers) -> Option<Reason> {
        if let Some(replacing) = lane.and_then(|lane| lane.record.replacing.as_ref()) {
            let hint = format!(
                "run {} of this lane is not done yet, {} batches are to be removed: ask again when it is, or call it \
                 off with `skip`",
                replacing.run.0,
                replacing.old.len()
            );
            return Some(reason("replace-under-way", &hint));
        }
        let slot = lane.and_then(|lane| lane.slot.as_ref());
        let is_settled = self.below_live(lane, feed, &self.settled_within(lane, feed, ranges)) == *ranges;
        if !is_settled || slot.is_some_and(|slot| touch(&slot.covers, ranges)) {
            let hint = "some of these offsets, or of the batches that have rows of them, are still owed, wait for the \
                        destination's word, or are not read yet: ask again when the lane has caught up, or for others";
            return Some(reason("unsettled", hint));
        }
        let pieces: usize = ranges.values().map(|ranges| ranges.as_slice().len()).sum();
        let hint = format!("these offsets lie in {pieces} pieces, allowed are {PIECES_MAX}: ask for fewer at once");
        (pieces > PIECES_MAX).then(|| reason("too-many-pieces", &hint))
    }

    pub(crate) fn deliveries_read(
        &mut self,
        command: Applied,
        deliveries: Result<Deliveries, Reason>,
        out: &mut Vec<Action>,
    ) {
        let is_asked = |search: &&Search| {
            let of_these = deliveries.as_ref().map_or(true, |deliveries| *deliveries.asked() == search.ranges);
            search.command == command && matches!(search.stage, Stage::Reading) && of_these
        };
        let Some(search) = self.search.as_ref().filter(is_asked) else { return };
        let (id, feed, asked) = (search.lane, search.feed, search.ranges.clone());
        let mut answer = deliveries.and_then(|deliveries| deliveries.found(self.incarnation));
        if let Ok(found) = &answer
            && found.ranges != asked
        {
            match self.refuse_to_replace(self.lanes.get(id), feed, &found.ranges) {
                Some(reason) => answer = Err(reason),
                None => {
                    let ranges = found.ranges.clone();
                    self.search.iter_mut().for_each(|search| search.ranges.clone_from(&ranges));
                    return out.push(Action::ReadDeliveries { command, lane: id, ranges });
                }
            }
        }
        if let Some(search) = &mut self.search {
            search.stage = Stage::Known(answer);
        }
    }

    pub(crate) fn replace(&mut self, revision: Revision, lane: (LaneId, FeedId), by: Revision, out: &mut Vec<Action>) {
        let search = self.search.take().expect("the command waited for it");
        let Stage::Known(answer) = search.stage else { unreachable!("the command waited for it") };
        let outcome = answer.and_then(|Found { ranges, old }| {
            let is_fed = |key: &TopicPartition| self.tracks.contains_key(&Track { feed: lane.1, partition: *key });
            if !ranges.keys().all(is_fed) {
                let hint = "the lane's schedule was retired meanwhile: nobody would read these offsets again";
                return Err(reason("retired", hint));
            }
            let offsets = ranges.values().map(Ranges::offsets).sum::<u64>();
            let replaced = Replaced { offsets, widened: offsets - search.asked, batches: old.len() };
            self.owe_run(lane, (revision, by), ranges);
            if !old.is_empty() {
                let lane = self.lanes.get_mut(lane.0).expect("it owes the run");
                lane.record.replacing = Some(Replacing { run: revision, old });
            }
            Ok(replaced)
        });
        out.push(Action::Replaced { lane: lane.0, run: revision, outcome });
    }

    pub(crate) fn remove_replaced(&mut self, out: &mut Vec<Action>) {
        if self.draining || self.stopped {
            return;
        }
        let removing: Vec<LaneId> = self.agenda.remove.iter().copied().collect();
        for id in removing {
            let lane = self.lanes.get_mut(id).expect("who is to remove something is there");
            let old: Vec<Delivered> = lane.to_remove().cloned().collect();
            lane.removing.extend(old.iter().map(|old| old.id));
            out.extend(old.into_iter().map(Action::Remove));
        }
    }

    pub(crate) fn removed(&mut self, batch: BatchId) {
        let Some(lane) = self.lanes.get_mut(batch.lane) else { return };
        lane.removing.remove(&batch);
        let Some(replacing) = lane.record.replacing.as_mut().filter(|all| all.names(batch)) else { return };
        replacing.old.retain(|old| old.id != batch);
        lane.ledger.push(LedgerRow { batch, event: LedgerEvent::Removed { run: replacing.run } });
        lane.record.replacing.take_if(|replacing| replacing.old.is_empty());
        lane.is_dirty = true;
    }

    /// Somebody still wants it removed.
    pub fn is_removing(&self, batch: BatchId) -> bool {
        let lane = self.lanes.get(batch.lane);
        lane.and_then(|lane| lane.record.replacing.as_ref()).is_some_and(|replacing| replacing.names(batch))
    }
}

impl Lane {
    /// Nothing before the journal knows that all of the run is visible: whatever dies from there on, the next owner
    /// delivers nothing of it again, and removes what is left.
    pub fn to_remove(&self) -> impl Iterator<Item = &Delivered> {
        let is_held = self.record.parked.as_ref().is_some_and(|parked| parked.held);
        let run = self.record.replacing.as_ref().map(|replacing| replacing.run);
        let is_visible = |record: &LaneRecord| {
            record.replacing.as_ref().map(|replacing| replacing.run) == run && is_run_visible(record)
        };
        let is_over = !is_held && self.journaled.as_ref().is_some_and(is_visible) && is_visible(&self.record);
        let room = if is_over { REMOVALS_AT_ONCE.saturating_sub(self.removing.len()) } else { 0 };
        let old = self.record.replacing.iter().flat_map(|replacing| &replacing.old);
        old.filter(|old| !self.removing.contains(&old.id)).take(room)
    }

    /// What was to be replaced stays, but for what is removed already.
    pub fn call_off(&mut self) {
        self.record.replacing = None;
        self.removing.clear();
    }
}

pub(crate) fn touch(covers: &BTreeMap<TopicPartition, OffsetRange>, ranges: &Covers) -> bool {
    covers.iter().any(|(key, range)| {
        let ranges = ranges.get(key).map_or(&[][..], Ranges::as_slice);
        ranges.iter().any(|own| own.start < range.next && range.start < own.next)
    })
}

/// Neither owed nor waiting for an outcome.
fn is_run_visible(record: &LaneRecord) -> bool {
    let Some(run) = record.replacing.as_ref().map(|replacing| replacing.run) else { return false };
    let is_owed = record.runs.iter().any(|own| own.id == Some(run));
    !is_owed && record.pending.as_ref().is_none_or(|pending| pending.run != Some(run))
}
