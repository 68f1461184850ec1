use crate::{
    merchants::{Merchants, folder_sink, ids},
    meter::Usage,
    site::{BY_KEY, Site},
    visible::Visible,
    workload::{TOPIC, Workload},
};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(1_800);
/// Rare enough to cost the daemon nothing on a machine with two cores.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Seals a batch, whichever comes first; printed beside the results, since fewer and larger files are cheaper.
pub const FLUSH: &str = "{ rows: 100000, bytes: 128MiB, age: 5s }";
pub const FLUSH_OF_MERCHANTS: &str = "{ rows: 20000, bytes: 16MiB, age: 60s }";

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
    let site = Site::new(&workload.kafka, workload.subfolder(name), name, &[]);
    let lake = site.lake();
    match lanes {
        Lanes::One => {
            let sink = folder_sink(&lake, ", file: { type: parquet, compression: zstd }");
            site.connector(TOPIC, FLUSH, &format!("sink: {sink}\n"));
        }
        Lanes::Merchants(count) => {
            site.connector(TOPIC, FLUSH_OF_MERCHANTS, BY_KEY);
            site.merchants(&Merchants::with_folders("all", ids(0..count), &lake));
        }
    }
    let started = Instant::now();
    let worker = site.start();
    let mut visible = Visible::default();
    let look_every = if lanes == Lanes::One { LOOK_EVERY } else { LOOK_EVERY * 10 };
    worker.wait("every row", look_every, LIMIT, || visible.rows(&lake) >= workload.events);
    let (used, wall_s) = (worker.usage(), started.elapsed().as_secs_f64());
    worker.kill();
    Delivered { usage: used, wall_s, files: site.files() }
}
