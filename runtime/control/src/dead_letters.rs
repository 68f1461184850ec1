//! The paths of dead letters: rows that fit nowhere, and sending them again once what was wrong is mended.

use crate::{
    Refusal,
    body::{self, Body},
    events::{now_ms, since},
    request::{limit, text},
};
use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, sync::Arc};

#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// In the order of the dead letter topics' partitions.
    async fn list(&self, wanted: WantedLetters) -> Result<LetterPage, Refusal>;
    /// Rows that were delivered meanwhile are not sent.
    async fn send_again(&self, chosen: Chosen, id: Option<String>) -> Result<SentAgain, Refusal>;
}

/// Which letters; without a connector: of all that the merchant has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chosen {
    pub connector: Option<String>,
    pub merchant: Option<String>,
    pub lane: Option<u32>,
    pub code: Option<String>,
    /// Milliseconds since 1970 UTC: of records that are not older.
    pub since_ms: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantedLetters {
    pub chosen: Chosen,
    /// From this place on: `next` of the page before.
    pub after: Option<Place>,
    pub limit: usize,
    /// Records as they were, with key, headers and value; a merchant sees places and reasons alone, for a record has
    /// fields that his deliveries may leave out.
    pub whole: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LetterPage {
    pub dead_letters: Vec<Letter>,
    /// To be asked for as `after`; without it, all was looked through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Letters that were looked at.
    pub looked_at: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Letter {
    pub connector: String,
    /// None: of an older build, which did not say.
    pub lane: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
    /// Where the record is.
    pub topic: String,
    pub partition: u32,
    pub offset: i64,
    /// Of the record, since 1970 UTC.
    pub timestamp_ms: i64,
    pub code: String,
    pub message: String,
    /// Where the letter is.
    pub letter: Place,
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    pub topic: String,
    pub partition: u32,
    pub offset: i64,
}

impl Place {
    fn read(text: &str) -> Result<Place, Refusal> {
        let read = || {
            let (place, offset) = text.rsplit_once('=')?;
            let (topic, partition) = place.rsplit_once('/')?;
            Some(Place { topic: topic.to_owned(), partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        };
        read().ok_or_else(|| Refusal::malformed(format!("after is {text:?}; allowed: `next` of the page before")))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { topic, partition, offset } = self;
        write!(f, "{topic}/{partition}={offset}")
    }
}

/// As it was; null is nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    pub key: Option<Content>,
    pub value: Option<Content>,
    pub headers: Vec<(String, Content)>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Text(String),
    Base64(String),
    /// Too long to be shown.
    Bytes(u64),
}

/// What was ordered.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SentAgain {
    /// The caller's, or the one that it was given.
    pub id: String,
    /// Of the config log; none where nothing is to be sent.
    pub revision: Option<u64>,
    /// Rows that are sent.
    pub rows: u64,
    /// Rows that were delivered since, are owed, or whose batch waits for its outcome.
    pub delivered: u64,
    pub lanes: Vec<u32>,
    /// Something was asked with this id before: what of it was not taken then is taken now.
    pub repeated: bool,
    /// Rows that cannot be sent, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left: BTreeMap<String, u64>,
}

type Asked = State<Arc<dyn DeadLetters>>;

pub(crate) fn routes(letters: Arc<dyn DeadLetters>) -> Router {
    Router::new()
        .route("/v1/dead-letters", get(list))
        .route("/v1/dead-letters/send-again", post(send_again))
        .route("/v1/merchants/{id}/dead-letters", get(list_own))
        .route("/v1/merchants/{id}/send-again", post(send_own_again))
        .with_state(letters)
}

async fn list(State(letters): Asked, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let wanted = wanted(query.as_deref().unwrap_or_default())?;
    Ok(Json(letters.list(wanted).await?).into_response())
}

async fn list_own(
    State(letters): Asked,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let mut wanted = wanted(query.as_deref().unwrap_or_default())?;
    (wanted.chosen.merchant, wanted.whole) = (Some(id), false);
    Ok(Json(letters.list(wanted).await?).into_response())
}

fn wanted(query: &str) -> Result<WantedLetters, Refusal> {
    let (mut chosen, mut after, mut most) = (Chosen::default(), None, 100);
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.into_owned();
        text(&key, &value)?;
        match &*key {
            "connector" => chosen.connector = Some(value),
            "merchant" => chosen.merchant = Some(value),
            "lane" => chosen.lane = Some(lane(&value)?),
            "code" => chosen.code = Some(value),
            "since" => chosen.since_ms = Some(since_ms(&value)?),
            "after" => after = Some(Place::read(&value)?),
            "limit" => most = limit(&value)?,
            _ => {
                let allowed = "connector, merchant, lane, code, since, after, limit";
                return Err(Refusal::malformed(format!("letters are not asked for by {key:?}; allowed: {allowed}")));
            }
        }
    }
    Ok(WantedLetters { chosen, after, limit: most, whole: true })
}

fn since_ms(text: &str) -> Result<i64, Refusal> {
    since(text, now_ms()).map(u64::cast_signed)
}

fn lane(text: &str) -> Result<u32, Refusal> {
    text.parse().map_err(|_| Refusal::malformed(format!("lane is {text:?}; allowed: a lane's number")))
}

const SEND_AGAIN: &str = "{ \"connector\": \"orders\", \"merchant\": \"1001\", \"lane\": 7, \"code\": \"null-value\", \
                          \"since\": \"2026-11-01T00:00:00Z\" or \"2h\", \"id\": \"your own\" }, each optional";

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct SendAgain {
    connector: Option<String>,
    merchant: Option<String>,
    lane: Option<u32>,
    code: Option<String>,
    since: Option<String>,
    id: Option<String>,
}

async fn send_again(State(letters): Asked, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let (chosen, id) = chosen(&headers, body)?;
    accepted(letters.send_again(chosen, id).await?)
}

async fn send_own_again(
    State(letters): Asked,
    Path(own): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (mut chosen, id) = chosen(&headers, body)?;
    if chosen.merchant.as_ref().is_some_and(|merchant| *merchant != own) {
        return Err(Refusal::malformed(format!("the body is of another merchant than the path's {own:?}")));
    }
    chosen.merchant = Some(own);
    accepted(letters.send_again(chosen, id).await?)
}

fn accepted(sent: SentAgain) -> Result<Response, Refusal> {
    Ok((StatusCode::ACCEPTED, Json(sent)).into_response())
}

fn chosen(headers: &HeaderMap, body: Body) -> Result<(Chosen, Option<String>), Refusal> {
    let is_empty = body.as_ref().is_ok_and(|body| body.trim_ascii().is_empty());
    let said: SendAgain = if is_empty { SendAgain::default() } else { body::read(headers, body, SEND_AGAIN)? };
    let SendAgain { connector, merchant, lane, code, since: from, id } = said;
    let texts = [("connector", &connector), ("merchant", &merchant), ("code", &code), ("since", &from), ("id", &id)];
    texts.into_iter().try_for_each(|(what, value)| text(what, value.as_deref().unwrap_or_default()))?;
    if id.as_deref() == Some("") {
        return Err(Refusal::wrong("id is empty; allowed: some text of the caller's own, or none"));
    }
    let since_ms = from.as_deref().map(since_ms).transpose()?;
    Ok((Chosen { connector, merchant, lane, code, since_ms }, id))
}
