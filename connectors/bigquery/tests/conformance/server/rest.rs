//! The service for tables.

use super::{
    jobs::LOCATION,
    storm::Fate,
    warehouse::{DATASET, State, Warehouse},
};
use axum::{
    Json, Router,
    extract::{Path, RawQuery, State as Shared},
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
        .route("/bigquery/v2/projects/{project}/jobs", axum::routing::post(start_job))
        .route("/bigquery/v2/projects/{project}/jobs/{job}", get(job))
        .with_state(warehouse)
}

async fn dataset(Shared(warehouse): Shared<Arc<Warehouse>>, Path(path): Path<(String, String)>) -> Response {
    suffer(&warehouse, move |_| found(&path.0, &path.1).map(|()| json!({ "location": LOCATION }))).await
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

/// While it storms, jobs take their time, and one of four fails.
async fn start_job(Shared(warehouse): Shared<Arc<Warehouse>>, Json(body): Json<Value>) -> Response {
    let (storm, fate) = (&warehouse.storm, warehouse.storm.fate(5));
    let (turns, fails) = (storm.below(4), storm.below(4) == 1);
    let start = move |state: &mut State| {
        let doom = fails.then(|| ("backendError".to_owned(), "try again".to_owned()));
        let (turns, doom) = (turns.max(state.job_turns), doom.or(state.job_failures.front().cloned()));
        let started = state.start_job(&body, turns, doom);
        if started.is_ok() {
            state.job_failures.pop_front();
        }
        started
    };
    if fate == Fate::Late {
        let late = Arc::clone(&warehouse);
        tokio::spawn(async move {
            late.storm.dawdle().await;
            let _ = start(&mut late.state());
        });
        return refused(503, "backendError", "it goes on without you");
    }
    suffer_fate(&warehouse, fate, start).await
}

async fn job(
    Shared(warehouse): Shared<Arc<Warehouse>>,
    Path((_, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let location = query.split('&').find_map(|pair| pair.strip_prefix("location=")).unwrap_or_default().to_owned();
    suffer(&warehouse, move |state| state.look_at_job(&name, &location)).await
}

fn found(project: &str, dataset: &str) -> Result<(), (u16, String)> {
    let path = format!("projects/{project}/datasets/{dataset}");
    if path == DATASET { Ok(()) } else { Err((404, format!("Not found: Dataset {path}"))) }
}

async fn suffer(warehouse: &Warehouse, act: impl FnOnce(&mut State) -> Answer) -> Response {
    suffer_fate(warehouse, warehouse.storm.fate(5), act).await
}

async fn suffer_fate(warehouse: &Warehouse, fate: Fate, act: impl FnOnce(&mut State) -> Answer) -> Response {
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
