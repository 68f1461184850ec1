//! The service for tables.

use super::{
    storm::Fate,
    warehouse::{DATASET, State, Warehouse},
};
use axum::{
    Json, Router,
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode, header::IF_MATCH},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use std::sync::Arc;

type Answer = Result<Value, (u16, String)>;

pub fn app(warehouse: Arc<Warehouse>) -> Router {
    Router::new()
        .route("/bigquery/v2/projects/{project}/datasets/{dataset}", get(dataset))
        .route("/bigquery/v2/projects/{project}/datasets/{dataset}/tables", axum::routing::post(insert))
        .route("/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}", get(table).patch(patch))
        .with_state(warehouse)
}

async fn dataset(Shared(warehouse): Shared<Arc<Warehouse>>, Path(path): Path<(String, String)>) -> Response {
    suffer(&warehouse, move |_| found(&path.0, &path.1).map(|()| json!({}))).await
}

async fn insert(
    Shared(warehouse): Shared<Arc<Warehouse>>,
    Path(path): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    suffer(&warehouse, move |state| found(&path.0, &path.1).and_then(|()| state.make(&body))).await
}

async fn table(
    Shared(warehouse): Shared<Arc<Warehouse>>,
    Path((project, dataset, table)): Path<(String, String, String)>,
) -> Response {
    suffer(&warehouse, move |state| {
        found(&project, &dataset)?;
        let path = format!("{DATASET}/tables/{table}");
        let found = state.tables.get(&path).map(|table| table.body.clone());
        found.ok_or((404, format!("Not found: Table {path}")))
    })
    .await
}

async fn patch(
    Shared(warehouse): Shared<Arc<Warehouse>>,
    Path((project, dataset, table)): Path<(String, String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    suffer(&warehouse, move |state| {
        found(&project, &dataset)?;
        let etag = headers.get(IF_MATCH).and_then(|etag| etag.to_str().ok());
        state.change(&format!("{DATASET}/tables/{table}"), etag, &body)
    })
    .await
}

fn found(project: &str, dataset: &str) -> Result<(), (u16, String)> {
    let path = format!("projects/{project}/datasets/{dataset}");
    if path == DATASET { Ok(()) } else { Err((404, format!("Not found: Dataset {path}"))) }
}

async fn suffer(warehouse: &Warehouse, act: impl FnOnce(&mut State) -> Answer) -> Response {
    let fate = warehouse.storm.fate(5);
    match fate {
        Fate::Refused | Fate::Late => return refused(503, "backendError", "the service is going away"),
        Fate::Throttled => return refused(403, "rateLimitExceeded", "Exceeded rate limits"),
        _ => warehouse.storm.dawdle().await,
    }
    let answer = act(&mut warehouse.state());
    match (fate, answer) {
        (Fate::Lost | Fate::Cut, _) => refused(500, "internalError", "the answer is lost"),
        (_, Ok(body)) => Json(body).into_response(),
        (_, Err((status, message))) => refused(status, "invalid", &message),
    }
}

fn refused(status: u16, reason: &str, message: &str) -> Response {
    let body = json!({ "error": { "code": status, "message": message, "errors": [{ "reason": reason }] } });
    (StatusCode::from_u16(status).expect("a status of a test"), Json(body)).into_response()
}
