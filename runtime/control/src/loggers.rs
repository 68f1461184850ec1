//! Kafka Connect's paths below `/admin/loggers`.

use crate::{
    Refusal,
    body::{self, Body},
    connect::{at, parameters},
};
use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What is logged, by target: `root` is everything that no other one says.
#[async_trait]
pub trait Loggers: Send + Sync {
    fn all(&self) -> BTreeMap<String, LoggerLevel>;
    /// Answers the loggers that changed. `level` is one of [`LEVELS`].
    fn set(&self, logger: &str, level: &str) -> Result<Vec<String>, Refusal>;
    /// On all workers that can be reached.
    async fn set_everywhere(&self, logger: &str, level: &str) -> Result<(), Refusal>;
}

/// In Connect's words.
pub const LEVELS: [&str; 7] = ["OFF", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LoggerLevel {
    pub level: String,
    /// Milliseconds since 1970 UTC; null as it was at the start.
    pub last_modified: Option<u64>,
}

type Asked = State<Arc<dyn Loggers>>;

#[derive(Deserialize)]
struct Wanted {
    level: Option<String>,
}

pub(crate) fn routes(loggers: Arc<dyn Loggers>) -> Router {
    let router = Router::new();
    let router = at(router, "/admin/loggers", get(list));
    let router = at(router, "/admin/loggers/{logger}", get(show).put(set));
    router.with_state(loggers)
}

async fn list(State(loggers): Asked) -> Response {
    Json(loggers.all()).into_response()
}

async fn show(State(loggers): Asked, Path(logger): Path<String>) -> Result<Response, Refusal> {
    let known = loggers.all().remove(&logger);
    Ok(Json(known.ok_or_else(|| Refusal::unknown(format!("there is no logger {logger:?}")))?).into_response())
}

async fn set(
    State(loggers): Asked,
    Path(logger): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let Wanted { level } = body::read(&headers, body, "{ \"level\": \"DEBUG\" }")?;
    let level = level.ok_or_else(|| Refusal::malformed("level is missing; allowed: { \"level\": \"DEBUG\" }"))?;
    let known = LEVELS.into_iter().find(|known| level.eq_ignore_ascii_case(known));
    let unknown = || Refusal::unknown(format!("there is no level {level:?}; allowed: {}", LEVELS.join(", ")));
    let scope = parameters(query.as_deref()).find(|(key, _)| key == "scope").map(|(_, value)| value);
    let level = known.ok_or_else(unknown)?;
    if scope.is_some_and(|scope| scope.eq_ignore_ascii_case("cluster")) {
        loggers.set_everywhere(&logger, level).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Json(loggers.set(&logger, level)?).into_response())
}
