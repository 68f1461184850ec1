//! The sink's contract, kept at a strict server that stands for BigQuery.

mod committed;
mod emulator;
mod laws;
mod load;
mod model;
mod refusals;
mod server;
mod streams;
mod tables;
mod types;
mod upsert;

use outflow_api::{Sink, SinkContext};
use outflow_bigquery::DESCRIPTOR;
use outflow_conformance::sink::context;
use serde_json::{Value, json};
use server::Server;
use std::sync::Arc;

/// Settings of a table of a server, with changes.
fn settings(server: &Server, table: &str, changes: Value) -> Value {
    let mut settings = json!({
        "project": "shop", "dataset": "lake", "table": table,
        "endpoint": server.endpoint(), "rest_endpoint": server.rest_endpoint(), "allow_http": true, "anonymous": true,
        "request_bytes_max": 200_000,
    });
    let fields = settings.as_object_mut().expect("an object");
    fields.extend(changes.as_object().expect("changes are an object").clone());
    settings
}

/// # Panics
/// If the settings are refused.
fn open(settings: &Value) -> Arc<dyn Sink> {
    let identity = (DESCRIPTOR.identity)(settings).expect("settings of a test say where");
    open_with(settings, context(identity))
}

fn open_with(settings: &Value, context: SinkContext) -> Arc<dyn Sink> {
    (DESCRIPTOR.open)(settings, context).expect("settings of a test are allowed")
}
