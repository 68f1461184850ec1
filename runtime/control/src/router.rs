use crate::{Board, Phase, Refusal, Steering, merchants, metrics::metrics};
use axum::{
    Json, Router,
    body::HttpBody,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use std::{net::IpAddr, sync::Arc};

const BODY_BYTES_MAX: usize = 64 * 1024;
const HEADER_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone)]
struct Shown {
    board: Board,
    version: &'static str,
}

pub fn router(board: Board, steering: Arc<dyn Steering>, version: &'static str) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(prometheus))
        .route("/v1/status", get(status))
        .route("/v1/lag", get(lag))
        .with_state(Shown { board, version })
        .merge(merchants::routes(steering))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "HTTP 404 Not Found") })
        .method_not_allowed_fallback(|| async { error(StatusCode::METHOD_NOT_ALLOWED, "HTTP 405 Method Not Allowed") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(limits))
}

fn error(status: StatusCode, message: impl Into<String>) -> Response {
    Refusal::new(status, message).into_response()
}

async fn root(State(shown): State<Shown>) -> Response {
    Json(json!({ "name": "outflow", "version": shown.version })).into_response()
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

async fn status(State(shown): State<Shown>) -> Response {
    Json(&*shown.board.look()).into_response()
}

async fn lag(State(shown): State<Shown>) -> Response {
    merchants::lag(&shown.board)
}

async fn limits(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADER_BYTES_MAX {
        let message = format!("headers have {size} bytes; at most {HEADER_BYTES_MAX}");
        return error(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message);
    }
    if request.body().size_hint().lower() > BODY_BYTES_MAX as u64 {
        return error(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {BODY_BYTES_MAX} bytes"));
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
