use outflow_e2e::{Connector, Daemon, Lake, Site};
use outflow_rig::{Kafka, wait_until};
use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Workers of one installation, killed and started again.
pub struct Fleet {
    pub site: Site,
    pub lake: Lake,
    workers: Vec<Option<Daemon>>,
    /// Ended by themselves, and were started again.
    pub revived: u32,
}

const FLOW_LIMIT: Duration = Duration::from_secs(120);
const COUNT_EVERY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(180);

impl Fleet {
    /// Reads one topic into a folder.
    pub fn new(group: &str, kafka: &Kafka, topic: &str, workers: usize) -> Fleet {
        let site = Site::new(group, kafka);
        let lake = Lake::Folder(site.folder().join("lake"));
        site.configure(&Connector::new("events", topic, &lake));
        let mut fleet = Fleet { site, lake, workers: Vec::new(), revived: 0 };
        for slot in 0..workers {
            fleet.workers.push(None);
            fleet.start(slot);
        }
        fleet
    }

    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// The first worker keeps its name in the group over a restart, the others are new members each time.
    pub fn start(&mut self, slot: usize) {
        let lines: &[&str] = if slot == 0 { &["instance_id: first"] } else { &[] };
        self.workers[slot] = Some(self.site.start(&format!("worker{slot}"), lines));
    }

    pub fn kill(&mut self, slot: usize) {
        if let Some(worker) = self.workers[slot].take() {
            worker.kill();
        }
    }

    pub fn drain(&mut self, slot: usize) {
        if let Some(worker) = self.workers[slot].take() {
            worker.drain();
        }
    }

    pub fn signal(&self, slot: usize, signal: &str) {
        if let Some(worker) = &self.workers[slot] {
            worker.signal(signal);
        }
    }

    pub fn add(&mut self) -> usize {
        self.workers.push(None);
        self.start(self.workers.len() - 1);
        self.workers.len() - 1
    }

    pub fn remove(&mut self, slot: usize) {
        self.workers.remove(slot).into_iter().for_each(|worker| drop(worker.drain()));
    }

    /// What is staged and not revealed yet.
    pub fn staged(&self) -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(self.site.folder().join("lake/.outflow-staging"));
        entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    /// Starts again what ended by itself, as an orchestrator does.
    pub fn revive(&mut self) {
        for slot in 0..self.workers.len() {
            if self.workers[slot].as_ref().is_some_and(|worker| !worker.is_alive()) {
                let worker = self.workers[slot].take().expect("just seen");
                let log = worker.log();
                println!("{} ended by itself: {}", worker.name, log.lines().last().unwrap_or_default());
                self.start(slot);
                self.revived += 1;
            }
        }
    }

    /// Until a lister sees a new file; answers how long that took.
    pub fn wait_flowing(&mut self, meanwhile: impl FnMut()) -> Duration {
        let mut meanwhile = meanwhile;
        let (before, started) = (self.lake.files(), Instant::now());
        wait_until("a new file at the destination", FLOW_LIMIT, || {
            self.revive();
            meanwhile();
            self.lake.files() > before
        });
        started.elapsed()
    }

    /// Until every event is there, then once more for what is there too much.
    pub fn wait_delivered(&mut self, expected: u64) {
        let started = Instant::now();
        loop {
            self.revive();
            let count = self.lake.count(expected);
            if count.numbers >= expected || started.elapsed() > PATIENCE {
                break count.assert_exactly_once(expected);
            }
            std::thread::sleep(COUNT_EVERY);
        }
    }

    pub fn drain_all(&mut self) {
        self.workers.iter().flatten().for_each(|worker| worker.signal("TERM"));
        self.workers.drain(..).flatten().for_each(|worker| drop(worker.drain()));
    }
}
