use outflow_rig::{Process, S3, wait_until};
use serde_json::Value;
use std::{
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// One start of the program.
pub struct Daemon {
    process: Process,
    pub name: String,
}

/// Longer than its own limit for a drain.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
const START_LIMIT: Duration = Duration::from_secs(90);

impl Daemon {
    /// `name` is the log's as well: no two starts share one.
    pub fn start(name: &str, folder: &Path, args: &[&str]) -> Daemon {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let program = program().display().to_string();
        let secrets = [("E2E_ACCESS_KEY_ID", S3::ACCESS_KEY_ID), ("E2E_SECRET_ACCESS_KEY", S3::SECRET_ACCESS_KEY)];
        let env = secrets.map(|(name, value)| (name, value.to_owned()));
        Daemon { process: Process::start(name, folder, &program, &args, &env), name: name.to_owned() }
    }

    /// `kill -9`.
    pub fn kill(self) {
        self.process.kill();
    }

    /// `KILL`, `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// SIGTERM, and waits until everything that was read is delivered.
    ///
    /// # Panics
    /// If it takes longer than its limit.
    pub fn drain(self) -> String {
        self.process.signal("TERM");
        wait_until(&format!("{} to drain", self.name), DRAIN_LIMIT, || !self.process.is_alive());
        self.log()
    }

    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until it owns a shard.
    ///
    /// # Panics
    /// If it dies first, with the end of its log.
    pub fn wait_owning(&self) {
        let is_owning =
            || self.status().is_some_and(|status| status["shards"].as_object().is_some_and(|s| !s.is_empty()));
        self.process.wait_ready(START_LIMIT, is_owning);
    }

    /// What it shows over HTTP, if it answers.
    pub fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.get("/v1/status")?).ok()
    }

    /// That it listens on.
    ///
    /// # Panics
    /// If it does not say one in time.
    pub fn port(&self) -> u16 {
        let said = || {
            let log = self.log();
            let address = log.rsplit_once("listening address=")?.1.split_whitespace().next()?.to_owned();
            address.rsplit_once(':')?.1.parse().ok()
        };
        wait_until(&format!("{} to listen", self.name), START_LIMIT, || said().is_some());
        said().expect("it was just said")
    }

    /// The body of an answer, whatever its status; none if there is no answer.
    pub fn get(&self, path: &str) -> Option<String> {
        let log = self.log();
        let address = log.rsplit_once("listening address=")?.1.split_whitespace().next()?.to_owned();
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    /// Code and hint of each parked lane of a connector.
    pub fn parked(&self, connector: &str) -> Vec<(String, String)> {
        let status = self.status().unwrap_or_default();
        let lanes = status["connectors"][connector]["parked"].as_array().cloned().unwrap_or_default();
        let text = |lane: &Value, key: &str| lane[key].as_str().unwrap_or_default().to_owned();
        lanes.iter().map(|lane| (text(lane, "code"), text(lane, "hint"))).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the log of {} ends:\n{}", self.name, lines[lines.len().saturating_sub(15)..].join("\n"));
        }
    }
}

/// Beside our own tests, in the same profile; `OUTFLOW_BIN` names another one.
fn program() -> PathBuf {
    let own = env::current_exe().expect("a process knows its program");
    let beside = own.ancestors().nth(2).expect("tests are built two folders below").join("outflow");
    let program = env::var_os("OUTFLOW_BIN").map_or(beside, PathBuf::from);
    assert!(
        fs::exists(&program).is_ok_and(|exists| exists),
        "cargo build -p outflow-daemon makes {} (with --release, if these tests are built so)",
        program.display()
    );
    program
}
