//! Kafka Connect's paths, so that its clients work unmodified: `/connectors` and what is below.

use crate::{
    Connectors, Expected, Info, Put, Refusal, RunState, Standing, Wish,
    body::{self, Body, Create, FLAT},
};
use axum::{
    Json, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post, put},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(crate) type Asked = State<Arc<dyn Connectors>>;
type Answer = Result<Response, Refusal>;

/// A segment of a path: percent encoded UTF-8.
struct Name(String);

pub(crate) fn routes(connectors: Arc<dyn Connectors>) -> Router {
    let router = Router::new();
    let router = at(router, "/connectors", get(list).post(create));
    let router = at(router, "/connectors/{name}", get(info).delete(remove));
    let router = at(router, "/connectors/{name}/config", get(config).put(configure).patch(patch));
    let router = at(router, "/connectors/{name}/status", get(status));
    let router = at(router, "/connectors/{name}/pause", put(pause));
    let router = at(router, "/connectors/{name}/resume", put(resume));
    let router = at(router, "/connectors/{name}/stop", put(stop));
    let router = at(router, "/connectors/{name}/restart", post(restart));
    let router = at(router, "/connectors/{name}/tasks", get(tasks));
    let router = at(router, "/connectors/{name}/tasks/{task}/status", get(task_status));
    let router = at(router, "/connectors/{name}/tasks/{task}/restart", post(restart_task));
    let router = at(router, "/connectors/{name}/topics", get(topics));
    let router = at(router, "/connectors/{name}/topics/reset", put(reset_topics));
    let router = at(router, "/connectors/{name}/offsets", get(offsets).patch(alter).merge(delete(reset)));
    router.with_state(connectors)
}

/// Also with a slash behind it, as some clients write.
pub(crate) fn at<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    path: &str,
    methods: MethodRouter<S>,
) -> Router<S> {
    router.route(path, methods.clone()).route(&format!("{path}/"), methods)
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Name {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Name, Refusal> {
        let path: Result<Path<Vec<(String, String)>>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path(segments) = path.map_err(|rejection| {
            Refusal::malformed(format!("the path cannot be read, it is UTF-8 in percent encoding: {rejection}"))
        })?;
        let name = segments.into_iter().find(|(key, _)| key == "name").map(|(_, name)| name);
        Ok(Name(name.unwrap_or_default()))
    }
}

/// Number of a task.
struct Task(u32);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Task {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Task, Refusal> {
        let path: Result<Path<Vec<(String, String)>>, PathRejection> = Path::from_request_parts(parts, state).await;
        let segments = path.map(|Path(segments)| segments).unwrap_or_default();
        let task = segments.into_iter().find(|(key, _)| key == "task").and_then(|(_, task)| task.parse().ok());
        // As the path would not be there at all.
        task.map(Task).ok_or_else(|| Refusal::unknown("HTTP 404 Not Found"))
    }
}

async fn list(State(connectors): Asked, RawQuery(query): RawQuery) -> Answer {
    let names = connectors.names()?;
    let expands: Vec<String> =
        parameters(query.as_deref()).filter(|(key, _)| key == "expand").map(|(_, value)| value).collect();
    let asks = |what: &str| expands.iter().any(|expand| expand == what);
    if expands.is_empty() {
        return Ok(Json(names).into_response());
    }
    let mut all = Map::new();
    for name in names {
        let mut one = Map::new();
        // Who goes meanwhile is left out.
        if asks("info") {
            let Ok(info) = connectors.info(&name) else { continue };
            one.insert("info".to_owned(), json!(info));
        }
        if asks("status") {
            let Ok(state) = connectors.state(&name).await else { continue };
            one.insert("status".to_owned(), json!(state));
        }
        all.insert(name, Value::Object(one));
    }
    Ok(Json(all).into_response())
}

async fn create(State(connectors): Asked, headers: HeaderMap, body: Body) -> Answer {
    let allowed = "{ \"name\": \"orders\", \"config\": { … }, \"initial_state\": \"RUNNING\" }, the last one optional";
    let Create { name, config, initial_state } = body::read(&headers, body, allowed)?;
    let missing = |what: &str| Refusal::malformed(format!("{what} is missing; allowed: {allowed}"));
    let config = body::flat(config.ok_or_else(|| missing("config"))?)?;
    let name = name.or_else(|| config.get("name").cloned()).ok_or_else(|| missing("name"))?;
    let (name, standing) = (name.trim().to_owned(), body::standing(initial_state.as_deref())?);
    let kept = connectors.put(Put { name, config, expected: Expected::Nothing, standing }).await?;
    Ok(shown(StatusCode::CREATED, &kept.info, true))
}

async fn info(State(connectors): Asked, Name(name): Name) -> Answer {
    Ok(shown(StatusCode::OK, &connectors.info(&name)?, false))
}

async fn config(State(connectors): Asked, Name(name): Name) -> Answer {
    let info = connectors.info(&name)?;
    Ok((tag(&info), Json(info.config)).into_response())
}

async fn configure(State(connectors): Asked, Name(name): Name, headers: HeaderMap, body: Body) -> Answer {
    let config = body::flat(body::read(&headers, body, FLAT)?)?;
    let put = Put { name, config, expected: body::expected(&headers)?, standing: Standing::Running };
    let kept = connectors.put(put).await?;
    let status = if kept.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(shown(status, &kept.info, kept.is_new))
}

async fn patch(State(connectors): Asked, Name(name): Name, headers: HeaderMap, body: Body) -> Answer {
    let changes = body::patch(body::read(&headers, body, FLAT)?)?;
    let known = connectors.info(&name)?;
    let mut config = known.config;
    for (key, value) in changes {
        match value {
            Some(value) => drop(config.insert(key, value)),
            None => drop(config.remove(&key)),
        }
    }
    // Between the two nobody else may come.
    let expected = match (body::expected(&headers)?, known.revision) {
        (Expected::Anything, Some(revision)) => Expected::Revision(revision),
        (expected, _) => expected,
    };
    let kept = connectors.put(Put { name, config, expected, standing: Standing::Running }).await?;
    Ok(shown(StatusCode::OK, &kept.info, false))
}

async fn remove(State(connectors): Asked, Name(name): Name, RawQuery(query): RawQuery, headers: HeaderMap) -> Answer {
    let force = parameters(query.as_deref()).any(|(key, value)| key == "force" && value == "true");
    connectors.remove(&name, body::expected(&headers)?, force).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn status(State(connectors): Asked, Name(name): Name) -> Answer {
    Ok(Json(connectors.state(&name).await?).into_response())
}

async fn pause(State(connectors): Asked, Name(name): Name) -> Answer {
    connectors.stand(&name, Standing::Paused).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn resume(State(connectors): Asked, Name(name): Name) -> Answer {
    connectors.stand(&name, Standing::Running).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn stop(State(connectors): Asked, Name(name): Name) -> Answer {
    connectors.stand(&name, Standing::Stopped).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn restart(State(connectors): Asked, Name(name): Name, RawQuery(query): RawQuery) -> Answer {
    let asks = |wanted: &str| parameters(query.as_deref()).any(|(key, value)| key == wanted && value == "true");
    let (with_tasks, only_failed) = (asks("includeTasks"), asks("onlyFailed"));
    connectors.restart(&name, None).await?;
    if !with_tasks && !only_failed {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut state = connectors.state(&name).await?;
    let is_affected = |state: RunState| state == RunState::Failed || !only_failed && state == RunState::Running;
    if is_affected(state.connector.state) {
        state.connector.state = RunState::Restarting;
    }
    for task in state.tasks.iter_mut().filter(|task| with_tasks && is_affected(task.state)) {
        (task.state, task.trace) = (RunState::Restarting, None);
    }
    Ok((StatusCode::ACCEPTED, Json(state)).into_response())
}

async fn tasks(State(connectors): Asked, Name(name): Name) -> Answer {
    let Info { config, tasks, .. } = connectors.info(&name)?;
    let config = |task: u32| {
        let mut config = config.clone();
        config.insert("task.shard".to_owned(), task.to_string());
        config
    };
    let tasks: Vec<Value> = tasks.iter().map(|id| json!({ "id": id, "config": config(id.task) })).collect();
    Ok(Json(tasks).into_response())
}

async fn task_status(State(connectors): Asked, Name(name): Name, Task(task): Task) -> Answer {
    let state = connectors.state(&name).await?;
    let one = state.tasks.into_iter().find(|one| one.id == task).ok_or_else(|| no_task(&name, task))?;
    Ok(Json(one).into_response())
}

async fn restart_task(State(connectors): Asked, Name(name): Name, Task(task): Task) -> Answer {
    if !connectors.info(&name)?.tasks.iter().any(|id| id.task == task) {
        return Err(no_task(&name, task));
    }
    connectors.restart(&name, Some(task)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn no_task(name: &str, task: u32) -> Refusal {
    Refusal::unknown(format!("connector {name:?} has no task {task}"))
}

async fn topics(State(connectors): Asked, Name(name): Name) -> Answer {
    let topics = connectors.topics(&name)?;
    Ok(Json(json!({ name: { "topics": topics } })).into_response())
}

/// As a Connect worker with `topic.tracking.allow.reset=false`.
async fn reset_topics(State(connectors): Asked, Name(name): Name) -> Answer {
    connectors.topics(&name)?;
    Err(Refusal::forbidden(
        "the topics of a connector are those of its configuration, and are not tracked: nothing to reset",
    ))
}

async fn offsets(State(connectors): Asked, Name(name): Name) -> Answer {
    let offsets: Vec<Value> = connectors
        .offsets(&name)
        .await?
        .into_iter()
        .map(|one| {
            json!({
                "partition": { "kafka_topic": one.topic, "kafka_partition": one.partition },
                "offset": { "kafka_offset": one.offset },
            })
        })
        .collect();
    Ok(Json(json!({ "offsets": offsets })).into_response())
}

async fn alter(State(connectors): Asked, Name(name): Name, headers: HeaderMap, body: Body) -> Answer {
    let wishes: Vec<Wish> = body::wishes(&headers, body)?;
    let message = connectors.alter(&name, Some(wishes)).await?;
    Ok(Json(json!({ "message": message })).into_response())
}

async fn reset(State(connectors): Asked, Name(name): Name) -> Answer {
    let message = connectors.alter(&name, None).await?;
    Ok(Json(json!({ "message": message })).into_response())
}

pub(crate) fn parameters(query: Option<&str>) -> impl Iterator<Item = (String, String)> + use<'_> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned()
}

fn shown(status: StatusCode, info: &Info, with_location: bool) -> Response {
    let mut headers = tag(info);
    if with_location {
        let name: String = form_urlencoded::byte_serialize(info.name.as_bytes()).collect();
        headers
            .extend(HeaderValue::try_from(format!("/connectors/{name}")).ok().map(|place| (header::LOCATION, place)));
    }
    (status, headers, Json(info)).into_response()
}

/// For `If-Match`.
fn tag(info: &Info) -> HeaderMap {
    let tag = info.revision.and_then(|revision| HeaderValue::try_from(format!("\"{revision}\"")).ok());
    tag.map(|tag| (header::ETAG, tag)).into_iter().collect::<HeaderMap<HeaderValue>>()
}
