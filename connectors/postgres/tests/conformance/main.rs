//! The sink contract against a real PostgreSQL server, and every type by round trip.

mod types;

use async_trait::async_trait;
use outflow_api::Sink;
use outflow_conformance::sink::{self, Destination, context};
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
use tokio_postgres::{Client, NoTls};

/// One server for all laws; nobody kills it.
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
    let settings = format!(
        "host=127.0.0.1 port={} user={} password={} dbname={}",
        server().port(),
        Postgres::USER,
        Postgres::PASSWORD,
        Postgres::DATABASE
    );
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.expect("it answers");
    tokio::spawn(connection);
    client
}

pub fn settings(table: &str) -> Value {
    json!({
        "host": "127.0.0.1", "port": server().port(), "database": Postgres::DATABASE, "table": table,
        "user": Postgres::USER, "password": Postgres::PASSWORD, "tls": "off",
    })
}

/// A table of its own.
struct Table(String);

static TABLES: AtomicU32 = AtomicU32::new(0);

impl Table {
    fn new() -> Table {
        Table(format!("t{}", TABLES.fetch_add(1, Ordering::Relaxed)))
    }

    fn sink(table: &str) -> Arc<dyn Sink> {
        let settings = settings(table);
        let identity = (DESCRIPTOR.identity)(&settings).expect("the settings are right");
        (DESCRIPTOR.open)(&settings, context(identity)).expect("the settings are right")
    }
}

#[async_trait]
impl Destination for Table {
    fn open(&self) -> Arc<dyn Sink> {
        Table::sink(&self.0)
    }

    fn open_elsewhere(&self) -> Arc<dyn Sink> {
        Table::sink(&format!("{}_elsewhere", self.0))
    }

    /// By the batch that each row says it came with.
    async fn visible(&self) -> BTreeMap<String, Vec<i64>> {
        let client = client().await;
        let there = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&self.0]).await.expect("it answers");
        if !there.get::<_, bool>(0) {
            return BTreeMap::new();
        }
        let rows = client.query(&format!("SELECT _batch::text, row FROM {}", self.0), &[]).await;
        let mut all: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for row in rows.expect("it answers") {
            all.entry(row.get(0)).or_default().push(row.get(1));
        }
        all
    }

    fn secrets(&self) -> Vec<String> {
        vec![Postgres::PASSWORD.to_owned()]
    }

    /// Nothing is staged, so there is nothing that an abort could end.
    fn can_abort(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    sink::all(&Table::new()).await;
}
