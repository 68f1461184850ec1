use crate::{columns, workload::Workload};
use outflow_rig::python;
use serde_json::Value;
use std::path::Path;

/// Prints what the process used for the one statement, as JSON.
const CONVERT: &str = "
import duckdb, json, os, sys, time
source, target, columns = sys.argv[1:]
def cpu():
    times = os.times()
    return times.user + times.system
connection = duckdb.connect()
connection.execute('SET enable_progress_bar = false')
cpu_before, wall_before = cpu(), time.monotonic()
connection.execute(f\"\"\"COPY (SELECT * FROM read_json('{source}', format = 'newline_delimited', columns = {columns}))
    TO '{target}' (FORMAT parquet, COMPRESSION zstd)\"\"\")
used = {'cpu_s': cpu() - cpu_before, 'wall_s': time.monotonic() - wall_before}
status = open('/proc/self/status').read()
used['peak_mb'] = int(status.split('VmHWM:')[1].split()[0]) / 1024
print(json.dumps(used))
";

/// Counts rows, and folds values of all kinds into one number that does not depend on their order.
const COUNT: &str = "
import duckdb, json, sys
files, distinct = sys.argv[1:]
duckdb.execute('SET enable_progress_bar = false')
rows, events, values = duckdb.sql(f\"\"\"SELECT count(*), count(DISTINCT {distinct}),
    bit_xor(hash(event_id, store_id, epoch_ms(created_at), page, geo, scroll_depth, total_inc_tax, line_items::VARCHAR,
        coupons::VARCHAR, attributes::VARCHAR))::VARCHAR
    FROM read_parquet('{files}', hive_partitioning = false)\"\"\").fetchone()
print(json.dumps({'rows': rows, 'distinct': events, 'values': values}))
";

/// Counts rows, rows told apart by where they come from, and rows that stand in another merchant's folder.
const COUNT_MERCHANTS: &str = "
import duckdb, json, sys
duckdb.execute('SET enable_progress_bar = false')
print(json.dumps(duckdb.sql(f\"\"\"SELECT count(*), count(DISTINCT (_topic, _partition, _offset)),
    count(*) FILTER (WHERE filename NOT LIKE '%/' || store_id || '/%')
    FROM read_parquet('{sys.argv[1]}', hive_partitioning = false, filename = true)\"\"\").fetchone()))
";

/// The same counts, rows of files that nobody saw appear, and how old the rows of some time were when they appeared.
const AGES: &str = "
import duckdb, json, sys
files, sights, since, until = sys.argv[1:]
duckdb.execute('SET enable_progress_bar = false')
print(json.dumps(duckdb.sql(f\"\"\"WITH rows AS (
        SELECT store_id, _topic, _partition, _offset, filename AS file, epoch_ms(_timestamp) AS made
        FROM read_parquet('{files}', hive_partitioning = false, filename = true)),
    seen AS (SELECT rows.*, ms - made AS age, made BETWEEN {since} AND {until} AS counts
        FROM rows LEFT JOIN read_csv('{sights}', header = false, columns = {{'path': 'VARCHAR', 'ms': 'BIGINT'}})
        ON path = file)
    SELECT count(*), count(DISTINCT (_topic, _partition, _offset)),
        count(*) FILTER (file NOT LIKE '%/' || store_id || '/%'), count(*) FILTER (age IS NULL),
        count(*) FILTER (counts), quantile_cont(age, 0.5) FILTER (counts), quantile_cont(age, 0.99) FILTER (counts),
        max(age) FILTER (counts)
    FROM seen\"\"\").fetchone()))
";

pub struct Converted {
    pub cpu_s: f64,
    pub wall_s: f64,
    pub peak_mb: f64,
}

/// What is in Parquet files, counted by DuckDB.
#[derive(PartialEq, Eq, Debug)]
pub struct Counted {
    pub rows: u64,
    pub distinct: u64,
    pub values: String,
}

/// DuckDB's own NDJSON → Parquet of the same events with the same types.
pub fn convert(workload: &Workload, target: &Path) -> Converted {
    let (source, target) = (workload.file.display().to_string(), target.display().to_string());
    let answer = python(CONVERT, &[&source, &target, &columns::duckdb()]);
    let used: Value = serde_json::from_str(&answer).expect("the script prints JSON");
    let number = |name: &str| used[name].as_f64().expect("the script prints what it used");
    Converted { cpu_s: number("cpu_s"), wall_s: number("wall_s"), peak_mb: number("peak_mb") }
}

/// `files` may hold `*` and `**`; `distinct` is what tells one event from another.
pub fn count(files: &str, distinct: &str) -> Counted {
    let counted: Value = serde_json::from_str(&python(COUNT, &[files, distinct])).expect("the script prints JSON");
    let number = |name: &str| counted[name].as_u64().expect("the script prints what it counted");
    let values = counted["values"].as_str().expect("the script prints what it counted").to_owned();
    Counted { rows: number("rows"), distinct: number("distinct"), values }
}

/// # Panics
/// Unless so many rows are there, each once and in its own merchant's folder.
pub fn assert_delivered(files: &str, events: u64) {
    assert_eq!(count_merchants(files), (events, events, 0), "rows, distinct rows, rows in a stranger's folder");
}

/// How old rows were when they became visible, in milliseconds.
pub struct Ages {
    pub rows: u64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// Of rows that were made between two times; `sights` has a line for each file, its path and when it appeared.
///
/// # Panics
/// Unless so many rows are there in all, each once, in its own merchant's folder and in a file that was seen.
pub fn ages(files: &str, sights: &Path, made: (u128, u128), events: u64) -> Ages {
    let (sights, since, until) = (sights.display().to_string(), made.0.to_string(), made.1.to_string());
    let answer = python(AGES, &[files, &sights, &since, &until]);
    let numbers: Vec<Option<f64>> = serde_json::from_str(&answer).expect("the script prints numbers");
    let number = |index: usize| numbers[index].expect("rows were made in that time");
    let whole = |index: usize| number(index) as u64;
    let counted = [0, 1, 2, 3].map(whole);
    assert_eq!(counted, [events, events, 0, 0], "rows, distinct rows, rows in a stranger's folder, rows unseen");
    Ages { rows: whole(4), p50: number(5), p99: number(6), max: number(7) }
}

/// Rows, distinct rows, and rows in a stranger's folder.
fn count_merchants(files: &str) -> (u64, u64, u64) {
    serde_json::from_str(&python(COUNT_MERCHANTS, &[files])).expect("the script prints three numbers")
}
