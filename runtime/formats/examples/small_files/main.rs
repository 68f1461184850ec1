//! What a small file costs, and what it costs to route an event:
//! `cargo run --release -p outflow-formats --example small_files [rows]`.
//! With a number of rows, files of that size alone are made, for a profiler to look at.

mod orders;

use outflow_api::{Decoder, TopicId};
use outflow_formats::{FieldPath, JsonDecoder, ParquetCompression, ParquetOptions, parquet};
use std::{hint::black_box, time::Instant};

const ROUNDS: usize = 60;
const ROWS: [usize; 9] = [1, 10, 100, 300, 1_000, 2_000, 3_000, 5_000, 10_000];

/// As in the daemon.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let only: Option<usize> = std::env::args().nth(1).map(|rows| rows.parse().expect("a number of rows"));
    let texts = orders::texts(10_000);
    if only.is_none() {
        route("order", &texts[..500]);
        route("event of any kind", &orders::events(500));
    }
    let topics = [(TopicId(1), "orders".to_owned())];
    let models = [("orders, 20 leaves", orders::narrow()), ("orders, all of the demo's", outflow_demo::orders_model())];
    for (name, model) in models {
        println!("{name}: µs for one file, and its bytes");
        println!("{:>8} {:>9} {:>18} {:>18} {:>18}", "rows", "decode", "default", "zstd 1", "snappy");
        let decoder = JsonDecoder::new(&model, &topics).expect("a valid model");
        for count in only.map_or(ROWS.to_vec(), |rows| vec![rows; 50]) {
            let rows = orders::rows(&texts[..count]);
            let (decode, decoded) = best(count, || decoder.decode(&rows));
            print!("{count:>8} {decode:>9.1}");
            let options = |compression| ParquetOptions { compression, ..ParquetOptions::default() };
            let zstd = ParquetCompression::Zstd { level: 1 };
            let all = [ParquetOptions::default(), options(zstd), options(ParquetCompression::Snappy)];
            for options in &all[..if only.is_some() { 1 } else { all.len() }] {
                let (encode, file) = best(count, || parquet::encode(&decoded.batches, options).expect("encodes"));
                print!(" {encode:>9.1} {:>8}", file.len());
            }
            println!();
        }
    }
}

fn route(name: &str, texts: &[String]) {
    let bytes: usize = texts.iter().map(String::len).sum();
    println!("routing, ns for one {name} of {} bytes", bytes / texts.len());
    for path in ["event_id", "store_id", "customer.id", "geo.city", "attributes", "logged_in", "no_such_field"] {
        let field = FieldPath::parse(path).expect("a path");
        let find = |text: &String| field.find(text.as_bytes()).map_or(0, |found| found.len());
        let (micros, _) = best(texts.len(), || black_box(texts.iter().map(find).sum::<usize>()));
        println!("{path:>16} {:>7.0}", micros * 1_000.0 / texts.len() as f64);
    }
}

/// The quickest of some rounds, in microseconds: the one that others disturbed least.
fn best<T>(rows: usize, mut work: impl FnMut() -> T) -> (f64, T) {
    let repeats = (500 / rows).max(1);
    let mut best = (f64::MAX, work());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..repeats {
            best.1 = work();
        }
        best.0 = best.0.min(start.elapsed().as_secs_f64() * 1e6 / repeats as f64);
    }
    best
}
