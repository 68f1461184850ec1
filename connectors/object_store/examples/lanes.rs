//! What it costs to open ten thousand lanes: `cargo run --release -p outflow-object-store --example lanes`.
//! Each case runs in a process of its own, so that none finds the memory of another.

use outflow_api::{Decoder, Sink, SinkContext};
use outflow_formats::JsonDecoder;
use outflow_object_store::DESCRIPTOR;
use serde_json::{Value, json};
use std::{env, fs, process::Command, sync::Arc, time::Instant};

const LANES: usize = 10_000;
const CASES: [&str; 4] = ["folder", "S3, 10 credentials, one bucket", "S3, 10 credentials, own buckets", "S3, own all"];

/// As in the daemon.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    if let Some(case) = env::args().nth(1) {
        return measure(&case);
    }
    let program = env::current_exe().expect("this program has a path");
    for case in CASES {
        let done = Command::new(&program).arg(case).status().expect("this program runs");
        assert!(done.success(), "{case} failed");
    }
}

fn measure(case: &str) {
    let decoder: Arc<dyn Decoder> =
        Arc::new(JsonDecoder::new(&outflow_demo::orders_model(), &[]).expect("a valid model"));
    let settings: Vec<Value> = (0..LANES).map(|lane| settings(case, lane)).collect();
    // What is made once for all lanes.
    let mut sinks = vec![open(&settings[0], &decoder)];
    let (memory, start) = (resident(), Instant::now());
    sinks.extend(settings[1..].iter().map(|settings| open(settings, &decoder)));
    let (micros, bytes) = (start.elapsed().as_secs_f64() * 1e6, resident().saturating_sub(memory));
    let (micros, bytes) = (micros / LANES as f64, bytes as f64 / 1024.0 / LANES as f64);
    println!("{case:<34} {micros:>6.1} µs {bytes:>6.1} KiB for a lane");
    drop(sinks);
}

fn open(settings: &Value, decoder: &Arc<dyn Decoder>) -> Arc<dyn Sink> {
    let identity = (DESCRIPTOR.identity)(settings).expect("the settings say where");
    let context = SinkContext { identity, decoder: Arc::clone(decoder) };
    (DESCRIPTOR.open)(settings, context).expect("the settings are allowed")
}

fn settings(case: &str, lane: usize) -> Value {
    let partition_by = "dt={created_at:%Y-%m-%d}";
    if case == "folder" {
        return json!({ "url": format!("/srv/lake/merchant-{lane}/orders"), "partition_by": partition_by });
    }
    let (bucket, credential) = match case {
        "S3, own all" => (lane, lane),
        "S3, 10 credentials, own buckets" => (lane, lane % 10),
        _ => (lane % 10, lane % 10),
    };
    json!({
        "url": format!("s3://merchant-lake-{bucket}/merchant-{lane}/orders"),
        "region": "eu-central-1",
        "partition_by": partition_by,
        "access_key_id": format!("AKIAIOSFODNN7{credential:07}"),
        "secret_access_key": format!("wJalrXUtnFEMI/K7MDENG/bPxRfiCY{credential:010}"),
    })
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("Linux tells what a process takes");
    let pages: usize = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("the second number");
    pages * 4096
}
