//! What one event costs: `cargo run --release -p outflow-formats --example decode_cost [events] [decode | folder]`.
//! With `decode`, nothing else is measured; with a folder, the files stay there for other readers to be tried on.

mod events;

use outflow_api::{Decoder, Offset, RecordBlock, RowSlice, Rows, TopicId, TopicPartition};
use outflow_formats::{
    JsonDecoder, NdjsonCompression, NdjsonOptions, ParquetCompression, ParquetOptions, ndjson, parquet,
};
use std::{hint::black_box, path::Path, sync::Arc, time::Instant};

const ROUNDS: usize = 7;

/// As in the daemon.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(100_000, |count| count.parse().expect("a number of events"));
    let folder = arguments.next();
    for events in events::ALL {
        let texts = events.write(count);
        let bytes: usize = texts.iter().map(String::len).sum();
        println!("{}: {} bytes an event", events.name, bytes / texts.len());
        let rows = rows(&texts);
        let decoder = JsonDecoder::new(&events.model(), &[(TopicId(1), "events".to_owned())]).expect("a valid model");
        let per_event = |label: &str, nanos: f64, size: usize| {
            println!("  {label:<28} {:>7.0} ns {:>6.1} B", nanos / count as f64, size as f64 / count as f64);
        };
        let (nanos, ()) = best(|| texts.iter().for_each(|text| parse(text)));
        per_event("serde_json, for comparison", nanos, 0);
        let (nanos, decoded) = best(|| decoder.decode(&rows));
        assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected.first());
        per_event("decode", nanos, 0);
        if folder.as_deref() == Some("decode") {
            continue;
        }
        let compressions = [
            ParquetCompression::Zstd { level: 1 },
            ParquetCompression::Snappy,
            ParquetCompression::Lz4,
            ParquetCompression::None,
        ];
        for compression in compressions {
            let options = ParquetOptions { compression, ..ParquetOptions::default() };
            let (nanos, file) = best(|| parquet::encode(&decoded.batches, &options).expect("encodes"));
            per_event(&format!("parquet {compression:?}"), nanos, file.len());
            if let Some(folder) = &folder {
                let name = format!("{}-{compression:?}.parquet", events.name).replace([' ', '{', '}', ':'], "");
                std::fs::write(Path::new(folder).join(name), file).expect("the folder can be written to");
            }
        }
        let small = [decoded.batches[0].slice(0, count.min(100) as usize)];
        let (nanos, file) = best(|| parquet::encode(&small, &ParquetOptions::default()).expect("encodes"));
        println!("  {:<28} {:>7.0} µs {:>6} B", "parquet, a file of 100 rows", nanos / 1000.0, file.len());
        for compression in [NdjsonCompression::None, NdjsonCompression::Gzip, NdjsonCompression::Zstd] {
            let (nanos, file) = best(|| {
                ndjson::encode(&decoded.batches, &NdjsonOptions { compression, ..NdjsonOptions::default() })
                    .expect("encodes")
            });
            per_event(&format!("ndjson {compression:?}"), nanos, file.len());
        }
    }
}

fn parse(text: &str) {
    black_box(serde_json::from_str::<serde_json::Value>(text).expect("events are JSON"));
}

fn rows(texts: &[String]) -> Rows {
    let mut block = RecordBlock::new(TopicPartition { topic: TopicId(1), partition: 3 });
    for (offset, text) in texts.iter().enumerate() {
        block.push(Offset(offset as i64), 1_700_000_000_000 + offset as i64, None, Some(text.as_bytes()), []);
    }
    let rows = 0..block.len();
    Rows::new(vec![RowSlice { block: Arc::new(block), rows }])
}

/// The quickest of some rounds: the one that others disturbed least.
fn best<T>(mut work: impl FnMut() -> T) -> (f64, T) {
    let mut timed = || {
        let start = Instant::now();
        let result = work();
        (start.elapsed().as_nanos() as f64, result)
    };
    let mut best = timed();
    for _ in 1..ROUNDS {
        let next = timed();
        if next.0 < best.0 {
            best = next;
        }
    }
    best
}
