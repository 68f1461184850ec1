use crate::{
    Action, Event, Journaled, Publication, Settings, Stop, Taken,
    agenda::Agenda,
    decide::Deciding,
    lane::{Lane, Rows, Stage},
    lanes::Lanes,
    repair::Inquiry,
    replace::Search,
    revision::Revisions,
};
use outflow_api::{
    Applied, BatchId, FeedId, Generation, Incarnation, LaneId, Offset, OffsetRange, Parked, Pending, Ranges, Revision,
    TopicPartition, Track,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One shard's decisions under one owner. Dropped when the owner changes or anything is in doubt.
pub struct Engine {
    pub(crate) settings: Settings,
    pub(crate) incarnation: Incarnation,
    pub(crate) generation: Generation,
    pub(crate) seq: u32,
    pub(crate) now_ms: u64,
    pub(crate) tracks: BTreeMap<Track, Cursor>,
    /// How many the journal names.
    pub(crate) tracks_journaled: usize,
    /// Feeds that nothing is fetched for any more.
    pub(crate) retired: BTreeSet<FeedId>,
    pub(crate) lanes: Lanes,
    pub(crate) agenda: Agenda,
    pub(crate) revisions: Revisions,
    /// Revisions that are not taken yet.
    pub(crate) published: VecDeque<Publication>,
    /// Lanes whose record has to share the transaction that moves the mark of what is applied.
    pub(crate) commanded: BTreeSet<LaneId>,
    /// The repair that is to be taken next.
    pub(crate) inquiry: Option<Inquiry>,
    /// The replacement that is to be taken next.
    pub(crate) search: Option<Search>,
    pub(crate) deciding: Option<Deciding>,
    pub(crate) decided_at_ms: u64,
    pub(crate) outlived_at_ms: u64,
    /// The last lane that went into a transaction.
    pub(crate) chosen_last: LaneId,
    pub(crate) draining: bool,
    pub(crate) stopped: bool,
}

pub(crate) struct Cursor {
    /// The offset that the next fetch starts at.
    pub position: Offset,
    /// As the journal has it.
    pub floor: Offset,
    /// The journal names it: no new partition for the next owner.
    pub journaled: bool,
}

/// Where a lane stands, for people.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LaneView {
    pub feed: FeedId,
    pub open_rows: u64,
    pub open_bytes: u64,
    pub is_behind: bool,
    /// Offsets that are owed, those of runs included.
    pub owed: u64,
    pub runs: usize,
    /// Old batches that are removed as soon as what takes their place is visible.
    pub removals: usize,
    pub pending: Option<BatchId>,
    pub parked: Option<(String, String)>,
    pub is_held: bool,
}

impl Engine {
    pub fn handle(&mut self, now_ms: u64, event: Event, out: &mut Vec<Action>) {
        if self.stopped {
            return;
        }
        self.now_ms = self.now_ms.max(now_ms);
        self.lanes.begin_event();
        let is_tick = matches!(event, Event::Tick | Event::Pressure { .. } | Event::Drain);
        match event {
            Event::Fetched { track, range, taken } => self.fetched(track, range, &taken, out),
            Event::PassEnded(feed) => self.flush(feed),
            Event::DebtRead(read) => self.debt_read(read, out),
            Event::DebtFailed { batch, reason } => self.debt_failed(batch, reason, out),
            Event::Prepared(batch) => self.prepared(batch, out),
            Event::PrepareFailed { batch, reason } => self.prepare_failed(batch, reason, out),
            Event::RowsRefused { batch } => self.rows_refused(batch, out),
            Event::Journaled(Journaled::Done) => self.journal_done(out),
            Event::Journaled(Journaled::Refused(reason)) => self.journal_refused(reason, out),
            Event::Journaled(Journaled::Fenced) => self.stop(Stop::Fenced, out),
            Event::Journaled(Journaled::Unknown) => self.stop(Stop::Unknown, out),
            Event::Revealed { batch, outcome } => self.revealed(batch, outcome, out),
            Event::RevealStalled { batch, reason } => self.reveal_stalled(batch, reason, out),
            Event::Published(publication) => self.publish(publication),
            Event::LedgerRead { command, account } => self.ledger_read(command, account),
            Event::DeliveriesRead { command, deliveries } => self.deliveries_read(command, deliveries, out),
            Event::Removed { batch } => self.removed(batch),
            Event::TracksAdded(starts) => self.tracks_added(&starts, out),
            Event::FeedRetired(feed) => self.retire(feed),
            Event::Pressure { bytes } => self.relieve(bytes, out),
            Event::Resume(lane) => self.resume(lane),
            Event::Drain => self.draining = true,
            Event::Tick => {}
        }
        self.note_changes();
        self.seal_due(is_tick, out);
        self.note_changes();
        self.pay_debts(is_tick, out);
        self.note_changes();
        self.remove_replaced(out);
        self.propose(out);
        self.note_changes();
    }

    pub(crate) fn note_changes(&mut self) {
        self.lanes.note_changes(&mut self.agenda);
    }

    /// What of `range` is to be kept for the lane. Ask right before `Event::Fetched` of the same range.
    pub fn wanted(&self, lane: LaneId, partition: TopicPartition, range: OffsetRange) -> Ranges {
        self.lanes.get(lane).map_or_else(|| Ranges::of(range), |lane| lane.wanted(partition, range))
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
        let slot = self.lanes.get(batch.lane).and_then(|lane| lane.slot.as_ref());
        slot.is_some_and(|slot| slot.rows == Rows::Live && matches!(slot.stage, Stage::Preparing(own) if own == batch))
    }

    pub fn position(&self, track: Track) -> Option<Offset> {
        self.tracks.get(&track).map(|cursor| cursor.position)
    }

    pub fn tracks(&self) -> impl Iterator<Item = (Track, Offset)> {
        self.tracks.iter().map(|(track, cursor)| (*track, cursor.position))
    }

    pub fn floors(&self) -> impl Iterator<Item = (Track, Offset)> {
        self.tracks.iter().map(|(track, cursor)| (*track, cursor.floor))
    }

    /// How far the config log has been taken; what is still waiting is not counted.
    pub fn applied(&self) -> Applied {
        self.revisions.applied
    }

    /// The oldest revision that rows may still be routed or shaped by, those of runs included.
    pub fn oldest_revision(&self) -> Option<Revision> {
        let named = self.agenda.named.first().map(|(revision, _)| *revision);
        named.into_iter().chain(self.revisions.oldest()).min()
    }

    pub fn generation(&self) -> Generation {
        self.generation
    }

    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// False once its lane has fallen behind: an answer about this batch changes nothing any more.
    pub fn is_preparing(&self, id: BatchId) -> bool {
        let slot = self.lanes.get(id.lane).and_then(|lane| lane.slot.as_ref());
        slot.is_some_and(|slot| matches!(slot.stage, Stage::Preparing(own) if own == id))
    }

    /// The batch, if it is decided and not yet known to be visible.
    pub fn pending(&self, id: BatchId) -> Option<&Pending> {
        self.lanes.get(id.lane)?.record.pending.as_ref().filter(|pending| pending.id == id)
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// After `Drain`: everything that was here is visible and journaled as such; debt stays in the journal.
    pub fn is_drained(&self) -> bool {
        let idle = |(_, lane): (LaneId, &Lane)| lane.is_settled() && lane.record.pending.is_none();
        self.draining && self.deciding.is_none() && self.agenda.is_quiet() && self.lanes.iter().all(idle)
    }

    /// Lanes about which there is something to say; all others take what comes and owe nothing.
    pub fn lane_views(&self) -> impl Iterator<Item = (LaneId, LaneView)> {
        self.lane_views_behind(None)
    }

    /// Those behind this one: whoever looks at all lanes can do so in steps.
    pub fn lane_views_behind(&self, last: Option<LaneId>) -> impl Iterator<Item = (LaneId, LaneView)> {
        self.lanes.behind(last).map(|(id, lane)| (id, self.view(lane)))
    }

    /// Where the newest definitions begin to route a partition's rows: nothing below is read for the first time.
    pub fn definitions_begin(&self, partition: TopicPartition) -> Offset {
        self.revisions.newest_start(partition)
    }

    pub fn parked(&self, id: LaneId) -> Option<&Parked> {
        self.lanes.get(id)?.record.parked.as_ref()
    }

    /// The live stream passes by it: it is parked, or owes what comes.
    pub fn is_passed_by(&self, id: LaneId) -> bool {
        self.lanes.get(id).is_some_and(Lane::passes_by)
    }

    /// Cheap, however many lanes there are.
    pub fn parked_lanes(&self) -> impl Iterator<Item = LaneId> {
        self.agenda.parked.iter().copied()
    }

    pub fn lane_view(&self, id: LaneId) -> Option<LaneView> {
        self.lanes.get(id).map(|lane| self.view(lane))
    }

    fn view(&self, lane: &Lane) -> LaneView {
        let record = &lane.record;
        let feed = record.feed;
        let all = || record.owed.iter().chain(record.runs.iter().flat_map(|run| &run.owed));
        let owed = all().flat_map(|(partition, owed)| {
            let position = self.position(Track { feed, partition: *partition }).unwrap_or(Offset::ZERO);
            owed.as_slice().iter().map(move |range| (range.next.min(position).0 - range.start.0).max(0) as u64)
        });
        LaneView {
            feed,
            open_rows: lane.open.iter().map(|open| open.rows()).sum(),
            open_bytes: lane.open.iter().map(|open| open.bytes()).sum(),
            is_behind: lane.is_behind(),
            owed: owed.sum(),
            runs: record.runs.iter().filter(|run| run.id.is_some()).count(),
            removals: record.replacing.as_ref().map_or(0, |replacing| replacing.old.len()),
            pending: record.pending.as_ref().map(|pending| pending.id),
            parked: record.parked.as_ref().map(|parked| (parked.code.clone(), parked.hint.clone())),
            is_held: record.parked.as_ref().is_some_and(|parked| parked.held),
        }
    }

    /// The first offset in each partition that is not delivered: owed, open, or decided and not visible yet.
    pub fn undelivered(&self, id: LaneId) -> BTreeMap<TopicPartition, Offset> {
        let mut first: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
        let Some(lane) = self.lanes.get(id) else { return first };
        let record = &lane.record;
        let mut see = |partition: TopicPartition, offset: Offset| {
            first.entry(partition).and_modify(|known| *known = offset.min(*known)).or_insert(offset);
        };
        let starts = |(partition, owed): (&TopicPartition, &Ranges)| Some((*partition, owed.first()?.start));
        // What is not read yet is owed by nobody.
        let is_read = |(partition, start): &(TopicPartition, Offset)| {
            self.position(Track { feed: record.feed, partition: *partition }).is_none_or(|position| *start < position)
        };
        let owed = record.owed.iter().chain(record.runs.iter().flat_map(|run| &run.owed));
        owed.filter_map(starts).filter(is_read).for_each(|(partition, start)| see(partition, start));
        lane.open.iter().flat_map(|open| &open.parts).for_each(|(key, part)| see(*key, part.first));
        let covers = lane.slot.iter().flat_map(|batch| &batch.covers);
        let covers = covers.chain(record.pending.iter().flat_map(|pending| &pending.covers));
        covers.filter(|(_, covers)| !covers.is_empty()).for_each(|(key, covers)| see(*key, covers.start));
        first
    }

    fn fetched(&mut self, track: Track, range: OffsetRange, taken: &[Taken], out: &mut Vec<Action>) {
        let Some(cursor) = self.tracks.get_mut(&track) else {
            return self.stop(Stop::Halt(format!("fetched {track:?}, which this shard does not have")), out);
        };
        if range.start != cursor.position {
            let at = cursor.position.0;
            return self.stop(Stop::Halt(format!("fetched {range:?} of {track:?} while the reader is at {at}")), out);
        }
        cursor.position = range.next;
        for taken in taken {
            debug_assert!(range.contains(taken.first) && taken.rows > 0);
            let new = || Lane::new(track.feed);
            self.lanes.amend(taken.lane, new, |lane| lane.take(track.partition, taken, self.now_ms));
        }
    }

    pub(crate) fn flush(&mut self, feed: FeedId) {
        let all = Track { feed, partition: MIN }..=Track { feed, partition: MAX };
        let open: BTreeSet<LaneId> =
            self.agenda.holds.range(all).flat_map(|(_, holds)| holds).map(|(_, id)| *id).collect();
        for id in open {
            if let Some(lane) = self.lanes.get_mut(id) {
                lane.seal_now = !lane.open.is_empty();
            }
        }
    }

    fn tracks_added(&mut self, starts: &BTreeMap<Track, Offset>, out: &mut Vec<Action>) {
        for (track, start) in starts {
            if self.tracks.contains_key(track) {
                continue;
            }
            self.add_track(*track, *start, out);
        }
    }

    pub(crate) fn add_track(&mut self, track: Track, start: Offset, out: &mut Vec<Action>) {
        self.tracks.insert(track, Cursor { position: start, floor: start, journaled: false });
        self.owe_new(track, start);
        out.push(Action::Read { track, from: start });
    }

    /// A lane that is behind or parked passes by the live stream: it owes a new partition from its start.
    pub(crate) fn owe_new(&mut self, track: Track, start: Offset) {
        let own = self.lanes.iter().filter(|(_, lane)| lane.record.feed == track.feed);
        let behind: Vec<LaneId> = own.filter(|(_, lane)| lane.passes_by()).map(|(id, _)| id).collect();
        for id in behind {
            let lane = self.lanes.get_mut(id).expect("just seen");
            lane.owe(track.partition, OffsetRange::new(start, Offset::OPEN));
            lane.is_dirty = true;
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
        self.lanes.get_mut(id.lane).filter(|lane| match lane.slot.as_ref().map(|batch| &batch.stage) {
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

const MIN: TopicPartition = TopicPartition { topic: outflow_api::TopicId(0), partition: 0 };
const MAX: TopicPartition = TopicPartition { topic: outflow_api::TopicId(u128::MAX), partition: u32::MAX };
