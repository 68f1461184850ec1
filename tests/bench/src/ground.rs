use crate::{
    site::Site,
    workload::{PARTITIONS, Workload},
};
use outflow_rig::Kafka;
use tempfile::TempDir;

/// A broker, and room for installations. Gone when dropped.
pub struct Ground {
    pub kafka: Kafka,
    folder: TempDir,
}

impl Ground {
    pub fn new() -> Ground {
        let folder = Workload::folder();
        let broker = folder.path().join("kafka");
        std::fs::create_dir_all(&broker).expect("our own folder can be written");
        Ground { kafka: Kafka::start(&broker), folder }
    }

    /// An installation in a folder of its own, and its topic of the same name; `lines` are further ones of the
    /// worker's file.
    pub fn site(&self, name: &str, lines: &[&str]) -> Site {
        self.kafka.create_topic(&topic_of(name), PARTITIONS, &[]);
        Site::new(&self.kafka, self.folder.path().join(name), name, lines)
    }
}

pub fn topic_of(site: &str) -> String {
    format!("bench.{site}")
}
