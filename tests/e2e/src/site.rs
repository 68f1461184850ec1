use crate::{Connector, Daemon, Merchant};
use outflow_rig::Kafka;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};
use tempfile::TempDir;

/// An installation: its files, and its workers' starts.
pub struct Site {
    folder: Option<TempDir>,
    bootstrap: String,
    pub group: String,
    starts: AtomicU32,
}

/// As short as the configuration allows, so that a dead worker's shards move on soon.
pub const SESSION_TIMEOUT_S: u64 = 6;

impl Site {
    pub fn new(group: &str, kafka: &Kafka) -> Site {
        let folder = tempfile::Builder::new().prefix("outflow-e2e-").tempdir().expect("there is a temporary folder");
        fs::create_dir(folder.path().join("connectors")).expect("our own folder can be written");
        let starts = AtomicU32::new(0);
        Site { folder: Some(folder), bootstrap: kafka.bootstrap(), group: group.to_owned(), starts }
    }

    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("it is taken when the site goes").path()
    }

    pub fn configure(&self, connector: &Connector) {
        self.write(&format!("connectors/{}.yaml", connector.name), &connector.yaml());
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().expect("files have folders")).expect("our own folder can be written");
        fs::write(&path, text).expect("our own folder can be written");
        path
    }

    /// Into the folder of merchants, which every worker that starts from now on watches.
    pub fn merchant(&self, name: &str, merchant: &Merchant) -> PathBuf {
        self.write(&format!("merchants/{name}.yaml"), &merchant.yaml())
    }

    /// Lines of a worker's file that tests add or replace: `instance_id: a`.
    pub fn start(&self, name: &str, lines: &[&str]) -> Daemon {
        self.launch(name, lines, &["run"])
    }

    /// `outflow check --connect`.
    pub fn check(&self) -> Daemon {
        self.launch("check", &[], &["check", "--connect"])
    }

    /// `outflow backup FILE`, say; its log is what it prints.
    pub fn command(&self, command: &[&str]) -> Daemon {
        self.launch(command[0], &[], command)
    }

    fn launch(&self, name: &str, lines: &[&str], command: &[&str]) -> Daemon {
        let config = self.write(&format!("{name}.yaml"), &self.worker(lines)).display().to_string();
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        Daemon::start(&format!("{name}-{start}"), self.folder(), &[command, &["--config", &config]].concat())
    }

    fn worker(&self, lines: &[&str]) -> String {
        let has_merchants = self.folder().join("merchants").is_dir();
        let merchants = if has_merchants { ", merchants/*.yaml" } else { "" };
        let defaults = [
            format!("kafka: {{ bootstrap: \"{}\" }}", self.bootstrap),
            format!("group: {}", self.group),
            "shards: 4".to_owned(),
            "memory: 256MiB".to_owned(),
            "rest: { listen: \"127.0.0.1:0\" }".to_owned(),
            format!("session_timeout: {SESSION_TIMEOUT_S}s"),
            format!("config: [ connectors/*.yaml{merchants} ]"),
        ];
        let key = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
        let kept = defaults.into_iter().filter(|line| !lines.iter().any(|new| key(new) == key(line)));
        kept.chain(lines.iter().map(|line| (*line).to_owned())).map(|line| line + "\n").collect()
    }
}

impl Drop for Site {
    /// What a failed test left is evidence.
    fn drop(&mut self) {
        if let (true, Some(folder)) = (std::thread::panicking(), self.folder.take()) {
            eprintln!("--- files and logs of the failed test: {}", folder.keep().display());
        }
    }
}
