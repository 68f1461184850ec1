use crate::meter::{Usage, resident_mb, usage};
use outflow_rig::{Process, http};
use serde_json::Value;
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(300);
const DRAIN_LIMIT: Duration = Duration::from_secs(330);
const LOG_TAIL: usize = 15;

/// One start of the program.
pub struct Worker {
    process: Process,
    port: u16,
}

impl Worker {
    pub fn new(process: Process, port: u16) -> Worker {
        Worker { process, port }
    }

    /// What it has used since its start.
    pub fn usage(&self) -> Usage {
        usage(self.process.pid())
    }

    pub fn resident_mb(&self) -> f64 {
        resident_mb(self.process.pid())
    }

    /// `kill -9`.
    pub fn kill(self) {
        self.process.kill();
    }

    /// SIGTERM: it delivers what it has read, and stops.
    ///
    /// # Panics
    /// If that takes longer than its own limit.
    pub fn drain(self) {
        self.process.signal("TERM");
        let started = Instant::now();
        while self.process.is_alive() {
            assert!(started.elapsed() < DRAIN_LIMIT, "waited {DRAIN_LIMIT:?} for the worker to stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Looks again after `every`: often enough for the figure, seldom enough to leave the machine to the worker.
    ///
    /// # Panics
    /// If the worker dies, with the end of its log, or the time is over.
    pub fn wait(&self, what: &str, every: Duration, limit: Duration, mut done: impl FnMut() -> bool) {
        let started = Instant::now();
        while !done() {
            assert!(self.process.is_alive(), "the worker died; its log ends:\n{}", self.log_end());
            assert!(started.elapsed() < limit, "waited {limit:?} for {what}; the log ends:\n{}", self.log_end());
            std::thread::sleep(every);
        }
    }

    /// Until it owns every shard.
    pub fn wait_ready(&self) {
        self.wait("the worker to own its shards", Duration::from_millis(100), START_LIMIT, || {
            let status = self.get("/v1/status").unwrap_or_default();
            let shards = status["shards"].as_object().cloned().unwrap_or_default();
            !shards.is_empty() && shards.values().all(|shard| shard["owned"] == true)
        });
    }

    /// None while it does not answer.
    pub fn text(&self, path: &str) -> Option<String> {
        http::request(self.port, "GET", path, "").ok()
    }

    /// As above.
    pub fn get(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&self.text(path)?).ok()
    }

    /// # Panics
    /// If it refuses.
    pub fn post(&self, path: &str) {
        http::request(self.port, "POST", path, "{}").expect("the worker takes the order");
    }

    /// How the merchant's one delivery stands, as the worker says.
    pub fn state_of(&self, merchant: u32) -> String {
        let answer = self.get(&format!("/v1/merchants/{merchant}")).unwrap_or_default();
        answer["deliveries"][0]["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Records between each partition's floor and position, as the worker says: a restart reads them again.
    pub fn records_above_floors(&self) -> i64 {
        let status = self.get("/v1/status").unwrap_or_default();
        let shards = status["shards"].as_object().cloned().unwrap_or_default();
        let partitions = shards.values().filter_map(|shard| shard["partitions"].as_array()).flatten();
        let above = |partition: &Value| Some(partition["position"].as_i64()? - partition["floor"].as_i64()?);
        partitions.filter_map(above).sum()
    }

    fn log_end(&self) -> String {
        let log = self.process.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }
}
