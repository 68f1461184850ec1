use crate::{
    CHILD, FOLDER, MANNER,
    fussy::Manner,
    worker::{LETTERS, SHARDS, TOPIC},
};
use outflow_api::{Cluster, OffsetRange, SourceEvent, TopicPartition};
use outflow_local::{LocalCluster, LocalTopic, RecordToWrite};
use outflow_rig::Process;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// A cluster in a folder, and the lake beside it.
pub struct Site {
    folder: TempDir,
    cluster: LocalCluster,
    topic: LocalTopic,
    manner: Manner,
    starts: usize,
}

/// What a dead letter says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Letter {
    pub number: u64,
    pub code: String,
    pub message: String,
}

impl Site {
    pub fn new(manner: Manner) -> Site {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let cluster = LocalCluster::open(folder.path().join("cluster"), SHARDS).expect("an empty folder");
        let topic = cluster.create_topic(TOPIC, SHARDS).expect("a new topic");
        Site { folder, cluster, topic, manner, starts: 0 }
    }

    /// The test's own program, as a worker.
    pub fn start(&mut self) -> Process {
        self.starts += 1;
        let program = std::env::current_exe().expect("it runs");
        let args = [CHILD, "--exact", "--nocapture"].map(str::to_owned);
        let folder = self.folder.path().display().to_string();
        let env = [(FOLDER, folder), (MANNER, format!("{:?}", self.manner))];
        let name = format!("worker-{}", self.starts);
        Process::start(&name, self.folder.path(), &program.display().to_string(), &args, &env)
    }

    /// Alternately into both partitions.
    pub fn produce(&self, numbers: Range<u64>) {
        for partition in 0..SHARDS {
            let own = numbers.clone().filter(|number| number % u64::from(SHARDS) == u64::from(partition));
            let values: Vec<Vec<u8>> = own.map(|number| format!("{{\"number\":{number}}}").into_bytes()).collect();
            let records: Vec<RecordToWrite<'_>> = values
                .iter()
                .map(|value| RecordToWrite { timestamp_ms: 1, key: None, value: Some(value), headers: &[] })
                .collect();
            self.topic.append(partition, &records).expect("our own topic");
        }
    }

    /// Number → how often it is in the lake.
    pub fn delivered(&self) -> BTreeMap<u64, u64> {
        let mut numbers = BTreeMap::new();
        for line in texts(&self.folder.path().join("lake")).iter().flat_map(|text| text.lines()) {
            let row: Value = serde_json::from_str(line).expect("a whole line of JSON");
            *numbers.entry(row["number"].as_u64().expect("a number")).or_default() += 1;
        }
        numbers
    }

    /// All of them, in order of their numbers.
    pub fn letters(&self) -> Vec<Letter> {
        let Ok(topic) = self.cluster.topic(LETTERS) else { return Vec::new() };
        let mut source = self.cluster.source().expect("a folder of the test");
        let at = |partition| TopicPartition { topic: topic.info().id, partition };
        let logs: BTreeMap<TopicPartition, OffsetRange> =
            (0..SHARDS).map(|partition| (at(partition), topic.bounds(partition).expect("it is there"))).collect();
        let starts: Vec<_> = logs.iter().map(|(partition, log)| (*partition, log.start)).collect();
        source.assign(&starts).expect("it is there");
        let (mut letters, mut events, mut left) = (Vec::new(), Vec::new(), logs.clone());
        left.retain(|_, log| !log.is_empty());
        while !left.is_empty() {
            source.poll(Duration::from_millis(20), &mut events).expect("it is there");
            for event in events.drain(..) {
                let SourceEvent::Fetched { range, block } = event else { continue };
                let own = |header: &str, record: &outflow_api::RecordView<'_>| {
                    let name = format!("__connect.errors.{header}");
                    let found = record.headers.iter().find(|(known, _)| *known == name);
                    String::from_utf8_lossy(found.and_then(|(_, value)| value).unwrap_or_default()).into_owned()
                };
                for record in (0..block.len()).map(|row| block.get(row)) {
                    let value: Value = serde_json::from_slice(record.value.expect("its record's")).expect("JSON");
                    let number = value["number"].as_u64().expect("a number");
                    let (code, message) = (own("exception.class.name", &record), own("exception.message", &record));
                    letters.push(Letter { number, code, message });
                }
                left.retain(|partition, log| *partition != block.partition() || range.next < log.next);
            }
        }
        letters.sort();
        letters
    }
}

fn texts(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let text = |path: PathBuf| match path.is_dir() {
        true => texts(&path),
        false if path.extension().is_some_and(|name| name == "ndjson") => {
            vec![fs::read_to_string(path).expect("what is listed can be read")]
        }
        false => Vec::new(),
    };
    paths.into_iter().flat_map(text).collect()
}
