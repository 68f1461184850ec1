use outflow_demo::Events;
use outflow_rig::Kafka;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub const EVENTS: u64 = 5_000_000;
pub const EVENTS_QUICK: u64 = 1_000_000;
pub const TOPIC: &str = "bench.events";
pub const PARTITIONS: i32 = 8;
pub const MERCHANTS: u32 = 10_000;
/// As the generator of events numbers them.
pub const FIRST_MERCHANT: u32 = outflow_demo::FIRST_MERCHANT;
const SEED: u64 = 20_261_127;
/// 2026-11-27, a Black Friday, at 18,500 events a second.
const START_MS: i64 = 1_795_766_400_000;
const EVENTS_PER_MS: f64 = 18.5;

/// The same events as a topic and as a file, and room for what is made of them. Gone when dropped.
pub struct Workload {
    pub kafka: Kafka,
    /// For those who read a file; empty if nobody does.
    pub file: PathBuf,
    pub events: u64,
    /// Of all events' JSON.
    pub bytes: u64,
    pub folder: TempDir,
}

/// The generator of the events of so many merchants.
pub fn events(merchants: u32) -> Events {
    Events::new(SEED, merchants)
}

pub fn happened_at(number: u64) -> i64 {
    START_MS + (number as f64 / EVENTS_PER_MS) as i64
}

impl Workload {
    /// On the disk that builds use: temporary folders are often small, or memory.
    pub fn folder() -> TempDir {
        let own = std::env::current_exe().expect("a process knows its program");
        let beside = own.parent().expect("a program is in a folder");
        tempfile::tempdir_in(beside).expect("the build folder can be written")
    }

    pub fn subfolder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("our own folder can be written");
        folder
    }
}

/// Number and bytes of the Parquet files below a folder.
pub fn parquet_files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with(['.', '_']);
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() && !hidden => folders.push(path),
                Ok(metadata) if path.extension().is_some_and(|extension| extension == "parquet") => {
                    files.push((path, metadata.len()));
                }
                _ => {}
            }
        }
    }
    files
}
