use crate::fleet::Fleet;
use fastrand::Rng;
use outflow_e2e::{Producer, Watcher, alone, ends};
use outflow_rig::Kafka;
use std::{
    env, thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const TOPIC: &str = "commerce.events";
const PARTITIONS: i32 = 8;
const PER_SECOND: u64 = 1_500;

fn broker(folder: &tempfile::TempDir) -> Kafka {
    let kafka = Kafka::start(folder.path());
    kafka.create_topic(TOPIC, PARTITIONS, &[]);
    kafka
}

fn broker_folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("there is a temporary folder")
}

/// What the topic itself holds: else a lost event of the producer would look like one of ours.
fn assert_produced(kafka: &Kafka, produced: u64) {
    let held: i64 = ends(kafka, TOPIC).iter().sum();
    assert_eq!(u64::try_from(held).expect("a count"), produced, "the topic does not hold what was produced");
}

#[test]
fn five_kills_of_the_only_worker_lose_and_double_nothing() {
    let _turn = alone();
    let folder = broker_folder();
    let kafka = broker(&folder);
    let mut fleet = Fleet::new("five", &kafka, TOPIC, 1);
    let mut watcher = Watcher::start(&fleet.lake);
    let producer = Producer::start(&kafka, TOPIC, PER_SECOND);
    let mut flowing = vec![fleet.wait_flowing(|| watcher.check())];
    for _ in 0..5 {
        fleet.kill(0);
        fleet.start(0);
        flowing.push(fleet.wait_flowing(|| watcher.check()));
    }
    let produced = producer.stop();
    assert_produced(&kafka, produced);
    fleet.wait_delivered(produced);
    fleet.drain_all();
    fleet.lake.count(produced).assert_exactly_once(produced);
    println!("{produced} events, 5 kills; the watcher: {:?}; flowing again after {flowing:?}", watcher.finish());
}

#[derive(Clone, Copy, Debug)]
enum Kill {
    /// As soon as a lister sees a new file: between a reveal and the journal's word of it.
    AfterReveal,
    /// As soon as something is staged: before, within or right after its decision.
    Staged,
    Whenever,
    AllWorkers,
    /// Right behind what a worker was told is durable.
    Broker,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// Beyond the session's time-out, then it goes on.
    Zombie,
    Drain,
    /// A third worker comes, and goes again.
    Guest,
    /// The broker answers nobody for a while.
    SilentBroker,
}

const KILLS: [Kill; 5] = [Kill::AfterReveal, Kill::Staged, Kill::Whenever, Kill::AllWorkers, Kill::Broker];
const TROUBLES: [Trouble; 4] = [Trouble::Zombie, Trouble::Drain, Trouble::Guest, Trouble::SilentBroker];
/// Longer than a session of 6 s.
const STOPPED: Duration = Duration::from_secs(9);
const SILENT: Duration = Duration::from_secs(3);
const AIM_LIMIT: Duration = Duration::from_secs(20);

struct Chaos<'a> {
    kafka: &'a Kafka,
    fleet: Fleet,
    random: Rng,
}

impl Chaos<'_> {
    /// Waits for the moment, at most so long: then any moment is as good.
    fn aim(&self, mut moment: impl FnMut() -> bool) {
        let started = Instant::now();
        while !moment() && started.elapsed() < AIM_LIMIT {
            thread::yield_now();
        }
    }

    fn pause(&mut self, ms_max: u64) {
        thread::sleep(Duration::from_millis(self.random.u64(0..=ms_max)));
    }

    fn kill(&mut self, kill: Kill) {
        let slot = self.random.usize(0..self.fleet.len());
        match kill {
            Kill::AfterReveal | Kill::Broker => {
                let before = self.fleet.lake.files();
                self.aim(|| self.fleet.lake.files() > before);
            }
            Kill::Staged => {
                let before = self.fleet.staged();
                self.aim(|| self.fleet.staged().difference(&before).next().is_some());
                self.pause(20);
            }
            Kill::Whenever | Kill::AllWorkers => self.pause(1_000),
        }
        match kill {
            Kill::Broker => {
                self.kafka.kill();
                self.pause(2_000);
                self.kafka.restart();
            }
            Kill::AllWorkers => {
                (0..self.fleet.len()).for_each(|slot| self.fleet.kill(slot));
                (0..self.fleet.len()).for_each(|slot| self.fleet.start(slot));
            }
            Kill::AfterReveal | Kill::Staged | Kill::Whenever => {
                self.fleet.kill(slot);
                self.fleet.start(slot);
            }
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        let slot = self.random.usize(0..self.fleet.len());
        match trouble {
            Trouble::Zombie => {
                self.fleet.signal(slot, "STOP");
                thread::sleep(STOPPED);
                self.fleet.signal(slot, "CONT");
            }
            Trouble::Drain => {
                self.fleet.drain(slot);
                self.fleet.start(slot);
            }
            Trouble::Guest => {
                let guest = self.fleet.add();
                self.fleet.wait_flowing(|| ());
                self.pause(3_000);
                self.fleet.remove(guest);
            }
            Trouble::SilentBroker => {
                self.kafka.pause();
                thread::sleep(SILENT);
                self.kafka.resume();
            }
        }
    }
}

fn number_of(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn shuffled<T: Copy>(random: &mut Rng, all: &[T]) -> Vec<T> {
    let mut all = all.to_vec();
    random.shuffle(&mut all);
    all
}

/// A seed decides what happens in which order; the machine decides the rest.
#[test]
fn kills_zombies_rebalances_and_dead_brokers_lose_and_double_nothing() {
    let _turn = alone();
    let kills = number_of("OUTFLOW_KILLS", 10);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = number_of("OUTFLOW_SEED", now);
    println!("OUTFLOW_SEED={seed} OUTFLOW_KILLS={kills}");
    let folder = broker_folder();
    let kafka = broker(&folder);
    let fleet = Fleet::new("chaos", &kafka, TOPIC, 2);
    let mut chaos = Chaos { kafka: &kafka, fleet, random: Rng::with_seed(seed) };
    let mut watcher = Watcher::start(&chaos.fleet.lake);
    let producer = Producer::start(&kafka, TOPIC, PER_SECOND);
    chaos.fleet.wait_flowing(|| watcher.check());
    let (mut ahead, mut troubles, mut flowing) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..kills {
        if ahead.is_empty() {
            (ahead, troubles) = (shuffled(&mut chaos.random, &KILLS), shuffled(&mut chaos.random, &TROUBLES));
        }
        let (kill, started) = (ahead.pop().expect("just filled"), Instant::now());
        chaos.kill(kill);
        // Now and then the next one comes while this one is still being recovered from.
        if chaos.random.u32(0..4) > 0 {
            let took = chaos.fleet.wait_flowing(|| watcher.check());
            println!("kill {number} {kill:?}: {:?}, flowing {took:?} later", started.elapsed() - took);
            flowing.push(took);
        }
        if let Some(trouble) = troubles.pop() {
            let started = Instant::now();
            chaos.trouble(trouble);
            println!("{trouble:?}: {:?}, {} events so far", started.elapsed(), producer.sent());
            watcher.check();
        }
    }
    let produced = producer.stop();
    assert_produced(&kafka, produced);
    chaos.fleet.wait_delivered(produced);
    chaos.fleet.drain_all();
    chaos.fleet.lake.count(produced).assert_exactly_once(produced);
    flowing.sort();
    println!(
        "{produced} events, {kills} kills, {} ended by themselves; the watcher: {:?}; \
         flowing again after {:?} (median), {:?} (worst)",
        chaos.fleet.revived,
        watcher.finish(),
        flowing.get(flowing.len() / 2),
        flowing.last()
    );
}
