use crate::{Log, Rng, RowId, checker::must};
use outflow_api::{FeedId, LaneId, Offset, OffsetRange, Ranges, Revision, TopicPartition, Track};
use outflow_catalogue::Needs;
use outflow_engine::{Act, Command, Publication};
use std::collections::{BTreeMap, BTreeSet};

/// The config log: which key belongs to which lane, since which revision each lane is what it is, which feeds there
/// are, and what operators want to be done once.
pub struct Catalogue {
    entries: Vec<Entry>,
    /// Of each lane, for life.
    feed_of: Vec<FeedId>,
    /// Of each feed, the revision that it begins with.
    begun: Vec<Revision>,
    retired: BTreeMap<FeedId, Revision>,
    /// Where the first revision's feeds begin, if not at the start of the log.
    begins: BTreeMap<Track, Offset>,
    /// What no shard needed is gone.
    forgotten: Needs,
}

#[derive(Clone)]
struct Entry {
    defines: bool,
    lane_of: Vec<LaneId>,
    version_of: Vec<Revision>,
    commands: Vec<Command>,
}

/// When somebody replaces something. By chance of its own, so that a world without replacements is what it was before
/// there were any.
pub struct Replaces {
    rng: Rng,
    /// Per mille of the steps.
    rate: u64,
}

impl Replaces {
    pub fn none() -> Replaces {
        Replaces { rng: Rng::new(0), rate: 0 }
    }

    pub fn draw(seed: u64) -> Replaces {
        let mut rng = Rng::new(seed ^ 0x2a98_3583_da34_a54a);
        let rate = if rng.chance(400) { rng.between(1, 60) } else { 0 };
        Replaces { rng, rate }
    }

    pub fn disturb(&mut self, catalogue: &mut Catalogue, log: &Log) {
        if self.rng.chance(self.rate) {
            catalogue.replace(&mut self.rng, log);
        }
    }
}

/// When somebody sends dead letters again, and which rows have become fit by then. By chance of its own as well, and in
/// no world with replacements: their accidents are rare, and found by worlds that stay as they are.
pub struct Resends {
    rng: Rng,
    /// Per mille of the steps.
    rate: u64,
}

/// How often each row of a lane became a dead letter of it.
type LettersOut = BTreeMap<LaneId, BTreeMap<RowId, u32>>;

impl Resends {
    pub fn none() -> Resends {
        Resends { rng: Rng::new(0), rate: 0 }
    }

    pub fn draw(seed: u64, replaces: &Replaces) -> Resends {
        let mut rng = Rng::new(seed ^ 0x71c5_0b1e_93d4_62fb);
        let rate = if replaces.rate == 0 && rng.chance(500) { rng.between(1, 60) } else { 0 };
        Resends { rng, rate }
    }

    pub fn disturb(&mut self, catalogue: &mut Catalogue, letters: impl FnOnce() -> LettersOut) {
        if self.rng.chance(self.rate) {
            catalogue.resend(&mut self.rng, &letters());
        }
    }

    /// Whatever made a dead letter of it before was mended: the model, or the destination's table.
    pub fn have_mended(&self, row: RowId) -> bool {
        self.rate > 0 && row.1.0 % 2 == 1
    }
}

/// Rows without a lane go here; all of them are dead letters.
pub const REJECT_LANE: LaneId = LaneId(0);
pub const LIVE: FeedId = FeedId(0);
pub const SCHEDULED: FeedId = FeedId(1);
const LANES_MAX: usize = 9;
const FEEDS_MAX: usize = 4;

impl Catalogue {
    pub fn new(lane_of: Vec<LaneId>, feed_of: Vec<FeedId>) -> Catalogue {
        let version_of = vec![Revision(1); feed_of.len()];
        let first = Entry { defines: true, lane_of, version_of, commands: Vec::new() };
        let begun = vec![Revision(1); 2];
        let (retired, begins, forgotten) = (BTreeMap::new(), BTreeMap::new(), Needs::default());
        Catalogue { entries: vec![first], feed_of, begun, retired, begins, forgotten }
    }

    pub fn draw(rng: &mut Rng, keys: u32, lanes: u32) -> Catalogue {
        let lane_of = (0..keys).map(|_| LaneId(rng.below(lanes.into()) as u32)).collect();
        let feed = |lane: u32| if lane > 0 && rng.chance(350) { SCHEDULED } else { LIVE };
        Catalogue::new(lane_of, (0..lanes).map(feed).collect())
    }

    /// The first feeds need not begin at the start of a log.
    pub fn draw_begins(&mut self, rng: &mut Rng, log: &Log) {
        for (feed, partition) in
            [LIVE, SCHEDULED].into_iter().flat_map(|feed| log.partitions.keys().map(move |key| (feed, *key)))
        {
            if rng.chance(150) {
                let begin = Offset(rng.between(0, log.end(partition).0 as u64) as i64);
                self.begins.insert(Track { feed, partition }, begin);
            }
        }
    }

    pub fn newest(&self) -> Revision {
        Revision(self.entries.len() as u64)
    }

    pub fn lanes(&self) -> usize {
        self.feed_of.len()
    }

    pub fn feed(&self, lane: LaneId) -> FeedId {
        self.feed_of[lane.0 as usize]
    }

    /// Feeds that there are as of this revision.
    pub fn feeds(&self, revision: Revision) -> impl Iterator<Item = FeedId> + '_ {
        self.feeds_between(revision, revision)
    }

    /// Feeds that there are as of any of these revisions.
    pub fn feeds_between(&self, first: Revision, last: Revision) -> impl Iterator<Item = FeedId> + '_ {
        let begun = (0..).map(FeedId).zip(&self.begun).filter(move |(_, begun)| **begun <= last);
        begun.map(|(feed, _)| feed).filter(move |feed| self.retired_at(*feed).is_none_or(|retired| retired > first))
    }

    pub fn retired_at(&self, feed: FeedId) -> Option<Revision> {
        self.retired.get(&feed).copied()
    }

    /// Rows below are nobody's.
    pub fn begin(&self, track: Track) -> Offset {
        self.begins.get(&track).copied().unwrap_or(Offset::ZERO)
    }

    fn entry(&self, revision: Revision) -> &Entry {
        &self.entries[revision.0 as usize - 1]
    }

    pub fn lane(&self, revision: Revision, key: u8) -> LaneId {
        self.entry(revision).lane_of[usize::from(key)]
    }

    pub fn version(&self, revision: Revision, lane: LaneId) -> Revision {
        self.entry(revision).version_of.get(lane.0 as usize).copied().unwrap_or(revision)
    }

    pub fn commands(&self, revision: Revision) -> &[Command] {
        &self.entry(revision).commands
    }

    /// P20: all shards are past these needs. Orders that one has not taken name definitions as well.
    pub fn forget(&mut self, needs: Needs) {
        let untaken = self.entries.iter().skip(needs.taken.0 as usize).flat_map(|entry| &entry.commands);
        let by = untaken.filter_map(|command| match command.act {
            Act::Replay { by, .. } | Act::Repair { by, .. } | Act::Replace { by, .. } => Some(by),
            _ => None,
        });
        let Needs { routed, taken } = self.forgotten;
        let ordered = by.min().unwrap_or(needs.routed);
        self.forgotten = Needs { routed: needs.routed.min(ordered).max(routed), taken: needs.taken.max(taken) };
    }

    /// Rows may be read by this revision.
    pub fn must_route(&self, revision: Revision) -> Result<(), String> {
        must(revision >= self.forgotten.routed, || {
            format!("rows are read by {revision:?}: {:?} is left", self.forgotten)
        })
    }

    /// A shard may be told of this revision.
    pub fn must_tell(&self, revision: Revision) -> Result<(), String> {
        must(revision > self.forgotten.taken, || format!("{revision:?} is told: {:?} is left", self.forgotten))
    }

    /// As a shard of these partitions is told.
    pub fn publication(&self, revision: Revision, partitions: &BTreeSet<TopicPartition>) -> Publication {
        let entry = self.entry(revision);
        let new = (0..).map(FeedId).zip(&self.begun).filter(|(_, begun)| **begun == revision);
        let tracks = new.flat_map(|(feed, _)| partitions.iter().map(move |key| Track { feed, partition: *key }));
        let begin = |track: Track| (track, (revision == Revision(1)).then(|| self.begin(track)));
        Publication {
            revision,
            defines: entry.defines,
            feeds: tracks.map(begin).collect(),
            commands: entry.commands.clone(),
        }
    }

    fn publish(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    fn next_entry(&self) -> (Revision, Entry) {
        let last = self.entries.last().expect("there is a first").clone();
        (Revision(self.entries.len() as u64 + 1), Entry { defines: false, commands: Vec::new(), ..last })
    }

    /// Who may still get rows.
    fn open_lanes(&self) -> Vec<LaneId> {
        let all = (0..).map(LaneId).zip(&self.feed_of);
        all.filter(|(_, feed)| !self.retired.contains_key(feed)).map(|(lane, _)| lane).collect()
    }

    /// A key moves, or a lane changes, or something that matters to neither; merchants come, schedules go.
    pub fn change(&mut self, rng: &mut Rng, log: &Log) {
        let (revision, mut next) = self.next_entry();
        next.defines = true;
        if rng.chance(600) {
            let (key, lanes) = (rng.index(next.lane_of.len()), self.open_lanes());
            next.lane_of[key] = lanes[rng.index(lanes.len())];
        }
        if rng.chance(500) {
            let lane = rng.index(next.version_of.len());
            next.version_of[lane] = revision;
        }
        if rng.chance(150) && self.feed_of.len() < LANES_MAX {
            self.welcome(rng, log, &mut next, revision);
        }
        if rng.chance(120) {
            self.retire(rng, &mut next, revision);
        }
        if rng.chance(200) {
            self.draw_commands(rng, log, &mut next, revision);
        }
        self.publish(next);
    }

    /// A new lane, of a new feed or of an old one, with history or without.
    fn welcome(&mut self, rng: &mut Rng, log: &Log, next: &mut Entry, revision: Revision) {
        let feeds: Vec<FeedId> = self.feeds(revision).collect();
        let feed = if rng.chance(350) && self.begun.len() < FEEDS_MAX {
            self.begun.push(revision);
            FeedId(self.begun.len() as u32 - 1)
        } else {
            feeds[rng.index(feeds.len())]
        };
        let lane = LaneId(self.feed_of.len() as u32);
        self.feed_of.push(feed);
        next.version_of.push(revision);
        for _ in 0..rng.between(0, 2) {
            let key = rng.index(next.lane_of.len());
            next.lane_of[key] = lane;
        }
        if rng.chance(600) {
            let some = log.partitions.keys().filter(|_| rng.chance(800)).copied().collect::<Vec<_>>();
            let from = some.into_iter().map(|key| (key, Offset(rng.between(0, log.end(key).0 as u64) as i64)));
            next.commands.push(Command { lane, feed, act: Act::History { from: from.collect() } });
        }
    }

    fn retire(&mut self, rng: &mut Rng, next: &mut Entry, revision: Revision) {
        let feeds: Vec<FeedId> = self.feeds(revision).filter(|feed| *feed != LIVE).collect();
        if feeds.is_empty() {
            return;
        }
        self.retired.insert(feeds[rng.index(feeds.len())], revision);
        let lanes = self.open_lanes();
        for lane in next.lane_of.iter_mut().filter(|lane| !lanes.contains(lane)) {
            *lane = lanes[rng.index(lanes.len())];
        }
    }

    /// Commands alone.
    pub fn command(&mut self, rng: &mut Rng, log: &Log) {
        let (revision, mut next) = self.next_entry();
        self.draw_commands(rng, log, &mut next, revision);
        self.publish(next);
    }

    fn draw_commands(&self, rng: &mut Rng, log: &Log, next: &mut Entry, revision: Revision) {
        for _ in 0..rng.between(1, 4) {
            // Some troubles need several commands to one lane.
            let lane = LaneId(if rng.chance(500) { 1 } else { rng.index(self.feed_of.len()) as u32 });
            let act = self.draw_act(rng, log, revision);
            let by = |act: &Act| match act {
                Act::Replay { by, .. } | Act::Repair { by, .. } => Some(*by),
                Act::History { .. } | Act::Mend => Some(revision),
                _ => None,
            };
            // Two runs of one entry would be one run.
            let same = |known: &Command| known.lane == lane && by(&act).is_some_and(|own| by(&known.act) == Some(own));
            if !next.commands.iter().any(same) {
                next.commands.push(Command { lane, feed: self.feed(lane), act });
            }
        }
    }

    fn draw_act(&self, rng: &mut Rng, log: &Log, revision: Revision) -> Act {
        // Nobody knows any more what was forgotten.
        let any = |rng: &mut Rng| Revision(rng.between(1, revision.0)).max(self.forgotten.routed);
        match rng.below(120) {
            0..30 => {
                let longest = if rng.chance(300) { 60 } else { 12 };
                Act::Replay { by: any(rng), ranges: Catalogue::draw_ranges(rng, log, longest) }
            }
            30..52 => Act::Pause,
            52..80 => Act::Resume,
            80..88 => Act::Mend,
            88..98 => Act::Skip,
            98..104 => Act::Abandon,
            _ => {
                let by = if rng.chance(700) { revision } else { any(rng) };
                Act::Repair { by, ranges: Catalogue::draw_ranges(rng, log, 60), letters: 0 }
            }
        }
    }

    /// One lane, and a short piece of each of some partitions.
    pub fn replace(&mut self, rng: &mut Rng, log: &Log) {
        let (revision, mut next) = self.next_entry();
        let lane = LaneId(if rng.chance(500) { 1 } else { rng.index(self.feed_of.len()) as u32 });
        let by =
            if rng.chance(700) { revision } else { Revision(rng.between(1, revision.0)).max(self.forgotten.routed) };
        let longest = if rng.chance(300) { 60 } else { 8 };
        let ranges = Catalogue::draw_ranges(rng, log, longest);
        next.commands.push(Command { lane, feed: self.feed(lane), act: Act::Replace { by, ranges } });
        // Behind it, what may come in between.
        if rng.chance(200) {
            let act = match rng.below(4) {
                0 => Act::Skip,
                1 => Act::Abandon,
                2 => Act::Pause,
                _ => Act::Mend,
            };
            next.commands.push(Command { lane, feed: self.feed(lane), act });
        }
        self.publish(next);
    }

    /// Some of one lane's rows that have equally many letters.
    fn resend(&mut self, rng: &mut Rng, letters: &LettersOut) {
        if letters.is_empty() {
            return;
        }
        let (revision, mut next) = self.next_entry();
        let at = rng.index(letters.len());
        let (lane, rows) = letters.iter().nth(at).expect("it is one of them");
        let letters = *rows.values().nth(rng.index(rows.len())).expect("it is one of them");
        let mut ranges: BTreeMap<TopicPartition, Ranges> = BTreeMap::new();
        for ((key, offset), _) in rows.iter().filter(|(_, own)| **own == letters) {
            if rng.chance(800) {
                ranges.entry(*key).or_default().insert(OffsetRange::new(*offset, offset.after()));
            }
        }
        let act = Act::Repair { by: revision, ranges, letters };
        next.commands.push(Command { lane: *lane, feed: self.feed(*lane), act });
        self.publish(next);
    }

    fn draw_ranges(rng: &mut Rng, log: &Log, longest: u64) -> BTreeMap<TopicPartition, Ranges> {
        let mut ranges: BTreeMap<TopicPartition, Ranges> = BTreeMap::new();
        for key in log.partitions.keys() {
            for _ in 0..rng.below(3) {
                let start = rng.between(0, log.end(*key).0 as u64) as i64;
                let range = OffsetRange::new(Offset(start), Offset(start + rng.between(1, longest) as i64));
                ranges.entry(*key).or_default().insert(range);
            }
        }
        ranges
    }

    /// Nobody stays paused.
    pub fn resume_all(&mut self) {
        let (_, mut next) = self.next_entry();
        let lanes = (0..).map(LaneId).zip(&self.feed_of);
        next.commands.extend(lanes.map(|(lane, feed)| Command { lane, feed: *feed, act: Act::Resume }));
        self.publish(next);
    }
}
