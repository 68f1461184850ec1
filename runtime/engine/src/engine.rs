use crate::{
    Action, Event, Journaled, Settings, Stop, Taken,
    decide::Deciding,
    lane::{Lane, Stage},
    revision::Revisions,
};
use outflow_api::{
    BatchId, Generation, Incarnation, LaneId, Offset, OffsetRange, Pending, Ranges, Revision, TopicPartition,
};
use std::collections::{BTreeMap, BTreeSet};

/// One shard's decisions under one owner. Dropped when the owner changes or anything is in doubt.
pub struct Engine {
    pub(crate) settings: Settings,
    pub(crate) incarnation: Incarnation,
    pub(crate) generation: Generation,
    pub(crate) seq: u32,
    pub(crate) now_ms: u64,
    pub(crate) partitions: BTreeMap<TopicPartition, Partition>,
    pub(crate) lanes: BTreeMap<LaneId, Lane>,
    /// Lanes whose record differs from the journal's.
    pub(crate) dirty: BTreeSet<LaneId>,
    pub(crate) revisions: Revisions,
    pub(crate) deciding: Option<Deciding>,
    pub(crate) decided_at_ms: u64,
    /// The last lane that went into a transaction.
    pub(crate) chosen_last: LaneId,
    pub(crate) draining: bool,
    pub(crate) stopped: bool,
}

pub(crate) struct Partition {
    /// The offset that the next fetch starts at.
    pub position: Offset,
    /// As the journal has it.
    pub floor: Offset,
    /// The journal names it: no new partition for the next owner.
    pub journaled: bool,
}

/// Where a lane stands, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneView {
    pub open_rows: u64,
    pub open_bytes: u64,
    pub is_behind: bool,
    pub owed: u64,
    pub pending: Option<BatchId>,
    pub parked: Option<(String, String)>,
}

impl Engine {
    pub fn handle(&mut self, now_ms: u64, event: Event, out: &mut Vec<Action>) {
        if self.stopped {
            return;
        }
        self.now_ms = self.now_ms.max(now_ms);
        match event {
            Event::Fetched { partition, range, taken } => self.fetched(partition, range, &taken, out),
            Event::DebtRead(read) => self.debt_read(read, out),
            Event::DebtFailed { batch, reason } => self.debt_failed(batch, reason, out),
            Event::Prepared(batch) => self.prepared(batch, out),
            Event::PrepareFailed { batch, reason } => self.prepare_failed(batch, reason, out),
            Event::Journaled(Journaled::Done) => self.journal_done(out),
            Event::Journaled(Journaled::Refused(reason)) => self.journal_refused(reason, out),
            Event::Journaled(Journaled::Fenced) => self.stop(Stop::Fenced, out),
            Event::Journaled(Journaled::Unknown) => self.stop(Stop::Unknown, out),
            Event::Revealed { batch, outcome } => self.revealed(batch, outcome, out),
            Event::RevealStalled { batch, reason } => self.reveal_stalled(batch, reason, out),
            Event::Revised { revision, content } => self.revisions.wait(revision, content),
            Event::PartitionsAdded(starts) => self.partitions_added(&starts, out),
            Event::Pressure => self.relieve(out),
            Event::Resume(lane) => self.resume(lane),
            Event::Drain => self.draining = true,
            Event::Tick => {}
        }
        self.seal_due(out);
        self.pay_debts(out);
        self.propose(out);
    }

    /// What of `range` is to be kept for the lane. Ask right before `Event::Fetched` of the same range.
    pub fn wanted(&self, lane: LaneId, partition: TopicPartition, range: OffsetRange) -> Ranges {
        self.lanes.get(&lane).map_or_else(|| Ranges::of(range), |lane| lane.wanted(partition, range))
    }

    /// The definitions in force at this offset, also when it is read again (P18).
    pub fn revision_at(&self, partition: TopicPartition, offset: Offset) -> Option<Revision> {
        self.revisions.at(partition, offset)
    }

    /// Where the revision that holds at `offset` ends in this partition.
    pub fn revision_ends(&self, partition: TopicPartition, offset: Offset) -> Offset {
        self.revisions.ends(partition, offset)
    }

    /// Whether what was cut off this batch is open again, rather than owed. Ask right before `Event::Prepared`.
    pub fn keeps_rest(&self, batch: BatchId) -> bool {
        let slot = self.lanes.get(&batch.lane).and_then(|lane| lane.slot.as_ref());
        slot.is_some_and(|slot| !slot.debt && matches!(slot.stage, Stage::Preparing(own) if own == batch))
    }

    pub fn position(&self, partition: TopicPartition) -> Option<Offset> {
        self.partitions.get(&partition).map(|partition| partition.position)
    }

    pub fn floors(&self) -> impl Iterator<Item = (TopicPartition, Offset)> {
        self.partitions.iter().map(|(key, partition)| (*key, partition.floor))
    }

    pub fn generation(&self) -> Generation {
        self.generation
    }

    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// False once its lane has fallen behind: an answer about this batch changes nothing any more.
    pub fn is_preparing(&self, id: BatchId) -> bool {
        let slot = self.lanes.get(&id.lane).and_then(|lane| lane.slot.as_ref());
        slot.is_some_and(|slot| matches!(slot.stage, Stage::Preparing(own) if own == id))
    }

    /// The batch, if it is decided and not yet known to be visible.
    pub fn pending(&self, id: BatchId) -> Option<&Pending> {
        self.lanes.get(&id.lane)?.record.pending.as_ref().filter(|pending| pending.id == id)
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// After `Drain`: everything that was here is visible and journaled as such; debt stays in the journal.
    pub fn is_drained(&self) -> bool {
        let idle = |lane: &Lane| lane.is_settled() && lane.record.pending.is_none();
        self.draining && self.deciding.is_none() && self.dirty.is_empty() && self.lanes.values().all(idle)
    }

    pub fn lane_views(&self) -> impl Iterator<Item = (LaneId, LaneView)> {
        self.lanes.iter().map(|(id, lane)| {
            let owed = lane.record.owed.iter().flat_map(|(partition, owed)| {
                let position = self.partitions.get(partition).map_or(Offset::ZERO, |partition| partition.position);
                owed.as_slice().iter().map(move |range| (range.next.min(position).0 - range.start.0).max(0) as u64)
            });
            let parked = lane.record.parked.as_ref().map(|parked| (parked.code.clone(), parked.hint.clone()));
            let view = LaneView {
                open_rows: lane.open.iter().map(|open| open.rows()).sum(),
                open_bytes: lane.open.iter().map(|open| open.bytes()).sum(),
                is_behind: lane.is_behind(),
                owed: owed.sum(),
                pending: lane.record.pending.as_ref().map(|pending| pending.id),
                parked,
            };
            (*id, view)
        })
    }

    fn fetched(&mut self, key: TopicPartition, range: OffsetRange, taken: &[Taken], out: &mut Vec<Action>) {
        let Some(partition) = self.partitions.get_mut(&key) else {
            return self.stop(Stop::Halt(format!("fetched {key:?}, which this shard does not have")), out);
        };
        if range.start != partition.position {
            let at = partition.position.0;
            return self.stop(Stop::Halt(format!("fetched {range:?} of {key:?} while the reader is at {at}")), out);
        }
        partition.position = range.next;
        for taken in taken {
            debug_assert!(range.contains(taken.first) && taken.partition == key && taken.rows > 0);
            self.lanes.entry(taken.lane).or_default().take(taken, self.now_ms);
        }
    }

    fn partitions_added(&mut self, starts: &BTreeMap<TopicPartition, Offset>, out: &mut Vec<Action>) {
        for (key, start) in starts {
            if self.partitions.contains_key(key) {
                continue;
            }
            self.partitions.insert(*key, Partition { position: *start, floor: *start, journaled: false });
            // A lane that is behind passes by the live stream: it owes the new partition from its start.
            for (id, lane) in self.lanes.iter_mut().filter(|(_, lane)| lane.is_behind()) {
                lane.owe(*key, OffsetRange::new(*start, Offset::OPEN));
                self.dirty.insert(*id);
            }
            out.push(Action::Read { partition: *key, from: *start });
        }
    }

    pub(crate) fn mint(&mut self, lane: LaneId) -> BatchId {
        // P2: of the shard, never of the lane.
        self.seq += 1;
        let (incarnation, generation, seq) = (self.incarnation, self.generation, self.seq);
        BatchId { incarnation, shard: self.settings.shard, generation, lane, seq }
    }

    /// The lane whose slot holds this batch.
    pub(crate) fn holder(&mut self, id: BatchId) -> Option<&mut Lane> {
        self.lanes.get_mut(&id.lane).filter(|lane| match lane.slot.as_ref().map(|batch| &batch.stage) {
            Some(Stage::Preparing(own)) => *own == id,
            Some(Stage::Prepared(ready) | Stage::Deciding { ready, .. }) => ready.prepared.id == id,
            Some(Stage::Reading(_)) | None => false,
        })
    }

    pub(crate) fn stop(&mut self, stop: Stop, out: &mut Vec<Action>) {
        self.stopped = true;
        out.push(Action::Stop(stop));
    }
}
