use super::{
    Batch, Destination, Random, Size, cut_off, is_gone,
    laws::{commit_until_done, encoded},
    rows::INCARNATION,
    settled,
};
use outflow_api::{
    CommitOutcome, CommitPermit, Delivered, Fault, Generation, Prepared, Shard, Sink, SweepScope, Verdict,
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a run did; to be printed, and to be doubted if it is little.
#[derive(Clone, Copy, Default, Debug)]
pub struct Chaos {
    pub decided: usize,
    pub undecided: usize,
    pub commits: usize,
    pub removed: usize,
    pub faults_seen: usize,
    pub cut_off: usize,
    pub looks: usize,
}

/// As the engine sees a batch.
struct Known {
    batch: Batch,
    prepared: Option<Prepared>,
    decided: bool,
    given_up: bool,
    done: bool,
    /// Its removal was begun: its rows are there or not, and in the end they are not.
    removing: bool,
    removed: bool,
}

struct World<'d> {
    destination: &'d dyn Destination,
    random: Random,
    sinks: Vec<Arc<dyn Sink>>,
    generation: u64,
    known: Vec<Known>,
    chaos: Chaos,
}

const OPEN_MAX: usize = 6;

/// Calls in any order, repeated, at once, from two instances, cut off, while requests are lost, late or half done: at
/// the end each decided batch is visible, whole and once, and no other; and whoever looked meanwhile never saw a row
/// twice, half a file, or a batch before its decision.
///
/// # Panics
/// If a law is broken, with the seed that shows it.
pub async fn chaos(destination: Arc<dyn Destination>, seed: u64, steps: usize) -> Chaos {
    let over = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn(watch(Arc::clone(&destination), Arc::clone(&over)));
    let mut chaos = sequence(&*destination, seed, steps).await;
    over.store(true, Ordering::Relaxed);
    chaos.looks += watcher.await.expect("nobody ever sees a row twice, or half a file");
    chaos
}

async fn sequence(destination: &dyn Destination, seed: u64, steps: usize) -> Chaos {
    let sinks = vec![destination.open(), destination.open()];
    let (random, chaos) = (Random::new(seed), Chaos::default());
    let mut world = World { destination, random, sinks, generation: 1, known: Vec::new(), chaos };
    destination.storm(true);
    for step in 0..steps {
        world.step().await;
        if step % 8 == 7 {
            world.look().await;
        }
    }
    destination.storm(false);
    world.settle().await;
    world.look().await;
    world.chaos
}

/// Lists and reads everything, again and again.
async fn watch(destination: Arc<dyn Destination>, over: Arc<AtomicBool>) -> usize {
    let mut looks = 0;
    while !over.load(Ordering::Relaxed) {
        no_row_is_there_twice(&destination.visible().await);
        looks += 1;
        tokio::task::yield_now().await;
    }
    looks
}

fn no_row_is_there_twice(visible: &BTreeMap<String, Vec<i64>>) {
    let mut seen = HashSet::new();
    for (name, rows) in visible {
        rows.iter().for_each(|row| assert!(seen.insert(*row), "row {row} is there twice, also in {name}"));
    }
}

impl World<'_> {
    async fn step(&mut self) {
        match self.random.below(13) {
            0..3 => self.prepare().await,
            3..5 => self.decide(),
            5..8 => self.commit().await,
            8..10 => self.commit_at_once().await,
            10 => self.abort().await,
            11 => self.remove().await,
            _ => self.take_over().await,
        }
    }

    fn sink(&mut self) -> Arc<dyn Sink> {
        let index = self.random.below(self.sinks.len());
        Arc::clone(&self.sinks[index])
    }

    fn pick(&mut self, of: impl Fn(&Known) -> bool) -> Option<usize> {
        let some: Vec<usize> = (0..self.known.len()).filter(|index| of(&self.known[*index])).collect();
        if some.is_empty() { None } else { Some(some[self.random.below(some.len())]) }
    }

    async fn prepare(&mut self) {
        let open = |known: &Known| !known.done && !known.given_up;
        if self.known.iter().filter(|known| open(known)).count() >= OPEN_MAX {
            return;
        }
        let size = if self.random.once_in(2) { Size::Small } else { Size::Large };
        let batch = Batch::new(size, self.generation);
        let (sink, awaits) = (self.sink(), self.random.below(20));
        let rows = encoded(&*sink, &batch);
        let call = sink.prepare(batch.id, &rows);
        let outcome = if self.random.once_in(4) { cut_off(call, awaits).await } else { Some(call.await) };
        let prepared = self.answered(outcome);
        let prepared = prepared.map(|outcome| outcome.prepared().expect("no row is refused"));
        self.known.push(Known {
            batch,
            prepared,
            decided: false,
            given_up: false,
            done: false,
            removing: false,
            removed: false,
        });
    }

    fn decide(&mut self) {
        let undecided = self.pick(|known| known.prepared.is_some() && !known.decided && !known.given_up);
        if let Some(index) = undecided {
            self.known[index].decided = true;
            self.chaos.decided += 1;
        }
    }

    async fn commit(&mut self) {
        // Done ones too: the outcome may not have been journaled.
        let Some(index) = self.pick(|known| known.decided) else { return };
        let (sink, awaits) = (self.sink(), self.random.below(20));
        let known = &self.known[index];
        let rows = encoded(&*sink, &known.batch);
        let permit = CommitPermit::mint(known.prepared.clone().expect("decided"));
        let call = sink.commit(&permit, self.random.once_in(2).then_some(&rows));
        let outcome = if self.random.once_in(4) { cut_off(call, awaits).await } else { Some(call.await) };
        let outcome = self.answered(outcome);
        self.learn(index, outcome).await;
    }

    async fn commit_at_once(&mut self) {
        let Some(index) = self.pick(|known| known.decided && !known.done) else { return };
        let [one, other] = [Arc::clone(&self.sinks[0]), Arc::clone(&self.sinks[1])];
        let known = &self.known[index];
        let rows = encoded(&*one, &known.batch);
        let permit = CommitPermit::mint(known.prepared.clone().expect("decided"));
        let with_rows = self.random.once_in(2).then_some(&rows);
        let outcomes = tokio::join!(one.commit(&permit, Some(&rows)), other.commit(&permit, with_rows));
        for outcome in [outcomes.0, outcomes.1] {
            let outcome = self.answered(Some(outcome));
            self.learn(index, outcome).await;
        }
    }

    async fn abort(&mut self) {
        let undecided = self.pick(|known| known.prepared.is_some() && !known.decided && !known.given_up);
        let Some(index) = undecided else { return };
        self.known[index].given_up = true;
        let prepared = self.known[index].prepared.clone().expect("just picked");
        let aborted = self.sink().abort(&prepared).await;
        self.answered(Some(aborted));
    }

    /// Again, too, where it is done: a worker that is gone may have asked for it.
    async fn remove(&mut self) {
        let Some(index) = self.pick(|known| known.done) else { return };
        let (sink, awaits) = (self.sink(), self.random.below(20));
        let known = &mut self.known[index];
        let receipt = sink.receipt(known.prepared.as_ref().expect("decided"));
        if receipt.is_empty() {
            return;
        }
        known.removing = true;
        let old = Delivered { id: known.batch.id, receipt };
        let call = sink.remove(&old);
        let outcome = if self.random.once_in(4) { cut_off(call, awaits).await } else { Some(call.await) };
        if self.answered(outcome).is_some() {
            self.chaos.removed += usize::from(!self.known[index].removed);
            self.known[index].removed = true;
        }
    }

    /// A new owner of the shard: forgets what was not decided, and clears it away.
    async fn take_over(&mut self) {
        self.generation += 1;
        self.known.iter_mut().filter(|known| !known.decided).for_each(|known| known.given_up = true);
        let pending = self.known.iter().filter(|known| known.decided && !known.done);
        let scope = SweepScope {
            incarnation: INCARNATION,
            shard: Shard(3),
            below: Generation(self.generation),
            keep: pending.filter_map(|known| known.prepared.clone()).collect(),
        };
        let swept = self.sink().sweep(&scope).await;
        self.answered(Some(swept));
        self.sinks = vec![self.destination.open(), self.destination.open()];
    }

    /// Only such faults as a network makes: a repetition must be worth it.
    fn answered<T>(&mut self, outcome: Option<Result<T, Fault>>) -> Option<T> {
        match outcome {
            None => self.chaos.cut_off += 1,
            Some(Ok(value)) => return Some(value),
            Some(Err(fault)) => {
                assert!(matches!(fault.verdict, Verdict::Retry { .. }), "a passing fault parks: {fault}");
                self.chaos.faults_seen += 1;
            }
        }
        None
    }

    /// Believed by the engine, so it had better be true.
    async fn learn(&mut self, index: usize, outcome: Option<CommitOutcome>) {
        self.chaos.commits += 1;
        match outcome {
            None | Some(CommitOutcome::NeedsRows) => {}
            Some(CommitOutcome::Committed | CommitOutcome::AlreadyCommitted) => {
                let batch = self.known[index].batch.clone();
                let is_there = self.known[index].removing || settled(&self.destination.visible().await, &batch);
                assert!(is_there, "{} is said to be there", batch.id);
                self.known[index].done = true;
            }
            // From now on nothing of it may appear, just as if it had never been decided.
            Some(CommitOutcome::Lost) => {
                self.known[index].decided = false;
                self.known[index].given_up = true;
            }
            Some(CommitOutcome::Rejected { rows }) => panic!("{} rows of a test were rejected", rows.len()),
        }
    }

    async fn settle(&mut self) {
        for index in 0..self.known.len() {
            let known = &self.known[index];
            if known.decided {
                let prepared = known.prepared.clone().expect("decided");
                let batch = known.batch.clone();
                let sink = self.sink();
                commit_until_done(&*sink, &batch, &prepared).await;
                self.known[index].done = true;
            } else {
                self.chaos.undecided += 1;
            }
        }
    }

    /// What somebody sees who lists at any moment.
    async fn look(&mut self) {
        self.chaos.looks += 1;
        let visible = self.destination.visible().await;
        no_row_is_there_twice(&visible);
        for known in &self.known {
            let name = known.batch.id.to_string();
            assert!(known.decided || visible.keys().all(|key| !key.contains(&name)), "{name} was never decided");
            assert!(!known.done || known.removing || settled(&visible, &known.batch), "{name} is gone");
            assert!(!known.removed || is_gone(&visible, &known.batch), "{name} was removed");
        }
    }
}
