use crate::{
    Catalogue, Held, Log, RowId,
    catalogue::{LIVE, SCHEDULED},
};
use outflow_api::{
    Applied, BatchId, Delivered, FeedId, Generation, LaneId, Offset, OffsetRange, Pending, Pins, Prepared, Ranges,
    Revision, TopicPartition, Track,
};
use outflow_engine::{Action, BatchSpec, Decision, Engine, Event, FlushLimits, Stop, Taken};
use std::collections::{BTreeMap, BTreeSet};

/// One worker's hold on one shard: what the driver is in production. It executes nothing itself; calls and answers
/// wait until the world takes them, in whatever order.
pub struct Process {
    pub journal: usize,
    /// Who it is to the journal.
    pub owner: u64,
    pub engine: Engine,
    pub calls: Vec<Call>,
    pub answers: Vec<Answer>,
    pub held: Held,
    /// Encoded batches not yet visible; they may be dropped at any time.
    pub memory: BTreeMap<BatchId, Vec<RowId>>,
    /// Rows that their lanes' destinations refused when they were sent.
    pub refused: BTreeSet<(LaneId, RowId)>,
    pub reading: BTreeSet<Track>,
    /// Partitions of the shard that it has heard of.
    pub partitions: BTreeSet<TopicPartition>,
    /// How far it has read the config log.
    pub told: Revision,
    pub retired: BTreeSet<FeedId>,
    /// How far the pass of a scheduled feed goes.
    pub passes: BTreeMap<FeedId, BTreeMap<TopicPartition, Offset>>,
    /// It crashed, or was replaced; what it sent is still under way, and it may not know.
    pub zombie: bool,
    pub draining: bool,
    pub stopped: Option<Stop>,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub what: What,
    /// Executed a second time; its answer reaches nobody.
    pub ghost: bool,
}

pub type Offsets = BTreeMap<TopicPartition, Vec<Offset>>;

#[derive(Clone, Debug)]
pub enum What {
    Prepare { spec: BatchSpec, rows: Vec<RowId>, spent: Offsets },
    Append(Decision),
    Reveal { pending: Pending, read_rows: bool },
    ReadDebt { batch: BatchId, partition: TopicPartition, range: OffsetRange, by: Pins, spent: Offsets },
    ReadLedger { command: Applied, lane: LaneId, ranges: BTreeMap<TopicPartition, Ranges>, letters: u32 },
    ReadDeliveries { command: Applied, lane: LaneId, ranges: BTreeMap<TopicPartition, Ranges> },
    Remove(Delivered),
    Abort { prepared: Prepared },
    Sweep { below: Generation, keep: Vec<BatchId> },
}

/// An event on its way, and the rows that belong to it: debt, or what was cut off a batch.
#[derive(Clone, Debug)]
pub struct Answer {
    pub event: Event,
    pub rows: Vec<RowId>,
    pub spent: Offsets,
}

impl Answer {
    pub fn bare(event: Event) -> Answer {
        Answer { event, rows: Vec::new(), spent: Offsets::new() }
    }

    pub fn may_echo(&self) -> bool {
        use Event::{DebtRead, DeliveriesRead, LedgerRead, Prepared, Removed, Revealed, RowsRefused};
        let others = matches!(self.event, LedgerRead { .. } | DeliveriesRead { .. } | RowsRefused { .. });
        others || matches!(self.event, Prepared(_) | DebtRead(_) | Revealed { .. } | Removed { .. })
    }
}

impl Process {
    pub fn new(journal: usize, owner: u64, engine: Engine) -> Process {
        Process {
            journal,
            owner,
            engine,
            calls: Vec::new(),
            answers: Vec::new(),
            held: Held::default(),
            memory: BTreeMap::new(),
            refused: BTreeSet::new(),
            reading: BTreeSet::new(),
            partitions: BTreeSet::new(),
            told: Revision(0),
            retired: BTreeSet::new(),
            passes: BTreeMap::new(),
            zombie: false,
            draining: false,
            stopped: None,
        }
    }

    pub fn hear(&mut self, now_ms: u64, answer: Answer) -> Result<Vec<Action>, String> {
        let Answer { event, rows, spent } = answer;
        if self.stopped.is_some() {
            return Ok(Vec::new());
        }
        if let Event::Prepared(batch) = &event
            && self.engine.keeps_rest(batch.id)
        {
            for (partition, taken) in &batch.rest {
                let own = rows.iter().filter(|row| row.0 == *partition);
                own.copied().try_for_each(|row| self.held.keep(taken.lane, taken.version, row))?;
            }
        }
        let mut actions = Vec::new();
        self.engine.handle(now_ms, event, &mut actions);
        self.carry_out(&actions, rows, spent)?;
        Ok(actions)
    }

    /// What takes no time is done, what takes some is under way. `rows` are those of the debt that was just read.
    pub fn carry_out(&mut self, actions: &[Action], rows: Vec<RowId>, spent: Offsets) -> Result<(), String> {
        for action in actions {
            let what = match action.clone() {
                Action::Read { track, from } => {
                    if self.engine.position(track) < Some(from) {
                        return Err(format!("{track:?} is read from {}, past the position", from.0));
                    }
                    self.reading.insert(track);
                    continue;
                }
                Action::Forget { lane } => {
                    self.held.forget(lane);
                    continue;
                }
                Action::Stop(Stop::Halt(why)) => return Err(format!("halt: {why}")),
                Action::Stop(stop) => {
                    self.stopped = Some(stop);
                    continue;
                }
                Action::Prepare(spec) if spec.debt => What::Prepare { spec, rows: rows.clone(), spent: spent.clone() },
                Action::Prepare(spec) => {
                    let rows = self.held.take(spec.id.lane, spec.version, &spec.covers)?;
                    if rows.is_empty() {
                        return Err(format!("{} is sealed without a row", spec.id));
                    }
                    What::Prepare { spec, rows, spent: Offsets::new() }
                }
                Action::Append(decision) => What::Append(decision),
                Action::Reveal { permit, pending, read_rows } => {
                    if permit.prepared().id != pending.id || permit.prepared().token != pending.token {
                        return Err(format!("the permit for {} is another batch's", pending.id));
                    }
                    What::Reveal { pending, read_rows }
                }
                Action::ReadDebt { batch, partition, range, by, spent } => {
                    let spent = if spent.is_empty() { Offsets::new() } else { Offsets::from([(partition, spent)]) };
                    What::ReadDebt { batch, partition, range, by, spent }
                }
                Action::ReadLedger { command, lane, ranges, letters } => {
                    What::ReadLedger { command, lane, ranges, letters }
                }
                Action::ReadDeliveries { command, lane, ranges } => What::ReadDeliveries { command, lane, ranges },
                Action::Remove(old) => What::Remove(old),
                Action::Repaired { .. } | Action::Replaced { .. } => continue,
                Action::Abort { prepared, .. } => What::Abort { prepared },
                Action::Sweep { below, keep } => {
                    What::Sweep { below, keep: keep.into_iter().map(|prepared| prepared.id).collect() }
                }
            };
            self.calls.push(Call { what, ghost: false });
        }
        Ok(())
    }

    /// Reads on: routes each row by the revision of its offset, keeps what the engine wants.
    pub fn fetch(
        &mut self,
        log: &Log,
        catalogue: &Catalogue,
        (track, range): (Track, OffsetRange),
        flush: FlushLimits,
    ) -> Result<Event, String> {
        let partition = track.partition;
        let mut taken: Vec<Taken> = Vec::new();
        for (offset, row) in log.rows(partition, range) {
            let revision = self.engine.revision_at(partition, offset).ok_or("fetched before any definitions")?;
            if !self.zombie {
                catalogue.must_route(revision)?;
            }
            let lane = catalogue.lane(revision, row.key);
            let is_fed = catalogue.feed(lane) == track.feed;
            if !is_fed || !self.engine.wanted(lane, partition, range).contains(offset) {
                continue;
            }
            let version = catalogue.version(revision, lane);
            self.held.keep(lane, version, (partition, offset))?;
            match taken.iter_mut().find(|taken| taken.lane == lane && taken.version == version) {
                Some(taken) => taken.rows += 1,
                None => taken.push(Taken { lane, version, first: offset, rows: 1, bytes: 1, flush }),
            }
        }
        Ok(Event::Fetched { track, range, taken })
    }

    /// Where the reader may go on, if anywhere.
    pub fn readable(&self, log: &Log, paused: &BTreeSet<FeedId>) -> Vec<(Track, Offset)> {
        if self.draining {
            return Vec::new();
        }
        let fed =
            self.reading.iter().filter(|track| !paused.contains(&track.feed) && !self.retired.contains(&track.feed));
        let positions = fed.filter_map(|track| Some((*track, self.engine.position(*track)?)));
        let readable = positions.filter(|(track, position)| {
            *position < self.read_until(log, *track) && self.engine.revision_at(track.partition, *position).is_some()
        });
        readable.collect()
    }

    /// The end of the log, or of the pass.
    pub fn read_until(&self, log: &Log, track: Track) -> Offset {
        if track.feed != SCHEDULED {
            return log.end(track.partition);
        }
        let pass = self.passes.get(&track.feed).and_then(|pass| pass.get(&track.partition));
        pass.copied().unwrap_or(Offset::ZERO).min(log.end(track.partition))
    }

    /// A pass of a scheduled feed: it goes to where the live one stands.
    pub fn begin_pass(&mut self, feed: FeedId) {
        let live = |partition| self.engine.position(Track { feed: LIVE, partition }).unwrap_or(Offset::ZERO);
        let own = self.engine.tracks().filter(|(track, _)| track.feed == feed);
        let pass = own.map(|(track, _)| (track.partition, live(track.partition))).collect();
        self.passes.entry(feed).or_insert(pass);
    }

    /// A scheduled feed has something to read.
    pub fn is_pass_due(&self) -> bool {
        let live = |partition| self.engine.position(Track { feed: LIVE, partition });
        self.engine.tracks().any(|(track, position)| track.feed == SCHEDULED && live(track.partition) > Some(position))
    }

    /// The pass has come to its end.
    pub fn end_pass(&mut self, feed: FeedId) -> Option<Event> {
        let pass = self.passes.get(&feed)?;
        let is_there = |(partition, until): (&TopicPartition, &Offset)| {
            self.engine.position(Track { feed, partition: *partition }).is_none_or(|position| position >= *until)
        };
        if !pass.iter().all(is_there) {
            return None;
        }
        self.passes.remove(&feed);
        Some(Event::PassEnded(feed))
    }

    /// The next that the worker hears from its cluster and from the config log, if there is anything new.
    pub fn news(&mut self, catalogue: &Catalogue, partitions: &BTreeSet<TopicPartition>) -> Option<Event> {
        let new: Vec<TopicPartition> = partitions.difference(&self.partitions).copied().collect();
        if !new.is_empty() {
            self.partitions.extend(&new);
            // Of revisions that are told and not taken as well: rows may still be routed by each of them.
            let applied = self.engine.applied().revision;
            let feeds = catalogue.feeds_between(applied, self.told.max(applied));
            let tracks =
                feeds.flat_map(|feed| new.iter().map(move |key| (Track { feed, partition: *key }, Offset::ZERO)));
            return Some(Event::TracksAdded(tracks.collect()));
        }
        if self.told < catalogue.newest() {
            self.told = Revision(self.told.0 + 1);
            return Some(Event::Published(catalogue.publication(self.told, &self.partitions)));
        }
        let feed = self.feed_to_retire(catalogue)?;
        self.retired.insert(feed);
        Some(Event::FeedRetired(feed))
    }

    /// One that is gone from the definitions, and read up to where they begin.
    fn feed_to_retire(&self, catalogue: &Catalogue) -> Option<FeedId> {
        let applied = self.engine.applied().revision;
        let feeds: BTreeSet<FeedId> = self.engine.tracks().map(|(track, _)| track.feed).collect();
        feeds.into_iter().filter(|feed| !self.retired.contains(feed)).find(|feed| {
            let Some(gone) = catalogue.retired_at(*feed).filter(|gone| *gone <= applied) else { return false };
            let mut own = self.engine.tracks().filter(|(track, _)| track.feed == *feed);
            own.all(|(track, position)| self.engine.revision_at(track.partition, position) >= Some(gone))
        })
    }

    /// All rows that the lane has within the ranges, in order: a decided batch read again.
    pub fn read_again(
        &self,
        log: &Log,
        catalogue: &Catalogue,
        (lane, by): (LaneId, Pins),
        covers: &BTreeMap<TopicPartition, OffsetRange>,
    ) -> Vec<RowId> {
        let mut rows = Vec::new();
        for (key, range) in covers {
            let own = log.rows(*key, *range).filter(|(offset, row)| {
                let own = self.engine.revision_at(*key, *offset).or(by.whose);
                own.is_some_and(|own| catalogue.lane(by.at(own).whose, row.key) == lane)
            });
            rows.extend(own.map(|(offset, _)| (*key, offset)));
        }
        rows
    }

    /// The engine's counts and the rows that are there agree.
    pub fn check_rows(&self) -> Result<(), String> {
        if self.stopped.is_some() {
            return Ok(());
        }
        let mut all = 0;
        for (lane, view) in self.engine.lane_views() {
            let held = self.held.rows(lane);
            if held != view.open_rows {
                return Err(format!("{lane:?} holds {held} rows; the engine counts {}", view.open_rows));
            }
            all += held;
        }
        match self.held.all() {
            held if held != all => Err(format!("{held} rows are held; the engine knows of {all}")),
            _ => Ok(()),
        }
    }
}
