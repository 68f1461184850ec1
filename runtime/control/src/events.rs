//! What happened of late: the paths `/v1/events` and `/v1/merchants/{id}/events`.

use crate::{
    Refusal,
    connect::parameters,
    request::{limit, text},
};
use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// What workers remember of their last hours.
#[async_trait]
pub trait Events: Send + Sync {
    async fn events(&self, sought: Sought) -> Result<EventPage, Refusal>;
}

/// Newest first.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct EventPage {
    pub events: Vec<Event>,
    /// The next page's `after`.
    pub next: Option<String>,
    /// Since then nothing is missing of what these workers were asked for; RFC 3339.
    pub since: String,
    /// Who answered.
    pub workers: Vec<String>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Time, number and worker: the newer one has the greater text.
    pub id: String,
    /// RFC 3339.
    pub at: String,
    pub worker: String,
    /// INFO, WARN or ERROR.
    pub level: String,
    pub kind: String,
    /// Of a fault.
    pub code: Option<String>,
    pub connector: Option<String>,
    pub merchant: Option<String>,
    pub lane: Option<u32>,
    pub shard: Option<u32>,
    pub message: String,
    /// All else that the log says.
    pub fields: BTreeMap<String, String>,
}

/// What is asked for; none is all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sought {
    /// Milliseconds since 1970 UTC.
    pub since_ms: Option<u64>,
    pub connector: Option<String>,
    pub merchant: Option<String>,
    pub kind: Option<String>,
    pub code: Option<String>,
    /// This one and worse.
    pub level: Option<EventLevel>,
    /// Older than the event of this id.
    pub after: Option<String>,
    pub limit: usize,
    /// Of the worker that is asked alone.
    pub local: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EventLevel {
    Info,
    Warn,
    Error,
}

impl EventLevel {
    pub const ALL: [(&str, EventLevel); 3] =
        [("INFO", EventLevel::Info), ("WARN", EventLevel::Warn), ("ERROR", EventLevel::Error)];

    pub fn name(self) -> &'static str {
        EventLevel::ALL.into_iter().find(|(_, level)| *level == self).map_or("", |(name, _)| name)
    }
}

type Asked = State<Arc<dyn Events>>;

const LIMIT_DEFAULT: usize = 100;
const AGES: [(char, u64); 4] = [('s', 1_000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];

pub(crate) fn routes(events: Arc<dyn Events>) -> Router {
    Router::new()
        .route("/v1/events", get(list))
        .route("/v1/merchants/{id}/events", get(list_of_merchant))
        .with_state(events)
}

async fn list(State(events): Asked, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    Ok(Json(events.events(sought(query.as_deref(), now_ms())?).await?).into_response())
}

/// A merchant sees these alone, whatever the query says.
async fn list_of_merchant(
    State(events): Asked,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let Path(id) = id.map_err(crate::merchants::unreadable)?;
    let sought = sought(query.as_deref(), now_ms())?;
    if sought.merchant.as_ref().is_some_and(|other| *other != id) {
        return Err(Refusal::malformed(format!("the query's merchant is not the path's, which is {id:?}")));
    }
    Ok(Json(events.events(Sought { merchant: Some(id), ..sought }).await?).into_response())
}

/// Since 1970 UTC.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
}

fn sought(query: Option<&str>, now_ms: u64) -> Result<Sought, Refusal> {
    let mut sought = Sought::of_all(LIMIT_DEFAULT);
    for (key, value) in parameters(query) {
        text(&key, &value)?;
        match key.as_str() {
            "since" => sought.since_ms = Some(since(&value, now_ms)?),
            "connector" => sought.connector = Some(value),
            "merchant" => sought.merchant = Some(value),
            "kind" => sought.kind = Some(value),
            "code" => sought.code = Some(value),
            "level" => sought.level = Some(level(&value)?),
            "after" => sought.after = Some(cursor(value)?),
            "limit" => sought.limit = limit(&value)?,
            "local" => sought.local = value == "true",
            _ => {
                let allowed = "since, connector, merchant, kind, code, level, limit, after";
                return Err(Refusal::malformed(format!("events are not asked for by {key:?}; allowed: {allowed}")));
            }
        }
    }
    Ok(sought)
}

/// A time, or an age.
pub(crate) fn since(text: &str, now_ms: u64) -> Result<u64, Refusal> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_millis().max(0) as u64);
    }
    let age = text.char_indices().next_back().and_then(|(at, last)| {
        let (_, unit) = AGES.into_iter().find(|(unit, _)| *unit == last)?;
        text[..at].parse::<u64>().ok()?.checked_mul(unit)
    });
    let allowed = "an age as 90s, 15m, 2h or 1d, or a time as 2026-11-01T00:00:00Z";
    let age = age.ok_or_else(|| Refusal::malformed(format!("since is {text:?}; allowed: {allowed}")))?;
    Ok(now_ms.saturating_sub(age))
}

fn level(text: &str) -> Result<EventLevel, Refusal> {
    let known = EventLevel::ALL.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    let allowed = EventLevel::ALL.map(|(name, _)| name.to_ascii_lowercase()).join(", ");
    let unknown = || Refusal::malformed(format!("level is {text:?}; allowed: {allowed}: this one and worse"));
    known.map(|(_, level)| level).ok_or_else(unknown)
}

fn cursor(text: String) -> Result<String, Refusal> {
    let digits = |part: Option<&str>, many: usize| {
        part.is_some_and(|part| part.len() == many && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut parts = text.splitn(3, '-');
    if digits(parts.next(), TIME_DIGITS) && digits(parts.next(), NUMBER_DIGITS) && parts.next().is_some() {
        return Ok(text);
    }
    Err(Refusal::malformed(format!("after is {text:?}; allowed: the `next` of an answer, or the `id` of an event")))
}

const TIME_DIGITS: usize = 13;
const NUMBER_DIGITS: usize = 10;

impl Event {
    /// In the order of time, over all workers.
    pub fn id(at_ms: u64, number: u64, worker: &str) -> String {
        format!("{at_ms:0TIME_DIGITS$}-{number:0NUMBER_DIGITS$}-{worker}")
    }
}

impl Sought {
    pub fn of_all(limit: usize) -> Sought {
        Sought {
            since_ms: None,
            connector: None,
            merchant: None,
            kind: None,
            code: None,
            level: None,
            after: None,
            limit,
            local: false,
        }
    }

    /// As another worker is asked the same of itself.
    pub fn query(&self) -> String {
        let Sought { since_ms, connector, merchant, kind, code, level, after, limit, local: _ } = self;
        let (since, limit) = (since_ms.map(rfc3339), limit.to_string());
        let level = level.map(EventLevel::name);
        let parts = [
            ("since", since.as_deref()),
            ("connector", connector.as_deref()),
            ("merchant", merchant.as_deref()),
            ("kind", kind.as_deref()),
            ("code", code.as_deref()),
            ("level", level),
            ("after", after.as_deref()),
            ("limit", Some(limit.as_str())),
            ("local", Some("true")),
        ];
        let said = parts.into_iter().filter_map(|(key, value)| Some((key, value?)));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(said).finish()
    }
}

/// A time as people read it.
pub fn rfc3339(at_ms: u64) -> String {
    let time = i64::try_from(at_ms).ok().and_then(DateTime::from_timestamp_millis);
    time.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_is_passed_on_is_the_same_question_of_one_worker() {
        let query = "since=2h&connector=a%26b&merchant=10%2F01&kind=lane-parked&code=c&level=warn&limit=5";
        let asked = sought(Some(query), 1_764_000_000_123).expect("it is right");
        let passed_on = sought(Some(&asked.query()), 0).expect("it is right as well");
        assert_eq!(passed_on, Sought { local: true, ..asked });
    }

    #[test]
    fn since_is_a_time_or_an_age_and_nothing_else() {
        assert_eq!(since("1970-01-01T00:00:01Z", 0).ok(), Some(1_000));
        assert_eq!(
            ["2s", "1m", "1h", "9d"].map(|age| since(age, 3_600_000).ok()),
            [Some(3_598_000), Some(3_540_000), Some(0), Some(0)]
        );
        for wrong in ["", "h", "2", "-2h", "2w", "99999999999999999999h", "18446744073709551615d", "2ü", "yesterday"] {
            let told = since(wrong, 0).expect_err(wrong);
            assert!(told.message().contains("15m"), "{told:?}");
        }
    }

    #[test]
    fn ids_are_in_the_order_of_time_and_are_taken_as_cursors() {
        let ids = [(9, 2, "b:1"), (10, 3, "a:1"), (10, 3, "b-c:1"), (10, 20, "a:1"), (1_764_000_000_000, 4, "a:1")];
        let ids = ids.map(|(at_ms, number, worker)| Event::id(at_ms, number, worker));
        assert!(ids.is_sorted());
        assert!(ids.into_iter().all(|id| cursor(id).is_ok()));
        assert!(["", "5", "1-2-a", "x"].iter().all(|text| cursor((*text).to_owned()).is_err()));
    }
}
