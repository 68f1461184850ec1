use crate::{
    columns,
    meter::{Usage, usage},
    workload::{TOPIC, Workload, parquet_files},
};
use outflow_rig::{Process, free_port};
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::{
    collections::HashMap,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(600);
/// Rare enough to cost the daemon nothing on a machine with two cores.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Seals a batch, whichever comes first; printed beside the results, since fewer and larger files are cheaper.
pub const FLUSH: &str = "{ rows: 100000, bytes: 128MiB, age: 5s }";
pub const FLUSH_OF_MERCHANTS: &str = "{ rows: 20000, bytes: 16MiB, age: 20s }";

/// Who the rows go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lanes {
    One,
    /// Each merchant's own folder; so many are configured, and those among them that buy get rows.
    Merchants(u32),
}

pub struct Delivered {
    pub usage: Usage,
    pub wall_s: f64,
    /// Pattern of the files.
    pub files: String,
}

/// The release binary as a user runs it, from its start until every row is visible.
pub fn measure(workload: &Workload, name: &str, lanes: Lanes) -> Delivered {
    let folder = workload.subfolder(name);
    let lake = folder.join("lake");
    let config = write_config(workload, &folder, &lake, name, lanes);
    let args = ["run", "--config", &config.display().to_string()].map(str::to_owned);
    let started = Instant::now();
    let process = Process::start("outflow", &folder, &binary().display().to_string(), &args, &[]);
    let mut visible = Visible::default();
    let mut looked = Instant::now();
    let look_every = if lanes == Lanes::One { LOOK_EVERY } else { LOOK_EVERY * 10 };
    process.wait_ready(LIMIT, || {
        if looked.elapsed() < look_every {
            return false;
        }
        looked = Instant::now();
        visible.rows(&lake) >= workload.events
    });
    let (used, wall_s) = (usage(process.pid()), started.elapsed().as_secs_f64());
    process.kill();
    Delivered { usage: used, wall_s, files: format!("{}/**/*.parquet", lake.display()) }
}

/// Built beside us.
fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a process knows its program");
    let binary = own.with_file_name("outflow");
    assert!(binary.exists(), "{} is missing: cargo build --release -p outflow-daemon", binary.display());
    binary
}

fn write_config(workload: &Workload, folder: &Path, lake: &Path, group: &str, lanes: Lanes) -> PathBuf {
    let worker = format!(
        "kafka: {{ bootstrap: \"{}\" }}\ngroup: {group}\nmemory: 512MiB\nrest: {{ listen: \"127.0.0.1:{}\" }}\n\
         config: [ connectors/*.yaml ]\n",
        workload.kafka.bootstrap(),
        free_port()
    );
    let (flush, goes) = match lanes {
        Lanes::One => (
            FLUSH,
            format!("sink: {}\n", sink(&lake.display().to_string(), ", file: { type: parquet, compression: zstd }")),
        ),
        Lanes::Merchants(_) => (FLUSH_OF_MERCHANTS, "merchant: { key: true }\n".to_owned()),
    };
    let connector = format!(
        "connector: {group}\ntopics: [ {TOPIC} ]\nformat: json\nmodel:\n  columns:\n{}  unknown: ignore\n\
         flush: {flush}\n{goes}",
        columns::yaml(),
    );
    let path = folder.join("outflow.yaml");
    let write = |path: &Path, text: &str| fs::write(path, text).expect("our own folder can be written");
    fs::create_dir_all(folder.join("connectors")).expect("our own folder can be written");
    write(&folder.join("connectors/events.yaml"), &connector);
    if let Lanes::Merchants(count) = lanes {
        let list: String = (0..count).map(|merchant| format!("{}\n", FIRST_MERCHANT + merchant)).collect();
        write(&folder.join("merchants.csv"), &format!("id\n{list}"));
        let place = sink(&format!("{}/${{row:id}}", lake.display()), "");
        let merchants = format!(
            "template: {{ list: ../merchants.csv }}\nmerchant: \"${{row:id}}\"\n\
             deliver: [ {{ connector: {group}, sink: {place} }} ]\n"
        );
        write(&folder.join("connectors/merchants.yaml"), &merchants);
    }
    write(&path, &worker);
    path
}

/// As the generator of events numbers them.
const FIRST_MERCHANT: u32 = 1001;

fn sink(url: &str, file: &str) -> String {
    format!("{{ type: object_store, url: \"{url}\"{file} }}")
}

/// Rows that a lister of the destination sees: every footer is read once.
#[derive(Default)]
struct Visible {
    rows: HashMap<PathBuf, u64>,
}

impl Visible {
    fn rows(&mut self, lake: &Path) -> u64 {
        for (path, _) in parquet_files(lake) {
            self.rows.entry(path).or_insert_with_key(|path| rows_of(path));
        }
        self.rows.values().sum()
    }
}

/// # Panics
/// If a file that can be seen cannot be read: no reader may ever meet half a file.
fn rows_of(path: &Path) -> u64 {
    let file = File::open(path).expect("a visible file can be opened");
    let reader = SerializedFileReader::new(file).expect("a visible file is whole");
    u64::try_from(reader.metadata().file_metadata().num_rows()).expect("a count is not negative")
}
