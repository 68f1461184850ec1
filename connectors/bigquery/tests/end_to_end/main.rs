//! The real program on a real broker, delivering to the strict server, both disturbed.

#[path = "../conformance/server/mod.rs"]
#[allow(dead_code, reason = "the contract's tests ask more of it")]
mod server;

use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};
use outflow_conformance::sink::Random;
use outflow_e2e::{Connector, Daemon, Producer, Site, alone, each_record};
use outflow_rig::{Kafka, wait_until};
use server::Server;
use std::{collections::BTreeMap, time::Duration};
use tokio::runtime::Runtime;

const TOPIC: &str = "bigquery.orders";
const TABLE: &str = "orders";
const PER_SECOND: u64 = 600;
const KILLS: usize = 8;
const SEED: u64 = 7;
const DELIVERED: Duration = Duration::from_secs(120);

fn sink(server: &Server) -> String {
    format!(
        "type: bigquery, project: shop, dataset: lake, table: {TABLE}, partition_by: created_at, endpoint: \"{}\", \
         rest_endpoint: \"{}\", allow_http: true, anonymous: true",
        server.endpoint(),
        server.rest_endpoint()
    )
}

/// Partition and offset of each row, rising.
fn offsets(server: &Server) -> Vec<(i64, i64)> {
    let column = |rows: &RecordBatch, name: &str| {
        let column = rows.column_by_name(name).expect("each row says where it is from");
        column.as_primitive::<Int64Type>().values().to_vec()
    };
    let places = |rows: &RecordBatch| column(rows, "_kafka_partition").into_iter().zip(column(rows, "_kafka_offset"));
    let mut places: Vec<(i64, i64)> = server.warehouse.rows(TABLE).iter().flat_map(places).collect();
    places.sort_unstable();
    places
}

/// Right behind a creation of a stream, or right behind a reveal, or whenever.
fn aim(server: &Server, random: &mut Random) {
    let streams = || server.warehouse.state().streams_made;
    let revealed = || server.warehouse.rows(TABLE).len();
    let (before, shown) = (streams(), revealed());
    match random.below(3) {
        0 => wait_until("a stream to be made", DELIVERED, || streams() > before),
        1 => wait_until("a batch to be revealed", DELIVERED, || revealed() > shown),
        _ => wait_until("some batches to be staged", DELIVERED, || streams() > before + 5),
    }
}

fn wait_flowing(server: &Server) {
    let before = offsets(server).len();
    wait_until("rows", DELIVERED, || offsets(server).len() > before);
}

#[test]
fn whatever_dies_each_record_becomes_one_row() {
    let _turn = alone();
    let kafka = Kafka::shared();
    kafka.create_topic(TOPIC, 4, &[]);
    let runtime = Runtime::new().expect("threads can be made");
    let server = runtime.block_on(Server::start(SEED));
    let site = Site::new(TOPIC, kafka);
    site.configure(&Connector::into("orders", TOPIC, sink(&server)));
    let producer = Producer::start(kafka, TOPIC, PER_SECOND);
    let start = || site.start("worker", &["instance_id: first"]);
    let mut worker = start();
    wait_flowing(&server);
    server.warehouse.storm.rages(true);
    let mut random = Random::new(SEED);
    for _ in 0..KILLS {
        aim(&server, &mut random);
        worker.kill();
        worker = start();
        wait_flowing(&server);
    }
    let produced = producer.stop();
    server.warehouse.storm.rages(false);
    let mut expected = Vec::new();
    each_record(kafka, TOPIC, |record| expected.push((i64::from(record.partition), record.offset)));
    expected.sort_unstable();
    assert_eq!(expected.len() as u64, produced);
    settle(&server, &worker, expected.len());
    assert_each_once(&expected, &offsets(&server));
    worker.drain();
    assert_each_once(&expected, &offsets(&server));
    let (faults, streams) = (server.warehouse.storm.faults(), server.warehouse.state().streams_made);
    println!("{produced} events, {KILLS} kills, {faults} requests that went wrong, {streams} streams");
    assert!(faults > 0);
}

fn settle(server: &Server, worker: &Daemon, rows: usize) {
    let lag = || worker.status().map(|status| status["connectors"]["orders"]["lag_records"].clone());
    wait_until("all rows", DELIVERED, || {
        assert_eq!(worker.parked("orders"), [], "no lane parks for what passes");
        offsets(server).len() >= rows && lag() == Some(0.into())
    });
}

fn assert_each_once(expected: &[(i64, i64)], found: &[(i64, i64)]) {
    let mut count: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    expected.iter().for_each(|place| *count.entry(*place).or_default() -= 1);
    found.iter().for_each(|place| *count.entry(*place).or_default() += 1);
    count.retain(|_, count| *count != 0);
    assert!(count.is_empty(), "of {} rows: (partition, offset): too many or few: {count:?}", found.len());
}
