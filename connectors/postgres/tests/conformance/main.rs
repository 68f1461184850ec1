//! The sink contract against a real PostgreSQL server, and every type by round trip.

mod crash;
mod refusals;
mod shape;
mod tls;
mod types;
mod upsert;

use async_trait::async_trait;
use outflow_api::{Sink, SinkContext};
use outflow_conformance::sink::{self, Destination, FaultyWire, context};
use outflow_postgres::DESCRIPTOR;
use outflow_rig::Postgres;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

/// One server for all laws but those that kill theirs.
pub fn server() -> &'static Postgres {
    static SERVER: OnceLock<(TempDir, Postgres)> = OnceLock::new();
    let start = || {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let server = Postgres::start(folder.path());
        (folder, server)
    };
    &SERVER.get_or_init(start).1
}

pub async fn client() -> Client {
    client_at(server().port()).await
}

pub async fn client_at(port: u16) -> Client {
    let settings = format!(
        "host=127.0.0.1 port={port} user={} password={} dbname={}",
        Postgres::USER,
        Postgres::PASSWORD,
        Postgres::DATABASE
    );
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.expect("it answers");
    tokio::spawn(connection);
    client
}

/// Of a server behind this port.
pub fn settings_at(port: u16, table: &str) -> Value {
    json!({
        "host": "127.0.0.1", "port": port, "database": Postgres::DATABASE, "table": table,
        "user": Postgres::USER, "password": Postgres::PASSWORD, "tls": "off",
    })
}

pub fn settings(table: &str) -> Value {
    settings_at(server().port(), table)
}

pub fn with(settings: &Value, change: &Value) -> Value {
    let mut settings = settings.clone();
    let (all, change) = (settings.as_object_mut().expect("settings"), change.as_object().expect("settings"));
    all.extend(change.clone());
    settings
}

pub fn open(settings: &Value, context: SinkContext) -> Arc<dyn Sink> {
    (DESCRIPTOR.open)(settings, context).expect("the settings are right")
}

/// A table of its own, behind a wire that serves well until it storms.
struct Table {
    name: String,
    wire: FaultyWire,
    mode: Value,
    /// Of who reads it.
    client: OnceCell<Client>,
}

static TABLES: AtomicU32 = AtomicU32::new(0);

impl Table {
    fn new(seed: u64, mode: Value) -> Table {
        let name = format!("table {}", TABLES.fetch_add(1, Ordering::Relaxed));
        Table { name, wire: FaultyWire::start(server().port(), seed), mode, client: OnceCell::new() }
    }

    fn sink(&self, table: &str) -> Arc<dyn Sink> {
        let settings = with(&settings_at(self.wire.port(), table), &self.mode);
        let identity = (DESCRIPTOR.identity)(&settings).expect("the settings are right");
        open(&settings, context(identity))
    }
}

#[async_trait]
impl Destination for Table {
    fn open(&self) -> Arc<dyn Sink> {
        self.sink(&self.name)
    }

    fn open_elsewhere(&self) -> Arc<dyn Sink> {
        self.sink(&format!("{} elsewhere", self.name))
    }

    /// By the batch that each row says it came with.
    async fn visible(&self) -> BTreeMap<String, Vec<i64>> {
        let client = self.client.get_or_init(client).await;
        let named = format!("\"{}\"", self.name);
        let there = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&named]).await.expect("it answers");
        if !there.get::<_, bool>(0) {
            return BTreeMap::new();
        }
        let all = format!("SELECT batch, row FROM {named} LEFT JOIN outflow_batches ON mark = _batch");
        let mut visible: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for row in client.query(&all, &[]).await.expect("it answers") {
            let batch: Option<String> = row.get(0);
            visible.entry(batch.expect("each row's batch is in the ledger")).or_default().push(row.get(1));
        }
        visible
    }

    fn secrets(&self) -> Vec<String> {
        vec![Postgres::PASSWORD.to_owned()]
    }

    fn storm(&self, rages: bool) {
        self.wire.storm(rages);
    }

    /// Nothing is staged, so there is nothing that an abort could end.
    fn can_abort(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appending_keeps_the_contract() {
    sink::all(&Table::new(0, json!({}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upserting_keeps_the_contract() {
    sink::all(&Table::new(0, json!({ "mode": "upsert", "key": ["row"], "version": "_offset" }))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_broken_connection_loses_or_doubles_a_row() {
    for seed in 0..8 {
        let mode = if seed % 2 == 0 { json!({}) } else { json!({ "mode": "upsert", "key": "row", "version": "at" }) };
        let table = Arc::new(Table::new(seed, mode));
        let destination: Arc<dyn Destination> = Arc::<Table>::clone(&table);
        let chaos = sink::chaos(destination, seed, 200).await;
        println!("seed {seed}: {} connections went wrong, {chaos:?}", table.wire.faults());
        assert!(table.wire.faults() > 0);
    }
}
