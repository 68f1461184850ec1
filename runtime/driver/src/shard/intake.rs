//! How rows come in: by the live reader, which reads each partition once for all feeds that stand where it stands; by
//! pieces of the catch-up reader for feeds that are behind, and for passes of scheduled feeds.

use super::*;
use crate::{
    pass::Sweep,
    route::{Share, Shares, Taking},
};
use outflow_engine::FlushLimits;
use std::time::{SystemTime, UNIX_EPOCH};

/// A feed that stands so far behind the live reader is caught up beside it, so as not to hold it up.
const NEAR: i64 = 50_000;
/// A feed that has come so near joins the live reader at the offset that it stands at by then.
const JOIN: i64 = 20_000;
/// After a piece that could not be read.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct Intake {
    /// Reading starts when the definitions of the first record are known.
    to_read: Vec<(Track, Offset)>,
    ways: BTreeMap<Track, Way>,
    /// What the live reader answers next.
    live: BTreeMap<TopicPartition, Offset>,
    sweep: Sweep,
    /// Partitions of which a piece is being read.
    busy: BTreeSet<TopicPartition>,
    not_before: BTreeMap<TopicPartition, Instant>,
    /// When each schedule's last pass began, in its own periods since 1970.
    passes: BTreeMap<FeedId, u64>,
}

/// How a feed's rows of a partition are read.
enum Way {
    Live,
    /// Rows that the live reader brings are held from the offset on at which the feed will join it.
    Behind {
        held: Vec<(OffsetRange, Arc<RecordBlock>, Arc<Reserved>)>,
        join_at: Option<Offset>,
    },
    /// Up to where the pass goes that is under way.
    Scheduled {
        until: Option<Offset>,
    },
    /// Its connector is paused.
    Paused,
}

impl Intake {
    pub fn add(&mut self, track: Track, from: Offset) {
        self.to_read.push((track, from));
    }

    /// Of the live reader.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.live.keys().copied().collect()
    }

    fn on_live(&self, partition: TopicPartition) -> Vec<Track> {
        let own = self.ways.iter().filter(|(track, _)| track.partition == partition);
        own.filter(|(_, way)| !matches!(way, Way::Scheduled { .. } | Way::Paused)).map(|(track, _)| *track).collect()
    }
}

impl ShardTask {
    pub(super) fn start_reading(&mut self) {
        let engine = &self.engine;
        let (ready, waiting) = std::mem::take(&mut self.intake.to_read)
            .into_iter()
            .partition::<Vec<_>, _>(|(track, from)| engine.revision_at(track.partition, *from).is_some());
        self.intake.to_read = waiting;
        if ready.is_empty() {
            return;
        }
        let mut first: BTreeMap<TopicPartition, Vec<(Track, Offset)>> = BTreeMap::new();
        for (track, from) in ready {
            let way = self.way_of(track);
            if matches!(way, Way::Live) {
                first.entry(track.partition).or_default().push((track, from));
            }
            self.intake.ways.insert(track, way);
        }
        let mut assigned = Vec::new();
        for (partition, tracks) in first {
            let furthest = tracks.iter().map(|(_, from)| from.0).max().unwrap_or(0);
            let near = tracks.iter().map(|(_, from)| *from).filter(|from| furthest - from.0 <= NEAR).min();
            let at = *self.intake.live.entry(partition).or_insert_with(|| {
                let at = near.expect("the furthest is near itself");
                assigned.push((partition, at));
                at
            });
            for (track, _) in tracks.iter().filter(|(_, from)| *from < at) {
                self.intake.ways.insert(*track, Way::Behind { held: Vec::new(), join_at: None });
            }
        }
        if !assigned.is_empty() {
            let mail = self.mail.clone();
            self.shared.reader.assign(assigned, Arc::new(move |read| drop(mail.send(Mail::Read(read)))));
        }
    }

    fn way_of(&self, track: Track) -> Way {
        let catalogue = self.shared.configuration.catalogue();
        let feed = catalogue.feed(track.feed);
        let connector = feed.and_then(|feed| catalogue.connector(&feed.connector));
        match feed {
            Some(_) if connector.is_some_and(|connector| connector.is_held()) => Way::Paused,
            Some(feed) if feed.schedule > 0 => Way::Scheduled { until: None },
            _ => Way::Live,
        }
    }

    /// A connector was paused, or goes on.
    pub(super) fn look_at_ways(&mut self) {
        let tracks: Vec<Track> = self.intake.ways.keys().copied().collect();
        for track in tracks {
            let new = self.way_of(track);
            let Some(way) = self.intake.ways.get_mut(&track) else { continue };
            match (&*way, new) {
                (Way::Paused, Way::Paused) => {}
                (Way::Paused, _) => {
                    // It begins as any other that is read from here on.
                    let from = self.engine.position(track);
                    self.intake.ways.remove(&track);
                    self.intake.to_read.extend(from.map(|from| (track, from)));
                }
                (_, new @ Way::Paused) => *way = new,
                _ => {}
            }
        }
        self.start_reading();
    }

    /// A block of the live reader.
    pub(super) fn fetched(&mut self, range: OffsetRange, block: &Arc<RecordBlock>, memory: &Arc<Reserved>) {
        let partition = block.partition();
        self.intake.live.insert(partition, range.next);
        self.ages.read(range, block);
        let shares = self.shares(range, block, Pins::OWN_OFFSETS);
        self.count(&shares);
        for track in self.intake.on_live(partition) {
            if let Some(Way::Behind { held, join_at }) = self.intake.ways.get_mut(&track) {
                if join_at.is_some() {
                    held.push((range, Arc::clone(block), Arc::clone(memory)));
                }
                continue;
            }
            let position = self.engine.position(track).unwrap_or(range.start);
            if position < range.next {
                self.take(track, OffsetRange::new(position.max(range.start), range.next), block, memory, &shares);
            }
        }
    }

    /// Who wants which of these rows.
    fn shares(&self, range: OffsetRange, block: &RecordBlock, by: Pins) -> Shares {
        let catalogue = self.shared.configuration.catalogue();
        let (partition, mut at) = (block.partition(), range.start);
        let mut shares = Shares::default();
        while at < range.next {
            let end = self.engine.revision_ends(partition, at).min(range.next);
            let revision = self.engine.revision_at(partition, at).expect("reading starts behind the first revision");
            let rows = block.row_at(at)..block.row_at(end);
            self.shared.router.route(&catalogue, by.at(revision), block, rows, &mut shares);
            at = end;
        }
        shares
    }

    fn count(&self, shares: &Shares) {
        for (connector, rows, unclaimed) in &shares.read {
            self.shared.status.connector(connector, |connector| {
                connector.records_read += rows;
                connector.records_unclaimed += unclaimed;
            });
        }
    }

    /// The feed moves over `range`; what its lanes want of it is kept for them.
    fn take(
        &mut self,
        track: Track,
        range: OffsetRange,
        block: &Arc<RecordBlock>,
        memory: &Arc<Reserved>,
        shares: &Shares,
    ) {
        let mut taken = Vec::new();
        self.keep_shares(track, range, block, memory, shares, &mut taken);
        self.handle(Event::Fetched { track, range, taken });
    }

    fn keep_shares(
        &mut self,
        track: Track,
        range: OffsetRange,
        block: &Arc<RecordBlock>,
        memory: &Arc<Reserved>,
        shares: &Shares,
        taken: &mut Vec<Taken>,
    ) {
        for share in shares.lanes.iter().filter(|share| share.feed == track.feed) {
            for wanted in self.engine.wanted(share.lane, track.partition, range).as_slice() {
                let rows = share.rows.within(block.row_at(wanted.start)..block.row_at(wanted.next));
                let Some(first) = rows.first() else { continue };
                let bytes = bytes_of(block, rows.len());
                let flush = self.flush_of(share);
                taken.push(Taken {
                    lane: share.lane,
                    version: share.version,
                    first: block.offset(first),
                    rows: rows.len() as u64,
                    bytes,
                    flush,
                });
                match rows {
                    Taking::All(rows) => {
                        let slice = outflow_api::RowSlice { block: Arc::clone(block), rows };
                        self.open.keep(share.lane, share.version, Kept { slice, memory: Arc::clone(memory) });
                    }
                    Taking::Some(_) => self.open.copy(share.lane, share.version, block, &rows),
                }
            }
        }
    }

    fn flush_of(&self, share: &Share) -> FlushLimits {
        let catalogue = self.shared.configuration.catalogue();
        catalogue.lane(share.lane).map_or_else(FlushLimits::default, |entry| FlushLimits {
            rows_max: entry.flush.rows,
            bytes_max: entry.flush.bytes,
            age_ms_max: entry.flush.age_ms,
        })
    }

    pub(super) fn source_failed(&mut self, partition: TopicPartition, fault: &Fault) {
        let topic = self.topology.name(partition.topic);
        let number = partition.partition;
        let (shard, code) = (self.shard.0, fault.code);
        tracing::error!(
            shard, %topic, partition = number, code, %fault, event = "partition-failed",
            "the partition cannot be read"
        );
        self.shared.reader.unassign(vec![partition]);
        self.shared.status.shard(self.shard, |shard| {
            shard.partitions.entry(partition).or_default().failed = Some(fault.to_string());
        });
    }

    pub(super) fn bounds(&mut self, bounds: BTreeMap<TopicPartition, OffsetRange>) {
        self.log.extend(&bounds);
        self.shared.status.shard(self.shard, |shard| {
            for (key, range) in bounds {
                shard.partitions.entry(key).or_default().log = Some(range);
            }
        });
    }

    /// Schedules are aligned to midnight UTC: each begins a pass when its next period has begun, up to where the logs
    /// end at that moment.
    pub(super) fn begin_passes(&mut self) {
        if self.is_draining {
            return;
        }
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let schedules = self.schedules();
        for (feed, schedule) in schedules {
            let period = now_s / u64::from(schedule);
            let last = *self.intake.passes.entry(feed).or_insert(period);
            let own = || self.intake.ways.iter().filter(move |(track, _)| track.feed == feed);
            let idle = own().all(|(_, way)| matches!(way, Way::Scheduled { until: None }));
            if last == period || !idle {
                continue;
            }
            self.intake.passes.insert(feed, period);
            let ends: Vec<(Track, Offset)> = own()
                .filter_map(|(track, _)| Some((*track, self.log.get(&track.partition)?.next)))
                .filter(|(track, end)| self.engine.position(*track).is_some_and(|position| position < *end))
                .collect();
            for (track, end) in ends {
                self.intake.ways.insert(track, Way::Scheduled { until: Some(end) });
            }
        }
    }

    fn schedules(&self) -> BTreeMap<FeedId, u32> {
        let catalogue = self.shared.configuration.catalogue();
        let scheduled = self.intake.ways.iter().filter(|(_, way)| matches!(way, Way::Scheduled { .. }));
        let feeds = scheduled.filter_map(|(track, _)| Some((track.feed, catalogue.feed(track.feed)?.schedule)));
        feeds.filter(|(_, schedule)| *schedule > 0).collect()
    }

    /// Asks for the next piece of each partition of which somebody wants to read something beside the live reader.
    pub(super) fn drive(&mut self) {
        self.choose_joins();
        let now = Instant::now();
        let partitions: BTreeSet<TopicPartition> =
            self.intake.ways.keys().map(|track| track.partition).chain(self.again.partitions()).collect();
        for partition in partitions {
            let is_late = self.intake.not_before.get(&partition).is_none_or(|at| *at <= now);
            if self.intake.busy.contains(&partition) || !is_late {
                continue;
            }
            // A drain delivers what is here, and takes nothing new.
            let tracks = if self.is_draining { Vec::new() } else { self.track_needs(partition) };
            let needs = tracks.into_iter().map(|(_, from, upto)| (from, upto));
            let needs = needs.chain(self.again.needs(partition));
            let Some(range) = self.intake.sweep.next(partition, needs) else { continue };
            self.intake.busy.insert(partition);
            let (mail, catch_up) = (self.mail.clone(), self.shared.catch_up.clone());
            self.tasks.spawn(async move {
                let result = catch_up.read(partition, range).await;
                let _ = mail.send(Mail::Piece { partition, result });
            });
        }
    }

    /// A feed that has nearly caught up: from the live reader's position on its rows are held for it.
    fn choose_joins(&mut self) {
        for (track, way) in &mut self.intake.ways {
            let Way::Behind { join_at: join_at @ None, .. } = way else { continue };
            let live = self.intake.live.get(&track.partition).copied();
            let position = self.engine.position(*track);
            if let (Some(live), Some(position)) = (live, position)
                && live.0 - position.0 <= JOIN
            {
                *join_at = Some(live);
            }
        }
        let done = self.intake.ways.iter().filter(|(track, way)| match way {
            Way::Behind { join_at: Some(join_at), .. } => self.engine.position(**track) >= Some(*join_at),
            _ => false,
        });
        for track in done.map(|(track, _)| *track).collect::<Vec<_>>() {
            self.join(track);
        }
    }

    /// What was held for it comes first, then it stands where the live reader stands.
    fn join(&mut self, track: Track) {
        let Some(Way::Behind { held, .. }) = self.intake.ways.insert(track, Way::Live) else { return };
        for (range, block, memory) in held {
            let position = self.engine.position(track).unwrap_or(range.start);
            if position < range.next {
                let shares = self.shares(range, &block, Pins::OWN_OFFSETS);
                self.take(track, OffsetRange::new(position.max(range.start), range.next), &block, &memory, &shares);
            }
        }
    }

    /// From where and up to where each feed wants to read beside the live reader.
    fn track_needs(&self, partition: TopicPartition) -> Vec<(Track, Offset, Offset)> {
        let own = self.intake.ways.iter().filter(|(track, _)| track.partition == partition);
        let needs = own.filter_map(|(track, way)| {
            let upto = match way {
                Way::Behind { join_at: Some(join_at), .. } => *join_at,
                Way::Behind { join_at: None, .. } => *self.intake.live.get(&partition)?,
                Way::Scheduled { until } => (*until)?,
                Way::Live | Way::Paused => return None,
            };
            Some((*track, self.engine.position(*track)?, upto))
        });
        needs.filter(|(_, from, upto)| from < upto).collect()
    }

    pub(super) fn piece(&mut self, partition: TopicPartition, result: Result<Piece, Fault>) {
        self.intake.busy.remove(&partition);
        let piece = match result {
            Ok(piece) => piece,
            Err(fault) => {
                self.intake.not_before.insert(partition, Instant::now() + AGAIN);
                tracing::warn!(?partition, code = fault.code, %fault, "what is owed cannot be read again");
                return self.again_failed(partition, &fault);
            }
        };
        self.intake.sweep.stands(partition, piece.next);
        self.ages.read_again(partition, &piece);
        let own: Vec<Shares> = piece.kept.iter().map(|kept| self.shares_of(kept, Pins::OWN_OFFSETS)).collect();
        for (track, position, upto) in self.track_needs(partition) {
            // Who stands before the piece waits for another round.
            let next = upto.min(piece.next);
            if position >= piece.start && position < next {
                self.take_piece(track, OffsetRange::new(position, next), &piece, &own);
            }
        }
        self.found(partition, &piece, &own);
        self.end_passes();
        self.drive();
    }

    pub(super) fn shares_of(&self, kept: &Kept, by: Pins) -> Shares {
        let (block, rows) = (&kept.slice.block, &kept.slice.rows);
        let range = OffsetRange::new(block.offset(rows.start), block.offset(rows.end - 1).after());
        self.shares(range, block, by)
    }

    fn take_piece(&mut self, track: Track, range: OffsetRange, piece: &Piece, shares: &[Shares]) {
        let mut taken = Vec::new();
        for (kept, shares) in piece.kept.iter().zip(shares) {
            self.keep_shares(track, range, &kept.slice.block, &kept.memory, shares, &mut taken);
        }
        self.handle(Event::Fetched { track, range, taken });
    }

    /// A pass is over when each of its partitions has been read.
    fn end_passes(&mut self) {
        let mut over: BTreeMap<FeedId, bool> = BTreeMap::new();
        for (track, way) in &self.intake.ways {
            if let Way::Scheduled { until: Some(until) } = way {
                let reached = self.engine.position(*track) >= Some(*until);
                over.entry(track.feed).and_modify(|over| *over &= reached).or_insert(reached);
            }
        }
        for feed in over.into_iter().filter(|(_, over)| *over).map(|(feed, _)| feed) {
            for (_, way) in self.intake.ways.iter_mut().filter(|(track, _)| track.feed == feed) {
                *way = Way::Scheduled { until: None };
            }
            self.handle(Event::PassEnded(feed));
        }
    }

    /// A feed that nobody publishes any more is read up to where the revision begins that ended it.
    pub(super) fn retire(&mut self) {
        let retired: Vec<(FeedId, Revision)> = {
            let catalogue = self.shared.configuration.catalogue();
            catalogue.feeds().filter_map(|(id, feed)| Some((id, feed.retired?))).collect()
        };
        for (feed, gone) in retired {
            let is_here = self.intake.ways.keys().any(|track| track.feed == feed);
            if is_here && is_over(&self.engine, feed, gone) {
                self.intake.ways.retain(|track, _| track.feed != feed);
                self.handle(Event::FeedRetired(feed));
            }
        }
    }
}

/// A feed is over where the revision begins that ended it. As long as the engine has not taken that one, it begins
/// nowhere yet.
fn is_over(engine: &Engine, feed: FeedId, gone: Revision) -> bool {
    let mut own = engine.tracks().filter(|(track, _)| track.feed == feed);
    engine.applied().revision >= gone && own.all(|(track, at)| engine.revision_at(track.partition, at) >= Some(gone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{Applied, Generation, Incarnation, Recovered, RevisionRecord, TopicId};
    use outflow_engine::{Publication, Settings};

    #[test]
    fn a_feed_is_over_where_the_revision_begins_that_ended_it_and_not_before_that_is_known() {
        let partition = TopicPartition { topic: TopicId(1), partition: 0 };
        let [live, hourly] = [0, 1].map(|feed| Track { feed: FeedId(feed), partition });
        let recovered = Recovered {
            incarnation: Incarnation(1),
            generation: Generation(1),
            floors: BTreeMap::from([(live, Offset(50)), (hourly, Offset(5))]),
            lanes: BTreeMap::new(),
            revisions: vec![RevisionRecord { revision: Revision(1), starts: BTreeMap::new() }],
            applied: Applied { revision: Revision(1), commands: 0 },
            bytes_read: 0,
        };
        let mut out = Vec::new();
        let mut engine = Engine::recover(Settings::new(Shard(0)), recovered, &BTreeMap::new(), 0, &mut out);
        let is_over = |engine: &Engine| is_over(engine, hourly.feed, Revision(2));
        assert!(!is_over(&engine), "the revision is published, and begins nowhere yet");
        let ends = Publication { revision: Revision(2), defines: true, ..Publication::default() };
        engine.handle(1_000, Event::Published(ends), &mut out);
        assert!(!is_over(&engine), "it begins where the live feed stands");
        let range = OffsetRange::new(Offset(5), Offset(50));
        engine.handle(1_001, Event::Fetched { track: hourly, range, taken: Vec::new() }, &mut out);
        assert!(is_over(&engine));
    }
}
