//! The paths below `/v1/merchants` and `/v1/lanes`, and `/v1/lag`.

use crate::{
    Refusal, Steering, Undelivered, Worker,
    body::{self, Body},
    connect::parameters,
    request,
};
use axum::{
    Json, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

type Asked = State<Arc<dyn Steering>>;

const CONTENT: &str =
    "what a merchant's file says, as JSON: { \"deliver\": [ { \"connector\": \"orders\", \"sink\": { … } } ] }";

pub(crate) fn routes(steering: Arc<dyn Steering>) -> Router {
    Router::new()
        .route("/v1/lanes/{lane}", get(lane))
        .route("/v1/merchants", get(list).post(create))
        .route("/v1/merchants/{id}", get(show).put(put).delete(remove))
        .route("/v1/merchants/{id}/config", get(config))
        .route("/v1/merchants/{id}/test", post(test))
        .route("/v1/merchants/{id}/{action}", post(act))
        .with_state(steering)
}

async fn create(State(steering): Asked, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let content: Map<String, Value> = body::read(&headers, body, CONTENT)?;
    let id = match content.get("merchant") {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => return Err(Refusal::malformed(format!("`merchant` is missing: whose records? Allowed: {CONTENT}"))),
    };
    let placed = steering.put(&id, Value::Object(content), crate::Expected::Nothing).await?;
    Ok((StatusCode::CREATED, tag(placed.revision), Json(placed)).into_response())
}

async fn put(
    State(steering): Asked,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let Path(id) = id.map_err(unreadable)?;
    let content = of_merchant(&id, body::read(&headers, body, CONTENT)?)?;
    let placed = steering.put(&id, content, body::expected(&headers)?).await?;
    let status = if placed.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, tag(placed.revision), Json(placed)).into_response())
}

/// What is said of a merchant, with his id in it.
pub(crate) fn of_merchant(id: &str, mut content: Map<String, Value>) -> Result<Value, Refusal> {
    let said = content.entry("merchant").or_insert_with(|| id.into());
    if said.as_str() != Some(id) && said.as_i64().map(|said| said.to_string()).as_deref() != Some(id) {
        return Err(Refusal::malformed(format!("the body is of merchant {said}, and the path's is {id:?}")));
    }
    Ok(Value::Object(content))
}

async fn config(State(steering): Asked, id: Result<Path<String>, PathRejection>) -> Result<Response, Refusal> {
    let Path(id) = id.map_err(unreadable)?;
    let known = steering.content(&id)?;
    Ok((tag(known.revision), Json(known.content)).into_response())
}

async fn remove(
    State(steering): Asked,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Path(id) = id.map_err(unreadable)?;
    let mut undelivered = None;
    for (key, value) in parameters(query.as_deref()).filter(|(key, _)| key == "undelivered") {
        let known = Undelivered::ALL.into_iter().find(|(word, _)| *word == value).map(|(_, known)| known);
        let unknown = || Refusal::malformed(format!("{key} is {value:?}; allowed: keep, drop"));
        undelivered = Some(known.ok_or_else(unknown)?);
    }
    steering.remove(&id, undelivered, body::expected(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn test(
    State(steering): Asked,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let Path(id) = id.map_err(unreadable)?;
    let connector = parameters(query.as_deref()).find(|(key, _)| key == "connector").map(|(_, value)| value);
    let steps = steering.test(&id, connector.as_deref()).await?;
    Ok(Json(json!({ "ok": steps.iter().all(|step| step.ok), "steps": steps })).into_response())
}

fn tag(revision: u64) -> HeaderMap {
    let tag = HeaderValue::try_from(format!("\"{revision}\"")).expect("digits are a header's value");
    HeaderMap::from_iter([(header::ETAG, tag)])
}

async fn list(State(steering): Asked, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let wanted = request::wanted(query.as_deref().unwrap_or_default())?;
    Ok(Json(steering.merchants(wanted).await?).into_response())
}

async fn show(
    State(steering): Asked,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let Path(id) = id.map_err(unreadable)?;
    Ok(Json(steering.merchant(&id, is_local(query.as_deref())).await?).into_response())
}

async fn lane(
    State(steering): Asked,
    lane: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let Path(lane) = lane.map_err(unreadable)?;
    let lane = lane.parse().map_err(|_| Refusal::malformed(format!("{lane:?} is no lane; allowed: its number")))?;
    Ok(Json(steering.lane(lane, is_local(query.as_deref())).await?).into_response())
}

/// Of this worker's shards alone.
fn is_local(query: Option<&str>) -> bool {
    parameters(query).any(|(key, value)| key == "local" && value == "true")
}

async fn act(
    State(steering): Asked,
    path: Result<Path<(String, String)>, PathRejection>,
    body: Body,
) -> Result<Response, Refusal> {
    let Path((id, action)) = path.map_err(unreadable)?;
    let body = body.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
    let accepted = steering.act(&id, request::request(&action, &body)?).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

pub(crate) fn unreadable(rejection: PathRejection) -> Refusal {
    Refusal::malformed(format!("the path cannot be read, it is UTF-8 in percent encoding: {rejection}"))
}

/// Over all workers, as each of them said last.
pub(crate) fn lag(workers: &[Worker], with_partitions: bool) -> Response {
    let mut connectors: BTreeMap<&str, Lag> = BTreeMap::new();
    let known = workers.iter().filter_map(|worker| worker.status.as_deref());
    for (name, one) in known.flat_map(|status| &status.connectors) {
        let lag = Lag {
            lag_records: one.lag_records,
            lag_seconds: one.lag_seconds,
            retention_left_seconds: one.retention_left_seconds,
            retention_alarms: one.retention_alarms,
            lanes_behind: one.lanes_behind,
            lanes_parked: one.lanes_parked,
            partitions: Vec::new(),
        };
        match connectors.remove(name.as_str()) {
            Some(known) => drop(connectors.insert(name, known.and(lag))),
            None => drop(connectors.insert(name, lag)),
        }
    }
    if with_partitions {
        for (name, lag) in &mut connectors {
            lag.partitions = partitions(workers, name);
        }
    }
    let total: u64 = connectors.values().map(|one| one.lag_records).sum();
    let shards: BTreeSet<u32> =
        workers.iter().filter(|one| one.status.is_some()).flat_map(|one| one.shards.clone()).collect();
    let unheard: Vec<&str> =
        workers.iter().filter(|one| one.trouble.is_some()).map(|one| one.worker_id.as_str()).collect();
    let mut told = json!({ "lag_records": total, "connectors": connectors, "shards": shards });
    if !unheard.is_empty() {
        told["unheard"] = json!(unheard);
    }
    Json(told).into_response()
}

/// Of those that it reads live, and whose worker says how they stand.
fn partitions(workers: &[Worker], connector: &str) -> Vec<PartitionLag> {
    let known = workers.iter().filter_map(|worker| worker.status.as_deref());
    let all = known.flat_map(|status| status.shards.values()).flat_map(|shard| &shard.partitions);
    let mut own: Vec<PartitionLag> = all
        .filter_map(|one| {
            let from = *one.floors.get(connector)?;
            let lag_records = (one.end - from).max(0) as u64;
            let (topic, partition) = (one.topic.clone(), one.partition);
            Some(PartitionLag { topic, partition, undelivered_from: from, end: one.end, lag_records })
        })
        .collect();
    own.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
    own
}

/// The log from the first offset that some live delivery has not decided; one that is parked is in the lanes' own lag.
#[derive(Clone, Serialize)]
struct PartitionLag {
    topic: String,
    partition: u32,
    undelivered_from: i64,
    end: i64,
    lag_records: u64,
}

#[derive(Clone, Serialize)]
struct Lag {
    lag_records: u64,
    lag_seconds: Option<u64>,
    retention_left_seconds: Option<u64>,
    retention_alarms: u64,
    lanes_behind: u64,
    lanes_parked: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<PartitionLag>,
}

impl Lag {
    fn and(self, other: Lag) -> Lag {
        Lag {
            lag_records: self.lag_records + other.lag_records,
            // Unknown in one place is unknown.
            lag_seconds: self.lag_seconds.zip(other.lag_seconds).map(|(one, other)| one.max(other)),
            retention_left_seconds: self.retention_left_seconds.into_iter().chain(other.retention_left_seconds).min(),
            retention_alarms: self.retention_alarms + other.retention_alarms,
            lanes_behind: self.lanes_behind + other.lanes_behind,
            lanes_parked: self.lanes_parked + other.lanes_parked,
            partitions: Vec::new(),
        }
    }
}
