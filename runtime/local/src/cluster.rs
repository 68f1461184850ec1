use crate::{
    LocalJournal, LocalSource, LocalTopic,
    config_log::LocalConfigLog,
    disk::{create_folder, lock, open, replace},
    ledger::LedgerReader,
    membership::{LocalMembership, holder, in_use},
    partition::PartitionLog,
    pulse::Pulse,
    topic::{self, check_name, topic_folder},
};
use outflow_api::{
    Blame, Cluster, ConfigLog, Fault, Finding, Journal, Ledger, Membership, Offset, Recovered, Shard, Source, TopicId,
    TopicInfo, TopicPartition, Verdict,
};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

const SHARDS_MAX: u32 = 1_000;
const SEGMENT_BYTES: u64 = 64 << 20;
const FORMAT: &str = "outflow-local 1";

/// A folder that stands in for Kafka. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct LocalCluster {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub root: PathBuf,
    pub shards: u32,
    pub pulse: Arc<Pulse>,
    segment_bytes: u64,
    logs: Mutex<HashMap<TopicPartition, Arc<PartitionLog>>>,
}

impl LocalCluster {
    /// Makes the folder if it is missing. The number of shards is fixed when it is made: it says which decisions are
    /// where.
    pub fn open(folder: impl AsRef<Path>, shards: u32) -> Result<LocalCluster, Fault> {
        LocalCluster::with_segment_bytes(folder, shards, SEGMENT_BYTES)
    }

    /// For tests, and for topics whose old records should be deletable in smaller pieces.
    pub fn with_segment_bytes(folder: impl AsRef<Path>, shards: u32, bytes: u64) -> Result<LocalCluster, Fault> {
        if shards == 0 || shards > SHARDS_MAX {
            let hint = format!("{shards} shards; allowed are 1 to {SHARDS_MAX}");
            return Err(Fault::new(Verdict::Park, Blame::Us, "wrong-shards", hint));
        }
        let root = folder.as_ref().to_owned();
        for part in ["topics", "journal", "config", "positions"] {
            create_folder(&root.join(part))?;
        }
        let (pulse, logs) = (Arc::default(), Mutex::default());
        let shared = Arc::new(Shared { root, shards, pulse, segment_bytes: bytes, logs });
        shared.in_setup(|| shared.check_format())?;
        for shard in 0..shards {
            create_folder(&shared.journal_folder(Shard(shard)))?;
        }
        Ok(LocalCluster { shared })
    }

    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<LocalTopic, Fault> {
        let info = self.shared.in_setup(|| topic::create(&self.shared.root, name, partitions))?;
        Ok(LocalTopic::new(&self.shared, info))
    }

    /// With all its records. A topic that is created under its name later is another one.
    pub fn delete_topic(&self, name: &str) -> Result<(), Fault> {
        self.shared.in_setup(|| topic::delete(&self.shared.root, name))
    }

    pub fn topic(&self, name: &str) -> Result<LocalTopic, Fault> {
        let info = topic::read_info(&self.shared.root, name)?.ok_or_else(|| topic::missing(name))?;
        Ok(LocalTopic::new(&self.shared, info))
    }
}

impl Shared {
    pub fn journal_folder(&self, shard: Shard) -> PathBuf {
        self.root.join("journal").join(shard.0.to_string())
    }

    pub fn log(&self, topic: &str, partition: TopicPartition) -> Arc<PartitionLog> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let folder = topic_folder(&self.root, topic).join(partition.partition.to_string());
            Arc::new(PartitionLog::new(&self.root, folder, topic, partition, self.segment_bytes, &self.pulse))
        };
        Arc::clone(logs.entry(partition).or_insert_with(new))
    }

    pub fn topic_of(&self, id: TopicId) -> Result<Option<TopicInfo>, Fault> {
        for name in topic::names(&self.root)? {
            let info = topic::read_info(&self.root, &name)?;
            if info.as_ref().is_some_and(|info| info.id == id) {
                return Ok(info);
            }
        }
        Ok(None)
    }

    pub fn topic_or_new(&self, name: &str, partitions: u32) -> Result<TopicInfo, Fault> {
        if let Some(info) = topic::read_info(&self.root, name)? {
            return Ok(info);
        }
        // Another thread may have made it while we waited.
        self.in_setup(|| match topic::read_info(&self.root, name)? {
            Some(info) => Ok(info),
            None => topic::create(&self.root, name, partitions),
        })
    }

    /// One at a time over all processes: what makes or removes topics.
    fn in_setup<T>(&self, act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let path = self.root.join("setup");
        let file = open(&path)?;
        let _locked = lock(&file, &path)?;
        act()
    }

    fn check_format(&self) -> Result<(), Fault> {
        let path = self.root.join("cluster");
        let ours = format!("{FORMAT}\nshards={}\n", self.shards);
        match fs::read_to_string(&path) {
            Ok(found) if found == ours => Ok(()),
            Ok(found) => {
                let hint = format!(
                    "{} says {:?}, expected {:?}; the number of shards of a folder can't change, and a newer format \
                     needs a newer build",
                    path.display(),
                    found.trim(),
                    ours.trim()
                );
                Err(Fault::halt("folder-differs", hint))
            }
            Err(_) => replace(&path, ours.as_bytes()),
        }
    }

    fn check_shard(&self, shard: Shard) -> Result<(), Fault> {
        if shard.0 < self.shards {
            return Ok(());
        }
        let hint = format!("shard {}; this folder has shards 0 to {}", shard.0, self.shards - 1);
        Err(Fault::new(Verdict::Park, Blame::Us, "wrong-shard", hint))
    }
}

impl Cluster for LocalCluster {
    fn topic_names(&self) -> Result<Vec<String>, Fault> {
        topic::names(&self.shared.root)
    }

    fn topics(&self, names: &[String]) -> Result<Vec<TopicInfo>, Fault> {
        let info = |name: &String| topic::read_info(&self.shared.root, name)?.ok_or_else(|| topic::missing(name));
        names.iter().map(info).collect()
    }

    fn prepare(&self) -> Result<(), Fault> {
        self.shared.in_setup(|| self.shared.check_format())
    }

    fn provide(&self, dead_letters: &[(String, Option<u32>)]) -> Result<(), Fault> {
        for (name, partitions) in dead_letters {
            self.shared.topic_or_new(name, partitions.unwrap_or(self.shared.shards))?;
        }
        Ok(())
    }

    /// A folder has none of its own.
    fn name(&self) -> Result<String, Fault> {
        Ok("local".to_owned())
    }

    fn source(&self) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(LocalSource::new(Arc::clone(&self.shared))))
    }

    fn journal(&self, shard: Shard) -> Result<Box<dyn Journal>, Fault> {
        self.shared.check_shard(shard)?;
        Ok(Box::new(LocalJournal::new(Arc::clone(&self.shared), shard)))
    }

    fn peek(&self, shard: Shard) -> Result<Option<Recovered>, Fault> {
        self.shared.check_shard(shard)?;
        LocalJournal::new(Arc::clone(&self.shared), shard).peek()
    }

    fn ledger(&self, shard: Shard) -> Result<Box<dyn Ledger>, Fault> {
        self.shared.check_shard(shard)?;
        Ok(Box::new(LedgerReader(self.shared.journal_folder(shard).join("ledger.log"))))
    }

    fn membership(&self) -> Result<Box<dyn Membership>, Fault> {
        Ok(Box::new(LocalMembership::join(&self.shared.root, self.shared.shards)?))
    }

    fn config_log(&self) -> Result<Box<dyn ConfigLog>, Fault> {
        Ok(Box::new(LocalConfigLog::open(Arc::clone(&self.shared))?))
    }

    fn report(&self, connector: &str, floors: &[(TopicPartition, Offset)]) -> Result<(), Fault> {
        check_name("connector", connector)?;
        let mut names: HashMap<TopicId, String> = HashMap::new();
        for name in topic::names(&self.shared.root)? {
            names.extend(topic::read_info(&self.shared.root, &name)?.map(|info| (info.id, info.name)));
        }
        let line = |(at, floor): &(TopicPartition, Offset)| {
            let topic = names.get(&at.topic).cloned().unwrap_or_else(|| format!("{:?}", at.topic));
            format!("  {{ \"topic\": \"{topic}\", \"partition\": {}, \"offset\": {} }}", at.partition, floor.0)
        };
        let lines: Vec<String> = floors.iter().map(line).collect();
        let path = self.shared.root.join("positions").join(format!("{connector}.json"));
        replace(&path, format!("[\n{}\n]\n", lines.join(",\n")).as_bytes())
    }

    fn examine(&self, topics: &[String], dead_letters: &[String]) -> Vec<Finding> {
        let root = &self.shared.root;
        let running = || match holder(root) {
            Some(_) => Err(in_use(root)),
            None => Ok(format!("{} shards, free to run", self.shared.shards)),
        };
        let partitions = |info: TopicInfo| format!("{} partitions", info.partitions);
        let source = |name: &String| {
            let info = topic::read_info(root, name).and_then(|info| info.ok_or_else(|| topic::missing(name)));
            Finding { subject: format!("topic {name}"), result: info.map(partitions) }
        };
        let dead = |name: &String| {
            let info = topic::read_info(root, name);
            let found = info.map(|info| info.map_or_else(|| "will be made when it is needed".to_owned(), partitions));
            Finding { subject: format!("dead letter topic {name}"), result: found }
        };
        let folder = Finding { subject: format!("folder {}", root.display()), result: running() };
        [folder].into_iter().chain(topics.iter().map(source)).chain(dead_letters.iter().map(dead)).collect()
    }
}
