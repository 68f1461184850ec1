//! Bodies as Kafka Connect's clients send them.

use crate::{Expected, Flat, Refusal, Standing, Wish};
use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::{HeaderMap, StatusCode, header},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub(crate) type Body = Result<Bytes, BytesRejection>;

/// Of a path's rest, for messages.
pub(crate) const FLAT: &str = "a JSON object of keys and texts: { \"connector.class\": \"…\", \"topics\": \"orders\" }";

#[derive(Deserialize)]
pub(crate) struct Create {
    pub name: Option<String>,
    pub config: Option<Map<String, Value>>,
    pub initial_state: Option<String>,
}

#[derive(Deserialize)]
struct Offsets {
    offsets: Option<Vec<Offset>>,
}

#[derive(Deserialize)]
struct Offset {
    partition: Option<Map<String, Value>>,
    offset: Option<Map<String, Value>>,
}

pub(crate) fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body, allowed: &str) -> Result<T, Refusal> {
    let bytes = body.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default().to_ascii_lowercase());
    if kind.is_some_and(|kind| !kind.trim_start().starts_with("application/json")) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "HTTP 415 Unsupported Media Type: application/json",
        ));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::malformed(format!("the body cannot be read: {error}; allowed: {allowed}")))
}

/// Numbers and true or false are taken as their texts. `None`: the key is to go, which only a patch may say.
pub(crate) fn patch(values: Map<String, Value>) -> Result<Vec<(String, Option<String>)>, Refusal> {
    let text = |(key, value): (String, Value)| {
        let value = match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            Value::Array(_) | Value::Object(_) => {
                let hint = "write lists and objects as a text that holds their JSON";
                return Err(Refusal::malformed(format!("{key:?} is no text; allowed: {FLAT}; hint: {hint}")));
            }
        };
        Ok((key, value))
    };
    values.into_iter().map(text).collect()
}

pub(crate) fn flat(values: Map<String, Value>) -> Result<Flat, Refusal> {
    let whole = |(key, value): (String, Option<String>)| {
        let nothing = || Refusal::malformed(format!("{key:?} is null; allowed: a text, or leave the key out"));
        Ok((key.clone(), value.ok_or_else(nothing)?))
    };
    patch(values)?.into_iter().map(whole).collect()
}

/// `initial_state` of a new connector.
pub(crate) fn standing(text: Option<&str>) -> Result<Standing, Refusal> {
    let Some(text) = text else { return Ok(Standing::Running) };
    let known = Standing::ALL.into_iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
    let allowed = Standing::ALL.map(|(word, _)| word).join(", ");
    let unknown = || Refusal::malformed(format!("initial_state is {text:?}; allowed: {allowed}"));
    known.map(|(_, standing)| standing).ok_or_else(unknown)
}

/// `If-Match: "7"`: as revision 7 said it; `If-None-Match: *`: there is none yet.
pub(crate) fn expected(headers: &HeaderMap) -> Result<Expected, Refusal> {
    let text =
        |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or("?").trim().to_owned());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Expected::Anything),
        (Some(star), None) if star == "*" => Ok(Expected::Something),
        (Some(tag), None) => {
            let revision = tag.trim_matches('"').parse().map_err(|_| {
                Refusal::malformed(format!("If-Match is {tag:?}; allowed: the ETag of an answer, such as \"7\", or *"))
            })?;
            Ok(Expected::Revision(revision))
        }
        (None, Some(star)) if star == "*" => Ok(Expected::Nothing),
        _ => Err(Refusal::malformed("allowed: If-Match, or If-None-Match: *, and not both")),
    }
}

pub(crate) const OFFSETS: &str = "{ \"offsets\": [ { \"partition\": { \"kafka_topic\": \"orders\", \
                                  \"kafka_partition\": 0 }, \"offset\": { \"kafka_offset\": 123 } } ] }, or null in \
                                  place of an offset";

pub(crate) fn wishes(headers: &HeaderMap, body: Body) -> Result<Vec<Wish>, Refusal> {
    let Offsets { offsets } = read(headers, body, OFFSETS)?;
    let wrong = |what: &str| Refusal::malformed(format!("{what}; allowed: {OFFSETS}"));
    let offsets = offsets.filter(|offsets| !offsets.is_empty()).ok_or_else(|| wrong("the body names no offsets"))?;
    let wish = |one: Offset| {
        let partition = one.partition.ok_or_else(|| wrong("a partition is missing"))?;
        let topic = partition.get("kafka_topic").and_then(Value::as_str).filter(|topic| !topic.is_empty());
        let topic = topic.ok_or_else(|| wrong("kafka_topic is missing"))?.to_owned();
        let number = partition.get("kafka_partition").and_then(whole).and_then(|number| u32::try_from(number).ok());
        let partition = number.ok_or_else(|| wrong("kafka_partition is no number of a partition"))?;
        let offset = match one.offset {
            None => None,
            Some(offset) => {
                let offset = offset.get("kafka_offset").and_then(whole).filter(|offset| *offset >= 0);
                Some(offset.ok_or_else(|| wrong("kafka_offset is no offset"))?)
            }
        };
        Ok(Wish { topic, partition, offset })
    };
    offsets.into_iter().map(wish).collect()
}

/// A number, or the text of one.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
