use crate::{load::load, open, server::Server, settings};
use async_trait::async_trait;
use outflow_api::Sink;
use outflow_conformance::sink::{self, Destination};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

/// A table of a server of its own, which serves well until it storms.
struct Table(Server);

/// One whose rows are seen as soon as they are appended.
struct CommittedTable(Server);

/// One that jobs load.
struct LoadedTable(Server);

/// One whose rows are replaced by their key.
struct KeyedTable(Server);

#[async_trait]
impl Destination for Table {
    fn open(&self) -> Arc<dyn Sink> {
        open(&settings(&self.0, "orders", json!({})))
    }

    fn open_elsewhere(&self) -> Arc<dyn Sink> {
        open(&settings(&self.0, "carts", json!({})))
    }

    async fn visible(&self) -> BTreeMap<String, Vec<i64>> {
        self.0.warehouse.visible("orders")
    }

    fn storm(&self, rages: bool) {
        self.0.warehouse.storm.rages(rages);
    }

    fn refuse(&self, row: i64) -> bool {
        self.0.warehouse.state().refused.insert(row)
    }

    /// The service has no call that ends a stream.
    fn can_abort(&self) -> bool {
        false
    }

    /// Streams have names of the service's own.
    fn knows_batches(&self) -> bool {
        false
    }
}

#[async_trait]
impl Destination for CommittedTable {
    fn open(&self) -> Arc<dyn Sink> {
        open(&settings(&self.0, "orders", json!({ "stream": "committed" })))
    }

    fn open_elsewhere(&self) -> Arc<dyn Sink> {
        open(&settings(&self.0, "carts", json!({ "stream": "committed" })))
    }

    async fn visible(&self) -> BTreeMap<String, Vec<i64>> {
        self.0.warehouse.visible("orders")
    }

    fn storm(&self, rages: bool) {
        self.0.warehouse.storm.rages(rages);
    }

    /// Each preparation keeps a stretch of a stream of its own.
    fn knows_batches(&self) -> bool {
        false
    }

    fn remembers(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appending_to_committed_streams_keeps_the_contract() {
    sink::all(&CommittedTable(Server::start(0).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_service_or_network_loses_or_doubles_a_row_of_a_committed_stream() {
    for seed in 0..8 {
        let table = Arc::new(CommittedTable(Server::start(seed).await));
        let destination: Arc<dyn Destination> = Arc::<CommittedTable>::clone(&table);
        let chaos = sink::chaos(destination, seed, 200).await;
        let (faults, streams) = (table.0.warehouse.storm.faults(), table.0.warehouse.state().streams_made);
        println!("seed {seed}: {faults} requests went wrong, {streams} streams, {chaos:?}");
        assert!(faults > 0);
    }
}

#[async_trait]
impl Destination for LoadedTable {
    fn open(&self) -> Arc<dyn Sink> {
        open(&load(&self.0, "orders"))
    }

    fn open_elsewhere(&self) -> Arc<dyn Sink> {
        open(&load(&self.0, "carts"))
    }

    async fn visible(&self) -> BTreeMap<String, Vec<i64>> {
        self.0.warehouse.visible("orders")
    }

    fn storm(&self, rages: bool) {
        self.0.warehouse.storm.rages(rages);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loading_keeps_the_contract() {
    sink::all(&LoadedTable(Server::start(0).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_service_or_network_loses_or_doubles_a_row_that_is_loaded() {
    for seed in 0..8 {
        let table = Arc::new(LoadedTable(Server::start(seed).await));
        let destination: Arc<dyn Destination> = Arc::<LoadedTable>::clone(&table);
        let chaos = sink::chaos(destination, seed, 200).await;
        let (faults, jobs) = (table.0.warehouse.storm.faults(), table.0.warehouse.state().jobs.len());
        println!("seed {seed}: {faults} requests went wrong, {jobs} jobs, {chaos:?}");
        assert!(faults > 0);
    }
}

impl KeyedTable {
    fn sink(&self, table: &str) -> Arc<dyn Sink> {
        open(&settings(&self.0, table, json!({ "mode": "upsert", "key": ["row"], "version": "at" })))
    }
}

#[async_trait]
impl Destination for KeyedTable {
    fn open(&self) -> Arc<dyn Sink> {
        self.sink("orders_now")
    }

    fn open_elsewhere(&self) -> Arc<dyn Sink> {
        self.sink("carts_now")
    }

    async fn visible(&self) -> BTreeMap<String, Vec<i64>> {
        BTreeMap::from([("orders_now".to_owned(), self.0.warehouse.newest_numbers("orders_now"))])
    }

    fn storm(&self, rages: bool) {
        self.0.warehouse.storm.rages(rages);
    }

    /// Nothing is staged, so there is nothing that an abort could end.
    fn can_abort(&self) -> bool {
        false
    }

    fn remembers(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upserting_keeps_the_contract() {
    sink::all(&KeyedTable(Server::start(0).await)).await;
}

/// The server orders all versions of all keys for each look at the table.
const UPSERT_STEPS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_service_or_network_loses_or_doubles_a_row_that_is_upserted() {
    for seed in 0..8 {
        let table = Arc::new(KeyedTable(Server::start(seed).await));
        let destination: Arc<dyn Destination> = Arc::<KeyedTable>::clone(&table);
        let chaos = sink::chaos(destination, seed, UPSERT_STEPS).await;
        let faults = table.0.warehouse.storm.faults();
        println!("seed {seed}: {faults} requests went wrong, {chaos:?}");
        assert!(faults > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bigquery_keeps_the_contract() {
    for checks_offsets_first in [false, true] {
        let server = Server::start(0).await;
        server.warehouse.state().checks_offsets_first = checks_offsets_first;
        sink::all(&Table(server)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_service_or_network_loses_or_doubles_a_row() {
    for seed in 0..8 {
        let table = Arc::new(Table(Server::start(seed).await));
        let destination: Arc<dyn Destination> = Arc::<Table>::clone(&table);
        let chaos = sink::chaos(destination, seed, 200).await;
        let faults = table.0.warehouse.storm.faults();
        println!("seed {seed}: {faults} requests went wrong, {chaos:?}");
        assert!(faults > 0);
    }
}
