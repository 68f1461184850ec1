//! Cloud Storage, as far as files that wait for a load job need it.

use super::{storm::Fate, warehouse::Warehouse};
use axum::{
    Router,
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::put,
};
use bytes::Bytes;
use std::sync::Arc;

pub fn app(warehouse: Arc<Warehouse>) -> Router {
    let object = put(write).get(read).delete(remove);
    Router::new().route("/{bucket}/{*key}", object).with_state(warehouse)
}

/// Of an object that is there.
fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, "\"v1\"".parse().expect("a header"));
    headers.insert(header::LAST_MODIFIED, "Wed, 21 Oct 2026 07:28:00 GMT".parse().expect("a header"));
    headers
}

async fn write(
    Shared(warehouse): Shared<Arc<Warehouse>>,
    Path((bucket, key)): Path<(String, String)>,
    bytes: Bytes,
) -> Response {
    let fate = warehouse.storm.fate(8);
    if matches!(fate, Fate::Refused | Fate::Throttled | Fate::Late) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    warehouse.state().objects.insert(format!("{bucket}/{key}"), bytes);
    match fate {
        Fate::Lost | Fate::Cut => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => headers().into_response(),
    }
}

async fn read(Shared(warehouse): Shared<Arc<Warehouse>>, Path((bucket, key)): Path<(String, String)>) -> Response {
    if warehouse.storm.fate(8) != Fate::Fine {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match warehouse.state().objects.get(&format!("{bucket}/{key}")) {
        Some(bytes) => (headers(), bytes.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn remove(Shared(warehouse): Shared<Arc<Warehouse>>, Path((bucket, key)): Path<(String, String)>) -> Response {
    if matches!(warehouse.storm.fate(8), Fate::Refused | Fate::Throttled) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match warehouse.state().objects.remove(&format!("{bucket}/{key}")) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
