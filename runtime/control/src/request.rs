//! Bodies and queries as people write them → what is asked.

use crate::{Act, Alarm, Begin, Refusal, Request, State, Until, Wanted};
use chrono::DateTime;
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;
const TEXT_BYTES_MAX: usize = 200;

pub(crate) const ACTIONS: [&str; 7] = ["pause", "resume", "mend", "skip", "abandon", "replay", "reset"];

/// Of a list.
pub(crate) fn wanted(query: &str) -> Result<Wanted, Refusal> {
    let mut wanted = Wanted {
        connector: None,
        state: None,
        alarm: None,
        prefix: None,
        after: None,
        limit: LIMIT_DEFAULT,
        local: false,
    };
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.into_owned();
        text(&key, &value)?;
        match &*key {
            "connector" => wanted.connector = Some(value),
            "prefix" => wanted.prefix = Some(value),
            "after" => wanted.after = Some(value),
            "state" => wanted.state = Some(state(&value)?),
            "alarm" => wanted.alarm = Some(alarm(&value)?),
            "limit" => wanted.limit = limit(&value)?,
            "local" => wanted.local = value == "true",
            _ => {
                let allowed = "connector, state, alarm, prefix, after, limit";
                return Err(Refusal::malformed(format!("a list is not asked for by {key:?}; allowed: {allowed}")));
            }
        }
    }
    Ok(wanted)
}

fn state(text: &str) -> Result<State, Refusal> {
    State::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| {
        let names = State::ALL.map(State::name).join(", ");
        Refusal::malformed(format!("{text:?} is no state; allowed: {names}"))
    })
}

fn alarm(text: &str) -> Result<Alarm, Refusal> {
    Alarm::ALL.into_iter().find(|alarm| alarm.name() == text).ok_or_else(|| {
        let names = Alarm::ALL.map(Alarm::name).join(", ");
        Refusal::malformed(format!("{text:?} is no alarm; allowed: {names}"))
    })
}

pub(crate) fn limit(text: &str) -> Result<usize, Refusal> {
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Refusal::malformed(format!("limit is {text:?}; allowed: 1 to {LIMIT_MAX}")))
}

pub(crate) fn text(what: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        let allowed = format!("at most {TEXT_BYTES_MAX} bytes without control characters");
        return Err(Refusal::malformed(format!("{what:?} has a value that is not allowed; allowed: {allowed}")));
    }
    Ok(())
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Plain {
    connector: Option<String>,
    lane: Option<u32>,
    id: Option<String>,
    confirm: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replay {
    connector: Option<String>,
    lane: Option<u32>,
    id: Option<String>,
    #[serde(default)]
    confirm: bool,
    from: From,
    #[serde(default)]
    to: To,
    mode: Mode,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    connector: Option<String>,
    lane: Option<u32>,
    id: Option<String>,
    #[serde(default)]
    confirm: bool,
    to: From,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum From {
    Earliest,
    Latest,
    Timestamp(Stamp),
    Offsets(BTreeMap<String, i64>),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum To {
    #[default]
    Now,
    Offsets(BTreeMap<String, i64>),
}

/// Milliseconds since 1970 UTC, or a time as RFC 3339 writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stamp {
    Millis(i64),
    Text(String),
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Again,
    Repair,
    Replace,
}

/// Of one of [`ACTIONS`].
pub(crate) fn request(action: &str, body: &[u8]) -> Result<Request, Refusal> {
    let plain = |act| {
        let Plain { connector, lane, id, confirm } = read(action, body)?;
        Ok(Request { connector, lane, id, confirm, act })
    };
    let request = match action {
        "pause" => plain(Act::Pause),
        "resume" => plain(Act::Resume),
        "mend" => plain(Act::Mend),
        "skip" => plain(Act::Skip),
        "abandon" => plain(Act::Abandon),
        "replay" => replay(body),
        "reset" => reset(body),
        _ => {
            let allowed = ACTIONS.join(", ");
            Err(Refusal::unknown(format!("{action:?} cannot be asked of a merchant; allowed: {allowed}")))
        }
    }?;
    for (what, value) in [("connector", &request.connector), ("id", &request.id)] {
        text(what, value.as_deref().unwrap_or_default())?;
    }
    if request.id.as_deref() == Some("") {
        return Err(Refusal::wrong("id is empty; allowed: some text of the caller's own, or none"));
    }
    Ok(request)
}

fn replay(body: &[u8]) -> Result<Request, Refusal> {
    let Replay { connector, lane, id, confirm, from, to, mode } = read("replay", body)?;
    let to = match to {
        To::Now => Until::Now,
        To::Offsets(offsets) => Until::Offsets(sound(offsets)?),
    };
    let from = begin(from)?;
    let from =
        from.ok_or_else(|| Refusal::wrong("nothing lies behind `latest`: allowed: earliest, timestamp, offsets"))?;
    let act = match mode {
        Mode::Again => Act::Replay { from, to },
        Mode::Repair => Act::Repair { from, to },
        Mode::Replace => Act::Replace { from, to },
    };
    Ok(Request { connector, lane, id, confirm, act })
}

fn reset(body: &[u8]) -> Result<Request, Refusal> {
    let Reset { connector, lane, id, confirm, to } = read("reset", body)?;
    let act = begin(to)?.map_or(Act::Skip, |from| Act::Replay { from, to: Until::Now });
    Ok(Request { connector, lane, id, confirm, act })
}

/// None is behind everything.
fn begin(from: From) -> Result<Option<Begin>, Refusal> {
    Ok(Some(match from {
        From::Latest => return Ok(None),
        From::Earliest => Begin::Earliest,
        From::Timestamp(Stamp::Millis(at_ms)) => Begin::Timestamp(at_ms),
        From::Timestamp(Stamp::Text(text)) => {
            let time = DateTime::parse_from_rfc3339(&text).map_err(|_| {
                Refusal::wrong("timestamp: allowed: 2026-11-01T00:00:00Z, or milliseconds since 1970 UTC")
            })?;
            Begin::Timestamp(time.timestamp_millis())
        }
        From::Offsets(offsets) => Begin::Offsets(sound(offsets)?),
    }))
}

fn sound(offsets: BTreeMap<String, i64>) -> Result<BTreeMap<String, i64>, Refusal> {
    if offsets.is_empty() || offsets.values().any(|offset| *offset < 0) {
        return Err(Refusal::wrong("offsets: allowed: one or more as { \"topic/0\": 123 }, none below 0"));
    }
    Ok(offsets)
}

fn read<T: DeserializeOwned>(action: &str, body: &[u8]) -> Result<T, Refusal> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let allowed = match action {
            "replay" => {
                "{ \"connector\": \"orders\", \"from\": \"earliest\" | { \"timestamp\": \"2026-11-01T00:00:00Z\" } | \
                 { \"offsets\": { \"topic/0\": 123 } }, \"to\": \"now\" | { \"offsets\": … }, \
                 \"mode\": \"repair\" | \"replace\" | \"again\", \"confirm\": true, \"lane\": 7, \"id\": \"your own\" }"
            }
            "reset" => {
                "{ \"connector\": \"orders\", \"to\": \"latest\" | \"earliest\" | { \"timestamp\": … } | \
                 { \"offsets\": … }, \"confirm\": true, \"lane\": 7, \"id\": \"your own\" }"
            }
            _ => "{ \"connector\": \"orders\", \"lane\": 7, \"id\": \"your own\", \"confirm\": true }, each optional",
        };
        let message = format!("the body of {action} is wrong: {error}; allowed: {allowed}");
        if error.is_data() { Refusal::wrong(message) } else { Refusal::malformed(message) }
    })
}
