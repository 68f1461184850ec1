//! One owned shard: executes what its engine asks for, and tells it what came of that. Everything that belongs to the
//! shard lives in this one task; when it ends, nothing of the shard goes on in this process.

use crate::{
    batch::{Covers, Job, Made, Offsets},
    catch_up::{CatchUp, Reread},
    compute::Compute,
    delivery::{self, Trouble, reason},
    lanes::{Lanes, OpenLane},
    memory::{Budget, Reserved},
    ownership::{JournalThread, Owned},
    reader::{Read, Reader},
    rows::{Kept, OpenRows, rows_of},
    status::{LaneStatus, PartitionStatus, Status},
};
use outflow_api::{
    AppendOutcome, BatchId, CommitOutcome, CommitPermit, DeadLetter, Encoded, Fault, LaneId, Offset, OffsetRange,
    Pending, Prepared, RecordBlock, Revision, RowSlice, Shard, SourceEvent, SweepScope, TopicPartition,
};
use outflow_engine::{
    Action, BatchSpec, DebtRead, Decision, Engine, Event, Journaled, PreparedBatch, Reason, Revealed, Stop, Taken,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

const TICK: Duration = Duration::from_millis(25);
const STATUS_EVERY: Duration = Duration::from_millis(500);

pub(crate) enum Mail {
    Read(Read),
    Prepared(Box<PreparedMail>),
    DebtRead { batch: BatchId, spent: Offsets, result: Result<Reread, Fault> },
    Journaled(AppendOutcome),
    Revealed { batch: BatchId, outcome: Revealed, letters: Vec<DeadLetter> },
    Engine(Event),
    Bounds(BTreeMap<TopicPartition, OffsetRange>),
    Failed(Fault),
    Drain,
    Release,
}

pub(crate) struct PreparedMail {
    id: BatchId,
    version: Revision,
    token: bytes::Bytes,
    made: Made,
    encoded: Arc<HeldPieces>,
}

/// Encoded pieces that wait for their reveal.
pub(crate) struct HeldPieces {
    encoded: Encoded,
    _memory: Reserved,
}

#[derive(Debug)]
pub(crate) enum End {
    Released,
    Drained,
    /// To be owned again, if it is still ours.
    Recover(String),
    /// The process must not go on.
    Halt(Fault),
}

/// What all shards of a process share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub reader: Reader,
    pub catch_up: CatchUp,
    pub budget: Budget,
    pub status: Status,
    pub compute: Compute,
}

pub(crate) struct ShardTask {
    shard: Shard,
    engine: Engine,
    lanes: Lanes,
    journal: JournalThread,
    shared: Shared,
    mail: mpsc::UnboundedSender<Mail>,
    started: Instant,
    open: OpenRows,
    /// Rows that were read again, until the engine says what becomes of them: it names their batch only then.
    debt: HashMap<LaneId, (Vec<Kept>, Offsets)>,
    letters: HashMap<BatchId, Vec<DeadLetter>>,
    pieces: HashMap<BatchId, Arc<HeldPieces>>,
    /// Reading starts when the definitions of the first record are known.
    to_read: Vec<(TopicPartition, Offset)>,
    reading: BTreeSet<TopicPartition>,
    tasks: JoinSet<()>,
    end: Option<End>,
}

impl ShardTask {
    pub fn new(
        shard: Shard,
        owned: Owned,
        journal: JournalThread,
        shared: Shared,
        mail: mpsc::UnboundedSender<Mail>,
    ) -> (ShardTask, Vec<Action>) {
        let Owned { engine, lanes, actions } = owned;
        let task = ShardTask {
            shard,
            engine,
            lanes,
            journal,
            shared,
            mail,
            started: Instant::now(),
            open: OpenRows::default(),
            debt: HashMap::new(),
            letters: HashMap::new(),
            pieces: HashMap::new(),
            to_read: Vec::new(),
            reading: BTreeSet::new(),
            tasks: JoinSet::new(),
            end: None,
        };
        (task, actions)
    }

    pub async fn run(mut self, actions: Vec<Action>, mut mailbox: mpsc::UnboundedReceiver<Mail>) -> End {
        actions.into_iter().for_each(|action| self.execute(action));
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shown = Instant::now();
        loop {
            tokio::select! {
                mail = mailbox.recv() => self.open_mail(mail.expect("the task holds a sender itself")),
                _ = tick.tick() => {
                    while self.tasks.try_join_next().is_some() {}
                    let event = if self.shared.budget.is_pressed() { Event::Pressure } else { Event::Tick };
                    self.handle(event);
                    if shown.elapsed() >= STATUS_EVERY {
                        shown = Instant::now();
                        self.show();
                    }
                }
            }
            if self.engine.is_drained() {
                self.end.get_or_insert(End::Drained);
            }
            if let Some(end) = self.end.take() {
                self.shared.reader.unassign(self.reading.iter().copied().collect());
                self.shared.status.released(self.shard);
                return end;
            }
        }
    }

    fn open_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Read(Read::Source(SourceEvent::Fetched { range, block }, memory)) => {
                self.fetched(range, &block, &memory)
            }
            Mail::Read(Read::Source(SourceEvent::AtEnd { .. }, _)) => {}
            Mail::Read(Read::Source(SourceEvent::Failed { partition, fault }, _)) => {
                self.source_failed(partition, &fault)
            }
            Mail::Prepared(prepared) => self.prepared(*prepared),
            Mail::DebtRead { batch, spent, result } => self.debt_read(batch, spent, result),
            Mail::Journaled(outcome) => self.journaled(outcome),
            Mail::Revealed { batch, outcome, letters } => self.revealed(batch, outcome, letters),
            Mail::Engine(event) => self.handle(event),
            Mail::Bounds(bounds) => self.shared.status.shard(self.shard, |shard| {
                for (key, range) in bounds {
                    shard.partitions.entry(key).or_default().log = Some(range);
                }
            }),
            Mail::Failed(fault) => self.end = Some(End::Halt(fault)),
            Mail::Drain => {
                self.shared.reader.unassign(self.reading.iter().copied().collect());
                self.handle(Event::Drain);
            }
            Mail::Release => self.end = Some(End::Released),
        }
    }

    fn handle(&mut self, event: Event) {
        let now_ms = self.started.elapsed().as_millis() as u64;
        let mut actions = Vec::new();
        self.engine.handle(now_ms, event, &mut actions);
        actions.into_iter().for_each(|action| self.execute(action));
        self.start_reading();
    }

    fn execute(&mut self, action: Action) {
        match action {
            Action::Read { partition, from } => self.to_read.push((partition, from)),
            Action::Prepare(spec) => self.prepare(spec),
            Action::Append(decision) => self.append(decision),
            Action::Reveal { permit, pending, read_rows } => self.reveal(permit, pending, read_rows),
            Action::ReadDebt { batch, owed, spent } => self.read_debt(batch, owed, spent),
            Action::Abort { lane, prepared } => self.abort(lane, prepared),
            Action::Forget { lane } => self.open.forget(lane),
            Action::Sweep { below, keep } => self.sweep(below, keep),
            Action::Stop(Stop::Fenced) => {
                self.end = Some(End::Recover("somebody else took the shard over, or may have".into()))
            }
            Action::Stop(Stop::Unknown) => self.end = Some(End::Recover("the journal's answer was lost".into())),
            Action::Stop(Stop::Refused(reason)) => {
                self.end = Some(End::Recover(format!("the journal refuses: {}", reason.hint)))
            }
            Action::Stop(Stop::Halt(what)) => self.end = Some(End::Halt(Fault::halt("engine-halted", what))),
        }
    }

    fn start_reading(&mut self) {
        let engine = &self.engine;
        let (ready, waiting) = std::mem::take(&mut self.to_read)
            .into_iter()
            .partition::<Vec<_>, _>(|(key, from)| engine.revision_at(*key, *from).is_some());
        self.to_read = waiting;
        if ready.is_empty() {
            return;
        }
        self.reading.extend(ready.iter().map(|(key, _)| *key));
        let mail = self.mail.clone();
        self.shared.reader.assign(ready, Arc::new(move |read| drop(mail.send(Mail::Read(read)))));
    }

    /// Who wants which of these rows: by the revision of each row's own offset.
    fn fetched(&mut self, range: OffsetRange, block: &Arc<RecordBlock>, memory: &Arc<Reserved>) {
        let partition = block.partition();
        let mut taken = Vec::new();
        let mut at = range.start;
        while at < range.next {
            let end = self.engine.revision_ends(partition, at).min(range.next);
            let revision = self.engine.revision_at(partition, at).expect("reading starts behind the first revision");
            for (lane, version) in self.lanes.route(revision, partition.topic) {
                for wanted in self.engine.wanted(*lane, partition, OffsetRange::new(at, end)).as_slice() {
                    let rows = block.row_at(wanted.start)..block.row_at(wanted.next);
                    if rows.is_empty() {
                        continue;
                    }
                    taken.push(tally(*lane, *version, block, &rows));
                    let slice = RowSlice { block: Arc::clone(block), rows };
                    self.open.keep(*lane, *version, Kept { slice, memory: Arc::clone(memory) });
                }
            }
            at = end;
        }
        for taken in &taken {
            if let Some(lane) = self.lanes.any(taken.lane) {
                self.shared.status.connector(&lane.connector, |connector| connector.records_read += taken.rows);
            }
        }
        self.handle(Event::Fetched { partition, range, taken });
    }

    fn source_failed(&mut self, partition: TopicPartition, fault: &Fault) {
        let topic = self.lanes.topic_name(partition.topic);
        let number = partition.partition;
        tracing::error!(%topic, partition = number, code = fault.code, %fault, "the partition cannot be read");
        self.shared.reader.unassign(vec![partition]);
        self.shared.status.shard(self.shard, |shard| {
            shard.partitions.entry(partition).or_default().failed = Some(fault.to_string());
        });
    }

    fn job(&self, id: BatchId, lane: OpenLane, kept: Vec<Kept>, covers: Covers, spent: Offsets) -> Job {
        let topics = self.lanes.topics().map(|(id, name)| (id, Arc::clone(name))).collect();
        Job { id, shard: self.shard, lane, topics, kept, covers, spent }
    }

    fn prepare(&mut self, spec: BatchSpec) {
        let BatchSpec { id, version, covers, debt } = spec;
        let (kept, spent) = if debt {
            // Never a batch without its rows: it would be decided as delivered.
            self.debt.remove(&id.lane).expect("the engine answers the rows that it was just given")
        } else {
            (self.open.take(id.lane, version, &covers), Offsets::new())
        };
        let mail = self.mail.clone();
        let lane = match self.lanes.get(id.lane, version) {
            Ok(lane) => lane,
            Err(reason) => return drop(mail.send(Mail::Engine(Event::PrepareFailed { batch: id, reason }))),
        };
        let job = self.job(id, lane.clone(), kept, covers, spent);
        let (compute, budget) = (self.shared.compute.clone(), self.shared.budget.clone());
        let repeated = self.shared.status.repeats_of(&lane.connector);
        // Columns take about as much as the records that they are made of.
        let columns = budget.reserve(raw_bytes(&job.kept));
        self.tasks.spawn(async move {
            let made = make(&compute, job).await;
            drop(columns);
            let answer = match made {
                Ok(mut made) => {
                    let encoded = std::mem::take(&mut made.encoded);
                    let memory = budget.reserve(encoded.held_bytes());
                    let prepared = if made.rows == 0 {
                        Ok(bytes::Bytes::new())
                    } else {
                        delivery::prepare(lane.sink, id, &encoded, repeated).await.map(|prepared| prepared.token)
                    };
                    prepared.map(|token| {
                        let encoded = Arc::new(HeldPieces { encoded, _memory: memory });
                        Mail::Prepared(Box::new(PreparedMail { id, version, token, made, encoded }))
                    })
                }
                Err(fault) => Err(Trouble::Park(reason(&fault))),
            };
            let _ = mail.send(answer.unwrap_or_else(|trouble| match trouble {
                Trouble::Park(reason) => Mail::Engine(Event::PrepareFailed { batch: id, reason }),
                Trouble::Stop(fault) => Mail::Failed(fault),
            }));
        });
    }

    fn prepared(&mut self, mail: PreparedMail) {
        let PreparedMail { id, version, token, made, encoded } = mail;
        let Made { covers, rows, rejected, rows_hash, letters, letter_bytes, rest, .. } = made;
        let mut taken = Vec::new();
        if self.engine.is_preparing(id) {
            self.letters.insert(id, letters);
            self.pieces.insert(id, encoded);
        }
        if self.engine.keeps_rest(id) {
            for kept in rest {
                taken.push(tally(id.lane, version, &kept.slice.block, &kept.slice.rows));
                self.open.keep(id.lane, version, kept);
            }
        }
        let batch = PreparedBatch { id, token, covers, rows, rejected, rows_hash, letter_bytes, rest: taken };
        self.handle(Event::Prepared(batch));
    }

    fn append(&mut self, decision: Decision) {
        let Decision { mut transaction, letters } = decision;
        for of in &letters {
            transaction.dead_letters.extend(self.letters.get(&of.batch).into_iter().flatten().cloned());
        }
        let mail = self.mail.clone();
        self.journal.append(transaction, move |outcome| drop(mail.send(Mail::Journaled(outcome))));
    }

    fn journaled(&mut self, outcome: AppendOutcome) {
        let journaled = match outcome {
            AppendOutcome::Done => Journaled::Done,
            AppendOutcome::Refused(fault) => {
                tracing::warn!(shard = self.shard.0, code = fault.code, %fault, "the journal refuses a transaction");
                Journaled::Refused(reason(&fault))
            }
            AppendOutcome::Fenced => Journaled::Fenced,
            AppendOutcome::Unknown(fault) => {
                tracing::warn!(shard = self.shard.0, code = fault.code, %fault, "the journal's answer is unknown");
                Journaled::Unknown
            }
        };
        self.handle(Event::Journaled(journaled));
    }

    fn abort(&mut self, lane: LaneId, prepared: Prepared) {
        self.letters.remove(&prepared.id);
        self.pieces.remove(&prepared.id);
        if prepared.token.is_empty() {
            return;
        }
        if let Some(lane) = self.lanes.any(lane).cloned() {
            self.tasks.spawn(async move {
                if let Err(fault) = lane.sink.abort(&prepared).await {
                    tracing::debug!(batch = %prepared.id, %fault, "an aborted batch is left to the next sweep");
                }
            });
        }
    }

    fn sweep(&mut self, below: outflow_api::Generation, keep: Vec<Prepared>) {
        let incarnation = self.engine.incarnation();
        for (id, lane) in self.lanes.all() {
            let keep = keep.iter().filter(|prepared| prepared.id.lane == id).cloned().collect();
            let scope = SweepScope { incarnation, shard: self.shard, below, keep };
            let sink = Arc::clone(&lane.sink);
            self.tasks.spawn(async move {
                if let Err(fault) = sink.sweep(&scope).await {
                    tracing::debug!(%fault, "left-overs of earlier owners stay for now");
                }
            });
        }
    }

    fn show(&self) {
        let lanes = self.engine.lane_views().map(|(id, view)| LaneStatus {
            lane: id.0,
            connector: self.lanes.any(id).map_or_else(|| "unknown".into(), |lane| lane.connector.to_string()),
            open_rows: view.open_rows,
            owed: view.owed,
            is_behind: view.is_behind,
            has_pending: view.pending.is_some(),
            parked: view.parked,
        });
        let lanes = lanes.collect();
        self.shared.status.shard(self.shard, |shard| {
            shard.generation = self.engine.generation().0;
            shard.lanes = lanes;
            for (key, floor) in self.engine.floors() {
                let position = self.engine.position(key).unwrap_or(floor);
                let topic = self.lanes.topic_name(key.topic).to_string();
                let before = shard.partitions.entry(key).or_default();
                *before = PartitionStatus { topic, position, floor, ..before.clone() };
            }
        });
    }
}

/// Rows of one block, counted.
fn tally(lane: LaneId, version: Revision, block: &RecordBlock, rows: &std::ops::Range<usize>) -> Taken {
    let bytes = block.payload_bytes() * rows.len() / block.len().max(1);
    let (partition, first) = (block.partition(), block.offset(rows.start));
    Taken { lane, version, partition, first, rows: rows.len() as u64, bytes: bytes as u64 }
}

fn raw_bytes(kept: &[Kept]) -> usize {
    let bytes = |slice: &RowSlice| slice.block.held_bytes() * slice.rows.len() / slice.block.len().max(1);
    kept.iter().map(|kept| bytes(&kept.slice)).sum()
}

async fn make(compute: &Compute, job: Job) -> Result<Made, Fault> {
    let died = || Err(Fault::halt("encoder-died", "encoding a batch panicked: this is a bug"));
    compute.run(move || job.make()).await.unwrap_or_else(died)
}

mod again;
