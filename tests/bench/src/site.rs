use crate::{columns, merchants::Merchants, worker::Worker};
use outflow_rig::{Kafka, Process, free_port};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub const MEMORY_MIB: u32 = 512;
/// What a connector says whose records are merchants'.
pub const BY_KEY: &str = "merchant: { key: true }\n";

/// An installation with one connector: its files, its destination, and its worker's starts.
pub struct Site {
    folder: PathBuf,
    /// Of the workers; the connector has the same name.
    group: String,
    port: u16,
}

impl Site {
    /// `lines` are further ones of the worker's file.
    pub fn new(kafka: &Kafka, folder: PathBuf, group: &str, lines: &[&str]) -> Site {
        let port = free_port();
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let worker = format!(
            "kafka: {{ bootstrap: \"{}\" }}\ngroup: {group}\nmemory: {MEMORY_MIB}MiB\n\
             rest: {{ listen: \"127.0.0.1:{port}\" }}\nconfig: [ connectors/*.yaml, merchants/*.yaml ]\n{lines}",
            kafka.bootstrap(),
        );
        let site = Site { folder, group: group.to_owned(), port };
        ["connectors", "merchants", "lake"].iter().for_each(|name| {
            fs::create_dir_all(site.folder.join(name)).expect("our own folder can be written");
        });
        site.write("outflow.yaml", &worker);
        site
    }

    /// Every field of the events, by these flush limits; `goes` says where to.
    pub fn connector(&self, topic: &str, flush: &str, goes: &str) {
        let connector = format!(
            "connector: {}\ntopics: [ {topic} ]\nformat: json\nmodel:\n  columns:\n{}  unknown: ignore\n\
             flush: {flush}\n{goes}",
            self.group,
            columns::yaml(),
        );
        self.write("connectors/events.yaml", &connector);
    }

    pub fn merchants(&self, merchants: &Merchants) {
        merchants.write(&self.folder.join("merchants"), &self.group);
    }

    /// Where the rows go.
    pub fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    /// Pattern of the files in it.
    pub fn files(&self) -> String {
        format!("{}/**/*.parquet", self.lake().display())
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The binary as a user runs it.
    pub fn start(&self) -> Worker {
        let config = self.folder.join("outflow.yaml").display().to_string();
        let args = ["run", "--config", &config].map(str::to_owned);
        let process = Process::start("outflow", &self.folder, &binary().display().to_string(), &args, &[]);
        Worker::new(process, self.port)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).expect("our own folder can be written");
    }
}

/// Built beside us.
fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a process knows its program");
    let binary = own.with_file_name("outflow");
    assert!(binary.exists(), "{} is missing: cargo build --release -p outflow-daemon", binary.display());
    binary
}
