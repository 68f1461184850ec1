use crate::{open, server::Server, settings};
use async_trait::async_trait;
use outflow_api::Sink;
use outflow_conformance::sink::{self, Destination};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

/// A table of a server of its own, which serves well until it storms.
struct Table(Server);

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

    /// The service has no call that ends a stream.
    fn can_abort(&self) -> bool {
        false
    }

    /// Streams have names of the service's own.
    fn knows_batches(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bigquery_keeps_the_contract() {
    sink::all(&Table(Server::start(0).await)).await;
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
