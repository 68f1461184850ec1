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

/// Rows, distinct rows, and rows in a stranger's folder.
pub fn count_merchants(files: &str) -> (u64, u64, u64) {
    serde_json::from_str(&python(COUNT_MERCHANTS, &[files])).expect("the script prints three numbers")
}
