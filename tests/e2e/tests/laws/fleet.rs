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
        Fleet::of(site, lake, workers)
    }

    /// Of a site that is configured.
    pub fn of(site: Site, lake: Lake, workers: usize) -> Fleet {
        let mut fleet = Fleet { site, lake, workers: Vec::new(), revived: 0 };
        for slot in 0..workers {
            fleet.workers.push(None);
            fleet.start(slot);
        }
        fleet
    }

    /// All together: the shards that they own, and how many records of a connector are not delivered yet.
    pub fn lag(&self, connector: &str) -> (usize, u64) {
        let statuses: Vec<_> = self.workers.iter().flatten().filter_map(Daemon::status).collect();
        let shards = statuses.iter().filter_map(|status| Some(status["shards"].as_object()?.len())).sum();
        let lag = |status: &serde_json::Value| status["connectors"][connector]["lag_records"].as_u64();
        (shards, statuses.iter().map(|status| lag(status).unwrap_or(u64::MAX / 16)).sum())
    }

    /// Rows that the workers of now have revealed.
    pub fn visible(&self, connector: &str) -> u64 {
        let statuses = self.workers.iter().flatten().filter_map(Daemon::status);
        statuses.filter_map(|status| status["connectors"][connector]["rows_visible"].as_u64()).sum()
    }

    pub fn logs(&self) -> Vec<String> {
        self.workers.iter().flatten().map(Daemon::log).collect()
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
        // A second signal would end a drain at once.
        self.workers.iter().flatten().for_each(|worker| worker.signal("TERM"));
        for worker in self.workers.drain(..).flatten() {
            wait_until(&format!("{} to drain", worker.name), FLOW_LIMIT, || !worker.is_alive());
        }
    }
}
