use crate::{
    Access, Board, Connectors, DeadLetters, Documents, DryRuns, Events, Group, Loggers, Phase, Refusal, Steering,
    access::guard,
    connect::{self, at, parameters},
    dead_letters,
    documents::{self, IMPORT_BYTES_MAX},
    dry_run, events, loggers, merchants,
    metrics::metrics,
    plugins,
};
use axum::{
    Json, Router,
    body::HttpBody,
    extract::{DefaultBodyLimit, RawQuery, Request, State},
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use std::{net::IpAddr, sync::Arc};

/// As a file of the configuration.
const BODY_BYTES_MAX: usize = 1024 * 1024;
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Whom requests go to.
#[derive(Clone)]
pub struct Asked {
    pub steering: Arc<dyn Steering>,
    pub connectors: Arc<dyn Connectors>,
    pub dead_letters: Arc<dyn DeadLetters>,
    pub documents: Arc<dyn Documents>,
    pub loggers: Arc<dyn Loggers>,
    pub events: Arc<dyn Events>,
    pub group: Arc<dyn Group>,
    pub dry_runs: Arc<dyn DryRuns>,
}

/// Where we are reached, and by whom.
#[derive(Clone)]
pub struct Site {
    pub is_loopback: bool,
    pub access: Access,
}

#[derive(Clone)]
struct Shown {
    board: Board,
    group: Arc<dyn Group>,
    version: &'static str,
}

pub fn router(board: Board, asked: Asked, version: &'static str, site: Site) -> Router {
    let Asked { steering, connectors, dead_letters: letters, documents, dry_runs, loggers, events, group } = asked;
    at(Router::new(), "/health", get(health))
        .route("/", get(root))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(prometheus))
        .route("/openapi.json", get(openapi))
        .route("/v1/status", get(status))
        .route("/v1/lag", get(lag))
        .route("/v1/workers", get(workers))
        .with_state(Shown { board, group, version })
        .merge(merchants::routes(steering))
        .merge(dead_letters::routes(letters))
        .merge(dry_run::routes(dry_runs))
        .merge(documents::routes(documents))
        .merge(connect::routes(Arc::clone(&connectors)))
        .merge(plugins::routes(connectors))
        .merge(loggers::routes(loggers))
        .merge(events::routes(events))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "HTTP 404 Not Found") })
        .method_not_allowed_fallback(|| async { error(StatusCode::METHOD_NOT_ALLOWED, "HTTP 405 Method Not Allowed") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(site.access.clone(), guard))
        .layer(middleware::from_fn_with_state(site, limits))
}

fn error(status: StatusCode, message: impl Into<String>) -> Response {
    Refusal::new(status, message).into_response()
}

/// Clients take the version's first two numbers for Kafka Connect's, and know by them what can be asked.
const CONNECT_VERSION: &str = "3.9.0";

async fn root(State(shown): State<Shown>) -> Response {
    let version = format!("{CONNECT_VERSION}-outflow-{}", shown.version);
    let cluster = shown.board.look().cluster_id.clone();
    Json(json!({ "version": version, "commit": "unknown", "kafka_cluster_id": cluster })).into_response()
}

/// Kafka Connect's one; `/health/ready` says more.
async fn health(State(shown): State<Shown>) -> Response {
    let status = shown.board.look();
    let (code, word, message) = match (&status.phase, status.not_ready()) {
        (Phase::Failed { .. }, reason) => (StatusCode::INTERNAL_SERVER_ERROR, "unhealthy", reason.unwrap_or_default()),
        (Phase::Starting, reason) => (StatusCode::SERVICE_UNAVAILABLE, "starting", reason.unwrap_or_default()),
        _ => (StatusCode::OK, "healthy", "the worker takes requests".to_owned()),
    };
    (code, Json(json!({ "status": word, "message": message }))).into_response()
}

async fn live(State(shown): State<Shown>) -> Response {
    match &shown.board.look().phase {
        Phase::Failed { code, hint } => error(StatusCode::SERVICE_UNAVAILABLE, format!("{code}: {hint}")),
        _ => Json(json!({ "status": "alive" })).into_response(),
    }
}

async fn ready(State(shown): State<Shown>) -> Response {
    let status = shown.board.look();
    match status.not_ready() {
        Some(reason) => error(StatusCode::SERVICE_UNAVAILABLE, reason),
        None => {
            let alarms = json!({ "retention": status.retention_alarms() });
            let ready = json!({ "status": "ready", "shards_owned": status.shards_owned(), "alarms": alarms });
            Json(ready).into_response()
        }
    }
}

async fn prometheus(State(shown): State<Shown>) -> Response {
    let page = metrics(&shown.board.look(), shown.version);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response()
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("../openapi.json")).into_response()
}

async fn status(State(shown): State<Shown>) -> Response {
    Json(&*shown.board.look()).into_response()
}

async fn lag(State(shown): State<Shown>, RawQuery(query): RawQuery) -> Response {
    let with_partitions = parameters(query.as_deref()).any(|(key, value)| key == "partitions" && value == "true");
    merchants::lag(&shown.group.workers(), with_partitions)
}

async fn workers(State(shown): State<Shown>) -> Response {
    Json(json!({ "workers": shown.group.workers() })).into_response()
}

async fn limits(State(site): State<Site>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADER_BYTES_MAX {
        let message = format!("headers have {size} bytes; at most {HEADER_BYTES_MAX}");
        return error(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message);
    }
    let most = if request.uri().path() == "/v1/import" { IMPORT_BYTES_MAX } else { BODY_BYTES_MAX };
    if request.body().size_hint().lower() > most as u64 {
        return error(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {most} bytes"));
    }
    // With tokens, no page can speak for its reader: it does not have them.
    if !site.is_loopback || !site.access.is_open() {
        return next.run(request).await;
    }
    if !is_for_this_machine(headers) {
        return error(StatusCode::FORBIDDEN, "this address answers to localhost, 127.0.0.1 and [::1] only");
    }
    if !is_from_this_machine(headers) {
        return error(StatusCode::FORBIDDEN, "a page of another site must not steer this worker through a browser");
    }
    next.run(request).await
}

/// A web page may point a name of its own at loopback; it must not read us through the user's browser.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| is_loopback(&authority))
}

/// Browsers say which site's page asks; it may send what we would obey without being able to read our answer.
fn is_from_this_machine(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    origin.is_some_and(|origin| origin.authority().is_some_and(is_loopback))
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
