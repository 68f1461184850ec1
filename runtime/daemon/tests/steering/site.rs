use outflow_local::{LocalCluster, LocalTopic, RecordToWrite};
use outflow_rig::{Process, wait_until};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_outflow");
pub const LIMIT: Duration = Duration::from_secs(60);
const WORKER: &str = "\
group: steered
local: { folder: cluster }
shards: 2
memory: 64MiB
rest: { listen: \"127.0.0.1:0\" }
config: [ connectors/*.yaml, merchants/*.yaml ]
";
pub const CONNECTOR: &str = "\
connector: orders
topics: [ orders ]
format: json
merchant: { key: true }
model: { columns: [ { name: number, type: BIGINT, required: true } ] }
flush: { rows: 1000, bytes: 1MiB, age: 100ms }
";

/// The program on the embedded cluster: a topic, merchants, each with a folder of his own.
pub struct Site {
    folder: TempDir,
    topic: LocalTopic,
    starts: AtomicU32,
}

impl Site {
    pub fn new(merchants: &[&str]) -> Site {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        for sub in ["connectors", "merchants"] {
            fs::create_dir(folder.path().join(sub)).expect("our own folder can be written");
        }
        let cluster = LocalCluster::open(folder.path().join("cluster"), 2).expect("an empty folder");
        let topic = cluster.create_topic("orders", 2).expect("a new topic");
        let site = Site { folder, topic, starts: AtomicU32::new(0) };
        site.write("outflow.yaml", WORKER);
        site.write("connectors/orders.yaml", CONNECTOR);
        merchants.iter().for_each(|id| site.merchant(id, ""));
        site
    }

    /// The worker's file.
    pub fn worker() -> String {
        WORKER.to_owned()
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// At once: somebody may be looking.
    pub fn write(&self, name: &str, text: &str) {
        let (half, whole) = (self.path().join("half-written"), self.path().join(name));
        fs::write(&half, text).and_then(|()| fs::rename(half, whole)).expect("our own folder can be written");
    }

    /// `more` settings of his delivery, each behind a comma.
    pub fn merchant(&self, id: &str, more: &str) {
        let place = self.path().join("lake").join(id);
        let sink =
            format!("type: object_store, url: \"{}\", file: {{ type: ndjson, compression: none }}", place.display());
        self.write(
            &format!("merchants/{id}.yaml"),
            &format!("merchant: {id}\ndeliver: [ {{ connector: orders, sink: {{ {sink} }}{more} }} ]\n"),
        );
    }

    /// Another topic of the same cluster.
    pub fn create_topic(&self, name: &str) -> LocalTopic {
        let cluster = LocalCluster::open(self.path().join("cluster"), 2).expect("our own folder");
        cluster.create_topic(name, 2).expect("a new topic")
    }

    /// One record of each number for each merchant, of now.
    pub fn produce(&self, merchants: &[&str], numbers: std::ops::Range<u64>) {
        self.produce_with(merchants, numbers, |_, number| format!("{{\"number\":{number}}}"));
    }

    /// `value`: of this merchant's record of that number.
    pub fn produce_with(&self, merchants: &[&str], numbers: std::ops::Range<u64>, value: impl Fn(&str, u64) -> String) {
        let records = numbers.flat_map(|number| merchants.iter().map(move |id| (number, *id)));
        let all: Vec<(u64, &str, String)> = records.map(|(number, id)| (number, id, value(id, number))).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("behind 1970");
        let timestamp_ms = now.as_millis() as i64;
        for partition in 0..2 {
            let own = all.iter().filter(|(number, ..)| number % 2 == partition);
            let records: Vec<_> = own
                .map(|(_, id, value)| (id.as_bytes(), value.as_bytes()))
                .map(|(key, value)| RecordToWrite { timestamp_ms, key: Some(key), value: Some(value), headers: &[] })
                .collect();
            for some in records.chunks(5_000) {
                self.topic.append(partition as u32, some).expect("our own topic");
            }
        }
    }

    /// Read as anybody would read lines of JSON.
    pub fn rows(&self, merchant: &str) -> Vec<Value> {
        let texts = files(&self.path().join("lake").join(merchant));
        texts.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Number → how often it is there.
    pub fn delivered(&self, merchant: &str) -> BTreeMap<u64, u64> {
        let mut numbers = BTreeMap::new();
        for row in self.rows(merchant) {
            *numbers.entry(row["number"].as_u64().expect("a number")).or_default() += 1;
        }
        numbers
    }

    /// Waits until these numbers are there, each so often, and says that nothing else is.
    pub fn wait_for(&self, merchant: &str, numbers: std::ops::Range<u64>, times: u64) {
        let wanted: BTreeMap<u64, u64> = numbers.map(|number| (number, times)).collect();
        wait_until(&format!("{merchant} to have {} numbers {times} times", wanted.len()), LIMIT, || {
            let seen = self.delivered(merchant);
            let more = seen.iter().find(|(number, count)| wanted.get(number).is_none_or(|times| *count > times));
            assert!(more.is_none(), "{merchant} has more than anybody asked for: {more:?}");
            seen == wanted
        });
    }

    /// Of a first run: what the journal still holds is copied out again, the first row is not.
    pub fn behead_ledger(&self) {
        for shard in 0..2 {
            let ledger = self.path().join(format!("cluster/journal/{shard}/ledger.log"));
            fs::remove_file(ledger).expect("the shard has decided something");
        }
    }

    /// `outflow COMMAND FILE --config …` with the site's worker's file; what it says, and whether it went well.
    pub fn outflow(&self, args: &[&str]) -> (bool, String) {
        let config = self.path().join("outflow.yaml");
        let mut command = Command::new(PROGRAM);
        let output = command.args(args).arg("--config").arg(config).current_dir(self.path()).output();
        let output = output.expect("the program starts");
        let texts = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.success(), texts.concat())
    }

    /// Folders of the site; nobody may run meanwhile.
    pub fn copy_journal(&self, from: &str, to: &str) {
        copy(&self.path().join(from), &self.path().join(to));
    }

    pub fn start(&self) -> Daemon<'_> {
        self.start_with(&[])
    }

    pub fn start_with(&self, args: &[&str]) -> Daemon<'_> {
        let daemon = self.launch(args);
        daemon.process.wait_ready(LIMIT, || {
            daemon.url().is_some() && daemon.json(&["lag", "--json"])["shards"].as_array().is_some_and(|s| s.len() == 2)
        });
        daemon
    }

    /// Without waiting for it.
    pub fn launch(&self, args: &[&str]) -> Daemon<'_> {
        let config = self.path().join("outflow.yaml").display().to_string();
        let args: Vec<String> = ["run", "--config", &config].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        let name = format!("outflow-{}", self.starts.fetch_add(1, Ordering::Relaxed));
        let process = Process::start(&name, self.path(), PROGRAM, &args, &[("RUST_BACKTRACE", "1".to_owned())]);
        Daemon { site: self, process }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("our own folder can be written");
    for entry in fs::read_dir(from).expect("it is there") {
        let (entry, to) = (entry.expect("it is there").path(), to.to_owned());
        let to = to.join(entry.file_name().expect("it has a name"));
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            fs::copy(&entry, &to).expect("our own folder can be written");
        }
    }
}

/// All files' texts; those that are half made have other names.
fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let text = |entry: fs::DirEntry| {
        let path = entry.path();
        match path.is_dir() {
            true => files(&path),
            false if path.extension().is_some_and(|name| name == "ndjson") => {
                vec![fs::read_to_string(path).expect("what is listed can be read")]
            }
            false => Vec::new(),
        }
    };
    entries.flatten().flat_map(text).collect()
}

pub struct Daemon<'s> {
    site: &'s Site,
    process: Process,
}

impl Daemon<'_> {
    pub fn url(&self) -> Option<String> {
        let log = self.process.log();
        let address = log.rsplit_once("listening address=")?.1.split_whitespace().next()?.to_owned();
        Some(format!("http://{address}"))
    }

    /// `outflow …`, asking this daemon, without a terminal.
    pub fn ask(&self, args: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(args).stdin(std::process::Stdio::null());
        command.env("OUTFLOW_URL", self.url().unwrap_or_default()).output().expect("the program starts")
    }

    /// # Panics
    /// If it fails.
    pub fn told(&self, args: &[&str]) -> String {
        let output = self.ask(args);
        let (answer, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {answer}{error}\n{}", self.process.log());
        answer.into_owned()
    }

    /// # Panics
    /// If it does not.
    pub fn refused(&self, args: &[&str]) -> String {
        let output = self.ask(args);
        assert!(!output.status.success(), "{args:?} is taken: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// What it answers, or nothing.
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&self.ask(args).stdout).unwrap_or_default()
    }

    pub fn delivery(&self, merchant: &str) -> Value {
        self.json(&["merchants", "show", merchant, "--json"])["deliveries"][0].take()
    }

    pub fn wait_state(&self, merchant: &str, state: &str) {
        wait_until(&format!("{merchant} to be {state}"), LIMIT, || self.delivery(merchant)["state"] == state);
    }

    pub fn wait_shown(&self, merchant: &str, text: &str) {
        let shown = || self.told(&["merchants", "show", merchant]);
        wait_until(&format!("{merchant} to be shown with {text:?}"), LIMIT, || shown().contains(text));
    }

    /// `kill -9`.
    pub fn kill(self) {
        self.process.kill();
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    pub fn wait_log(&self, text: &str) {
        wait_until(&format!("{text:?} in the log"), LIMIT, || self.log().contains(text));
    }

    /// SIGTERM, and waits until it is gone.
    pub fn drain(self) -> String {
        self.process.signal("TERM");
        wait_until("the daemon to drain", LIMIT, || !self.process.is_alive());
        let _ = self.site;
        self.process.log()
    }
}
