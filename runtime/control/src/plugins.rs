//! Kafka Connect's paths below `/connector-plugins`.

use crate::{
    Connectors, Flat, Refusal,
    body::{self, Body, FLAT},
    connect::{Asked, at},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use std::sync::Arc;

pub(crate) fn routes(connectors: Arc<dyn Connectors>) -> Router {
    let router = Router::new();
    let router = at(router, "/connector-plugins", get(list));
    let router = at(router, "/connector-plugins/{plugin}/config", get(keys));
    let router = at(router, "/connector-plugins/{plugin}/config/validate", put(validate));
    router.with_state(connectors)
}

/// There are no plugins but connectors, whatever `connectorsOnly` says.
async fn list(State(connectors): Asked) -> Response {
    Json(connectors.plugins()).into_response()
}

async fn keys(State(connectors): Asked, Path(plugin): Path<String>) -> Result<Response, Refusal> {
    Ok(Json(connectors.keys(&plugin)?).into_response())
}

async fn validate(
    State(connectors): Asked,
    Path(plugin): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let config: Flat = body::flat(body::read(&headers, body, FLAT)?)?;
    Ok(Json(connectors.validate(&plugin, &config)?).into_response())
}
