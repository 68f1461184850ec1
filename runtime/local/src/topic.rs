use crate::{
    RecordToWrite,
    cluster::Shared,
    disk::{create_folder, failed, random, replace},
    partition::PartitionLog,
};
use outflow_api::{Blame, Fault, Offset, OffsetRange, TopicId, TopicInfo, TopicPartition, Verdict};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) const PARTITIONS_MAX: u32 = 10_000;
const NAME_BYTES_MAX: usize = 249;

/// A name is a folder's name too, so it is checked before it is joined to a path.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Fault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('.') && name.bytes().all(allowed) {
        return Ok(());
    }
    let hint = format!(
        "{what} {name:?}: allowed are 1 to {NAME_BYTES_MAX} letters, digits, dots, underscores and hyphens, \
         not a dot in front"
    );
    Err(Fault::new(Verdict::Park, Blame::Us, "wrong-name", hint))
}

pub(crate) fn topic_folder(root: &Path, name: &str) -> PathBuf {
    root.join("topics").join(name)
}

/// `None`: there is no such topic.
pub(crate) fn read_info(root: &Path, name: &str) -> Result<Option<TopicInfo>, Fault> {
    check_name("topic", name)?;
    let path = topic_folder(root, name).join("topic");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path)(error)),
    };
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let id = field("id=").and_then(|id| u128::from_str_radix(id, 16).ok());
    let partitions = field("partitions=").and_then(|count| count.parse().ok());
    let (Some(id), Some(partitions)) = (id, partitions) else {
        let hint = format!("{} should have the lines id=<hex> and partitions=<number>", path.display());
        return Err(Fault::halt("topic-damaged", hint));
    };
    Ok(Some(TopicInfo { name: name.to_owned(), id: TopicId(id), partitions }))
}

pub(crate) fn names(root: &Path) -> Result<Vec<String>, Fault> {
    let folder = root.join("topics");
    let entries = fs::read_dir(&folder).map_err(failed("list", &folder))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| !name.starts_with('.')).collect())
}

/// The file that names the topic is written last: without it there is no topic.
pub(crate) fn create(root: &Path, name: &str, partitions: u32) -> Result<TopicInfo, Fault> {
    if read_info(root, name)?.is_some() {
        let hint = format!("topic {name} is there already; delete it first, or take another name");
        return Err(Fault::new(Verdict::Park, Blame::Us, "topic-exists", hint));
    }
    if partitions == 0 || partitions > PARTITIONS_MAX {
        let hint = format!("topic {name} with {partitions} partitions; allowed are 1 to {PARTITIONS_MAX}");
        return Err(Fault::new(Verdict::Park, Blame::Us, "wrong-partitions", hint));
    }
    let folder = topic_folder(root, name);
    for partition in 0..partitions {
        create_folder(&folder.join(partition.to_string()))?;
    }
    let id = TopicId(u128::from_be_bytes(random()?));
    replace(&folder.join("topic"), format!("id={:032x}\npartitions={partitions}\n", id.0).as_bytes())?;
    Ok(TopicInfo { name: name.to_owned(), id, partitions })
}

/// Renamed first, so that a crash leaves a topic or none, never one without its records.
pub(crate) fn delete(root: &Path, name: &str) -> Result<(), Fault> {
    let Some(info) = read_info(root, name)? else { return Err(missing(name)) };
    let folder = topic_folder(root, name);
    let gone = root.join("topics").join(format!(".deleted-{:032x}", info.id.0));
    fs::rename(&folder, &gone).map_err(failed("rename", &folder))?;
    crate::disk::sync_folder(&root.join("topics"))?;
    fs::remove_dir_all(&gone).map_err(failed("remove", &gone))
}

pub(crate) fn missing(name: &str) -> Fault {
    let hint = format!("there is no topic {name}; create it, or correct its name in the connector");
    Fault::new(Verdict::Park, Blame::Us, "topic-missing", hint)
}

/// A topic's producer side. Safe to use from many threads, and from many processes at once.
pub struct LocalTopic {
    info: TopicInfo,
    partitions: Vec<Arc<PartitionLog>>,
}

impl LocalTopic {
    pub(crate) fn new(shared: &Arc<Shared>, info: TopicInfo) -> LocalTopic {
        let at = |partition| TopicPartition { topic: info.id, partition };
        let partitions = (0..info.partitions).map(|partition| shared.log(&info.name, at(partition))).collect();
        LocalTopic { info, partitions }
    }

    pub fn info(&self) -> &TopicInfo {
        &self.info
    }

    /// Durable when it answers. Each frame of about a mebibyte is there whole or not at all.
    pub fn append(&self, partition: u32, records: &[RecordToWrite<'_>]) -> Result<OffsetRange, Fault> {
        self.partition(partition)?.append(records, None)
    }

    /// Start and end of a partition, now.
    pub fn bounds(&self, partition: u32) -> Result<OffsetRange, Fault> {
        self.partition(partition)?.bounds()
    }

    /// Deletes whole segments that hold nothing at or above `offset`; answers where the log starts now.
    pub fn trim_below(&self, partition: u32, offset: Offset) -> Result<Offset, Fault> {
        self.partition(partition)?.trim_below(offset)
    }

    fn partition(&self, partition: u32) -> Result<&PartitionLog, Fault> {
        self.partitions.get(partition as usize).map(Arc::as_ref).ok_or_else(|| {
            let TopicInfo { name, partitions, .. } = &self.info;
            let hint = format!("topic {name} has partitions 0 to {}, not {partition}", partitions - 1);
            Fault::new(Verdict::Park, Blame::Us, "wrong-partition", hint)
        })
    }
}
