//! The paths below `/v1/merchants`, and `/v1/lag`.

use crate::{Board, Refusal, Steering, request};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        Path, RawQuery, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use std::sync::Arc;

type Asked = State<Arc<dyn Steering>>;

pub(crate) fn routes(steering: Arc<dyn Steering>) -> Router {
    Router::new()
        .route("/v1/merchants", get(list))
        .route("/v1/merchants/{id}", get(show))
        .route("/v1/merchants/{id}/{action}", post(act))
        .with_state(steering)
}

async fn list(State(steering): Asked, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let wanted = request::wanted(query.as_deref().unwrap_or_default())?;
    Ok(Json(steering.merchants(wanted).await?).into_response())
}

async fn show(State(steering): Asked, id: Result<Path<String>, PathRejection>) -> Result<Response, Refusal> {
    let Path(id) = id.map_err(unreadable)?;
    Ok(Json(steering.merchant(&id).await?).into_response())
}

async fn act(
    State(steering): Asked,
    path: Result<Path<(String, String)>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let Path((id, action)) = path.map_err(unreadable)?;
    let body = body.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
    let accepted = steering.act(&id, request::request(&action, &body)?).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

fn unreadable(rejection: PathRejection) -> Refusal {
    Refusal::malformed(format!("the path cannot be read, it is UTF-8 in percent encoding: {rejection}"))
}

/// Of this worker's shards, as last published.
pub(crate) fn lag(board: &Board) -> Response {
    let status = board.look();
    let connectors: serde_json::Map<_, _> = status
        .connectors
        .iter()
        .map(|(name, one)| {
            let lag = json!({
                "lag_records": one.lag_records, "lag_seconds": one.lag_seconds,
                "retention_left_seconds": one.retention_left_seconds, "retention_alarms": one.retention_alarms,
                "lanes_behind": one.lanes_behind, "lanes_parked": one.lanes_parked,
            });
            (name.clone(), lag)
        })
        .collect();
    let total: u64 = status.connectors.values().map(|one| one.lag_records).sum();
    let shards: Vec<u32> = status.shards.iter().filter(|(_, shard)| shard.owned).map(|(shard, _)| *shard).collect();
    Json(json!({ "lag_records": total, "connectors": connectors, "shards": shards })).into_response()
}
