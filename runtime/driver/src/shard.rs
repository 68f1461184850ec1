//! One owned shard: executes what its engine asks for, and tells it what came of that. Everything that belongs to the
//! shard lives in this one task; when it ends, nothing of the shard goes on in this process.

use crate::{
    batch::{Covers, Job, Made, Offsets},
    calls::{Caller, Calls, Failure},
    catch_up::{CatchUp, Piece, TimeAt},
    compute::Compute,
    configuration::Configuration,
    delivery::{self, Trouble, reason},
    holds::Hold,
    lanes::{Lanes, OpenLane},
    looks::{Look, Looks},
    memory::{Budget, Reserved},
    ownership::{JournalThread, Owned},
    pages::Pages,
    reader::{Read, Reader},
    refusals::{Reasons, Refusals},
    route::Router,
    rows::{Kept, OpenRows, Waiting},
    status::Status,
    topology::Topology,
};
use outflow_api::{
    AppendOutcome, BatchId, Cluster, CommitOutcome, CommitPermit, DeadLetter, Encoded, Fault, FeedId, LaneId, Offset,
    OffsetRange, Pending, Pins, Prepared, RecordBlock, Revision, Shard, SourceEvent, SweepScope, TopicPartition, Track,
    Verdict,
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

mod again;
mod ages;
mod clearing;
mod intake;
mod parking;
mod preparing;
mod publishing;
mod repairing;
mod replacing;
mod view;
mod walk;

pub use ages::{Undelivered, oldest, oldest_known};
pub(crate) use preparing::PreparedMail;
pub use repairing::Repaired;
pub use replacing::Replacement;
pub use view::LaneState;
pub(crate) use view::Which;

const TICK: Duration = Duration::from_millis(25);
const STATUS_EVERY: Duration = Duration::from_millis(500);

pub(crate) enum Mail {
    Read(Read),
    Piece {
        partition: TopicPartition,
        result: Result<Piece, Fault>,
    },
    TimeAt {
        partition: TopicPartition,
        offset: Offset,
        result: Result<TimeAt, Fault>,
    },
    Prepared(Box<PreparedMail>),
    /// The destination refuses rows of a batch that was to be prepared.
    Refused {
        batch: BatchId,
        rows: Reasons,
    },
    Journaled(AppendOutcome),
    Revealed {
        batch: BatchId,
        outcome: Revealed,
        letters: Vec<DeadLetter>,
    },
    /// The destination refuses rows of a decided batch whose records are not in memory.
    RecordsNeeded {
        batch: BatchId,
    },
    /// A decided batch that could not be tried a moment ago.
    Reveal {
        permit: CommitPermit,
        pending: Box<Pending>,
        read_rows: bool,
    },
    /// An old batch that is still being removed, however often it takes.
    RemovalHangs {
        batch: BatchId,
        reason: Reason,
    },
    Engine(Event),
    /// Of partitions' logs, as last seen.
    Bounds(BTreeMap<TopicPartition, OffsetRange>),
    /// More of the config log is known, or other topics.
    Published {
        topology: Arc<Topology>,
        bounds: BTreeMap<TopicPartition, OffsetRange>,
    },
    /// What there is to say about lanes.
    Failed(Fault),
    Drain,
    Release,
}

/// Encoded pieces that wait for their reveal.
pub(crate) struct HeldPieces {
    encoded: Encoded,
    _memory: (Reserved, Reserved),
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

impl End {
    /// Of a shard that could not be owned.
    pub fn not_owned(fault: Fault) -> End {
        match fault.verdict {
            Verdict::Halt => End::Halt(fault),
            Verdict::Retry { .. } | Verdict::Park | Verdict::Fence => End::Recover(fault.to_string()),
        }
    }
}

/// What all shards of a process share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub cluster: Arc<dyn Cluster>,
    pub reader: Reader,
    pub catch_up: CatchUp,
    pub budget: Budget,
    pub pages: Pages,
    pub status: Status,
    pub compute: Compute,
    pub configuration: Configuration,
    pub lanes: Lanes,
    pub router: Arc<Router>,
    pub calls: Arc<Calls>,
    pub looks: Looks,
    pub shards: u32,
    pub retention_alarm_ms: u64,
}

pub(crate) struct ShardTask {
    shard: Shard,
    engine: Engine,
    journal: JournalThread,
    shared: Shared,
    topology: Arc<Topology>,
    mail: mpsc::UnboundedSender<Mail>,
    started: Instant,
    open: OpenRows,
    intake: intake::Intake,
    again: again::Again,
    ages: ages::Ages,
    /// Rows that were read again, until the engine says what becomes of them: it names their batch only then.
    debt: HashMap<LaneId, (Waiting, Offsets)>,
    refusals: Refusals,
    letters: HashMap<BatchId, Vec<DeadLetter>>,
    pieces: HashMap<BatchId, Arc<HeldPieces>>,
    /// The last revision of the config log that the engine was told.
    told: Revision,
    walk: walk::Walk,
    repairs: repairing::Repairs,
    hold: Hold,
    replacements: replacing::Replacements,
    parking: parking::Parking,
    log: BTreeMap<TopicPartition, OffsetRange>,
    tasks: JoinSet<()>,
    is_draining: bool,
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
        let Owned { engine, topology, bounds, actions, hold } = owned;
        // The revision that was applied is told again: some of its commands may be left.
        let told = Revision(engine.applied().revision.0.saturating_sub(1));
        let parking = parking::Parking::new(&engine);
        let task = ShardTask {
            shard,
            engine,
            journal,
            topology,
            mail,
            started: Instant::now(),
            open: OpenRows::new(shared.pages.clone()),
            intake: intake::Intake::default(),
            again: again::Again::default(),
            ages: ages::Ages::default(),
            debt: HashMap::new(),
            refusals: Refusals::default(),
            letters: HashMap::new(),
            pieces: HashMap::new(),
            told,
            walk: walk::Walk::default(),
            repairs: repairing::Repairs::default(),
            hold,
            replacements: replacing::Replacements::default(),
            parking,
            log: bounds,
            tasks: JoinSet::new(),
            is_draining: false,
            end: None,
            shared,
        };
        (task, actions)
    }

    pub async fn run(mut self, actions: Vec<Action>, mut mailbox: mpsc::UnboundedReceiver<Mail>) -> End {
        actions.into_iter().for_each(|action| self.execute(action));
        self.tell();
        let mut looks = self.shared.looks.open(self.shard);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shown = Instant::now();
        loop {
            while let Ok(look) = looks.try_recv() {
                self.look(look);
            }
            tokio::select! {
                Some(look) = looks.recv() => self.look(look),
                mail = mailbox.recv() => self.open_mail(mail.expect("the task holds a sender itself")),
                _ = tick.tick() => {
                    while self.tasks.try_join_next().is_some() {}
                    self.tick();
                    self.walk();
                    if shown.elapsed() >= STATUS_EVERY {
                        shown = Instant::now();
                        self.look_at_ages();
                        self.tell_parked();
                        self.refusals.keep(|lane| self.engine.lane_view(lane).is_some());
                        self.resume();
                        self.hold.set(self.needs());
                    }
                }
            }
            if self.engine.is_drained() {
                self.end.get_or_insert(End::Drained);
            }
            if let Some(end) = self.end.take() {
                self.shared.reader.unassign(self.intake.partitions());
                self.shared.status.released(self.shard);
                self.shared.calls.leave(self.shard);
                return end;
            }
        }
    }

    fn tick(&mut self) {
        let budget = &self.shared.budget;
        let event = match budget.is_pressed() {
            true => Event::Pressure { bytes: budget.part_to_go(self.open.raw_bytes()) as u64 },
            false => Event::Tick,
        };
        self.handle(event);
        self.begin_passes();
        self.retire();
        self.stop_tries();
        self.stop_removals();
        self.drive();
    }

    /// Lanes that a circuit kept waiting.
    fn resume(&mut self) {
        let lanes = self.shared.calls.resumable(self.shard);
        lanes.into_iter().for_each(|lane| self.handle(Event::Resume(lane)));
    }

    fn open_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Read(Read::Source(SourceEvent::Fetched { range, block }, memory, _arriving)) => {
                self.fetched(range, &block, &memory)
            }
            Mail::Read(Read::Source(SourceEvent::AtEnd { .. }, ..)) => {}
            Mail::Read(Read::Source(SourceEvent::Failed { partition, fault }, ..)) => {
                self.source_failed(partition, &fault)
            }
            Mail::Piece { partition, result } => self.piece(partition, result),
            Mail::TimeAt { partition, offset, result } => self.time_at(partition, offset, result),
            Mail::Prepared(prepared) => self.prepared(*prepared),
            Mail::Refused { batch, rows } => self.refused(batch, rows),
            Mail::Journaled(outcome) => self.journaled(outcome),
            Mail::Revealed { batch, outcome, letters } => self.revealed(batch, outcome, letters),
            Mail::RecordsNeeded { batch } => self.records_needed(batch),
            Mail::Reveal { permit, pending, read_rows } => self.reveal(permit, *pending, read_rows),
            Mail::RemovalHangs { batch, reason } => self.removal_hangs(batch, &reason),
            Mail::Engine(event) => self.handle(event),
            Mail::Bounds(bounds) => self.bounds(bounds),
            Mail::Published { topology, bounds } => {
                self.topology = topology;
                self.bounds(bounds);
                self.tell();
            }
            Mail::Failed(fault) => self.end = Some(End::Halt(fault)),
            Mail::Drain => {
                self.is_draining = true;
                self.shared.reader.unassign(self.intake.partitions());
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
            Action::Read { track, from } => self.intake.add(track, from),
            Action::Prepare(spec) => self.prepare(spec),
            Action::Append(decision) => self.append(decision),
            Action::Reveal { permit, pending, read_rows } => self.reveal(permit, pending, read_rows),
            Action::ReadDebt { batch, partition, range, by, spent } => {
                self.read_debt(batch, (partition, range), by, spent)
            }
            Action::ReadLedger { command, lane, ranges, letters } => {
                self.read_ledger(command, (lane, letters), ranges);
            }
            Action::ReadDeliveries { command, lane, ranges } => self.read_deliveries(command, lane, ranges),
            Action::Remove(old) => self.remove(old),
            Action::Replaced { lane, run, outcome } => self.replaced(lane, run, outcome),
            Action::Repaired { lane, run, outcome } => self.repaired(lane, run, outcome),
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

    fn lane(&self, id: LaneId, version: Revision) -> Result<OpenLane, Reason> {
        self.shared.lanes.get(&self.shared.configuration.catalogue(), id, version)
    }

    fn job(&self, id: BatchId, lane: OpenLane, rows: Waiting, covers: Covers, spent: Offsets) -> Job {
        let (topology, budget) = (Arc::clone(&self.topology), self.shared.budget.clone());
        let queued = Some(budget.queue(rows.held_bytes()));
        let refused = Reasons::new();
        Job { id, shard: self.shard, lane, topology, rows, queued, budget, covers, spent, refused }
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
                let (shard, code) = (self.shard.0, fault.code);
                tracing::warn!(shard, code, %fault, event = "journal-refuses", "the journal refuses a transaction");
                Journaled::Refused(reason(&fault))
            }
            AppendOutcome::Fenced => Journaled::Fenced,
            AppendOutcome::Unknown(fault) => {
                let (shard, code) = (self.shard.0, fault.code);
                tracing::warn!(shard, code, %fault, event = "journal-unknown", "the journal's answer is unknown");
                Journaled::Unknown
            }
        };
        self.handle(Event::Journaled(journaled));
    }
}

/// Of some rows of a block, on average.
fn bytes_of(block: &RecordBlock, rows: usize) -> u64 {
    (block.payload_bytes() * rows / block.len().max(1)) as u64
}

async fn make(compute: &Compute, job: Job) -> Result<Made, Fault> {
    let died = || Err(Fault::halt("encoder-died", "encoding a batch panicked: this is a bug"));
    compute.run(move || job.make()).await.unwrap_or_else(died)
}
