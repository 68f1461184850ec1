use crate::{Catalogue, Held, Log, RowId};
use outflow_api::{BatchId, Generation, LaneId, Offset, OffsetRange, Pending, Prepared, TopicPartition};
use outflow_engine::{Action, BatchSpec, Decision, Engine, Event, Stop, Taken};
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
    pub reading: BTreeSet<TopicPartition>,
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
    ReadDebt { batch: BatchId, owed: BTreeMap<TopicPartition, OffsetRange>, spent: Offsets },
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
            reading: BTreeSet::new(),
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
            for taken in &batch.rest {
                let own = rows.iter().filter(|row| row.0 == taken.partition);
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
                Action::Read { partition, from } => {
                    if self.engine.position(partition) < Some(from) {
                        return Err(format!("{partition:?} is read from {}, past the position", from.0));
                    }
                    self.reading.insert(partition);
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
                Action::ReadDebt { batch, owed, spent } => What::ReadDebt { batch, owed, spent },
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
        range: (TopicPartition, OffsetRange),
    ) -> Result<Event, String> {
        let (partition, range) = range;
        let mut taken: Vec<Taken> = Vec::new();
        for (offset, row) in log.rows(partition, range) {
            let revision = self.engine.revision_at(partition, offset).ok_or("fetched before any definitions")?;
            let lane = catalogue.lane(revision, row.key);
            if !self.engine.wanted(lane, partition, range).contains(offset) {
                continue;
            }
            let version = catalogue.version(revision, lane);
            self.held.keep(lane, version, (partition, offset))?;
            match taken.iter_mut().find(|taken| taken.lane == lane && taken.version == version) {
                Some(taken) => taken.rows += 1,
                None => taken.push(Taken { lane, version, partition, first: offset, rows: 1, bytes: 1 }),
            }
        }
        Ok(Event::Fetched { partition, range, taken })
    }

    /// Where the reader may go on, if anywhere.
    pub fn readable(&self, log: &Log) -> Vec<(TopicPartition, Offset)> {
        if self.draining {
            return Vec::new();
        }
        let positions = self.reading.iter().filter_map(|key| Some((*key, self.engine.position(*key)?)));
        let readable = positions
            .filter(|(key, position)| *position < log.end(*key) && self.engine.revision_at(*key, *position).is_some());
        readable.collect()
    }

    /// All rows that the lane has within the ranges, in order: a decided batch read again.
    pub fn read_again(
        &self,
        log: &Log,
        catalogue: &Catalogue,
        lane: LaneId,
        covers: &BTreeMap<TopicPartition, OffsetRange>,
    ) -> Vec<RowId> {
        let mut rows = Vec::new();
        for (key, range) in covers {
            let own = log.rows(*key, *range).filter(|(offset, row)| {
                let revision = self.engine.revision_at(*key, *offset);
                revision.is_some_and(|revision| catalogue.lane(revision, row.key) == lane)
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
