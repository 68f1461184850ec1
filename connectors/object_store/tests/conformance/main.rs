//! The sink's contract, kept at a local folder and at real or emulated stores.

mod azure;
mod folder;
mod gcs;
mod reader;
mod s3;

use outflow_api::Sink;
use outflow_conformance::sink::context;
use outflow_object_store::DESCRIPTOR;
use serde_json::Value;
use std::sync::Arc;

/// # Panics
/// If the settings are refused.
fn open(settings: &Value) -> Arc<dyn Sink> {
    let identity = (DESCRIPTOR.identity)(settings).expect("settings of a test say where");
    (DESCRIPTOR.open)(settings, context(identity)).expect("settings of a test are allowed")
}

/// Of one and of several objects, small and large: a large batch is 90 % one shop.
const PARTITIONS: [Option<&str>; 2] = [None, Some("shop={shop}/dt={at:%Y-%m-%d}")];
