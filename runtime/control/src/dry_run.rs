//! What would happen if a configuration were put: nothing is published, delivered or journaled.

use crate::{
    Expected, Flat, Refusal,
    body::{self, Body},
    merchants::{of_merchant, unreadable},
};
use async_trait::async_trait;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::post,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use std::sync::Arc;

#[async_trait]
pub trait DryRuns: Send + Sync {
    async fn dry_run(&self, proposal: Proposal) -> Result<DryRun, Refusal>;
}

#[derive(Clone, PartialEq, Debug)]
pub struct Proposal {
    pub of: Proposed,
    pub expected: Expected,
    /// How many of the newest records are tried.
    pub records: usize,
}

/// Without a configuration: what is in force.
#[derive(Clone, PartialEq, Debug)]
pub enum Proposed {
    Merchant { id: String, content: Option<Value> },
    Connector { name: String, config: Option<Flat> },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DryRun {
    /// Nothing that was seen would hold up a delivery.
    pub ok: bool,
    /// Of the config log: what it was held against.
    pub revision: u64,
    /// What the next revision would do; none where all of it is in force.
    pub changes: Vec<Change>,
    /// The records that were looked at, by connector.
    pub sample: Vec<Sampled>,
    /// What each destination would get of them.
    pub deliveries: Vec<Trial>,
    /// What was not looked at, or is not shown.
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Added,
    Changed,
    Removed,
}

/// Of a connector, or (`identity`) of one of its lanes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    pub effect: Effect,
    pub connector: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<u32>,
    /// Where it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Names of what differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
    /// Of a lane that begins in the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<Past>,
    /// Of one that goes: records to look through for what it has not delivered, which it still would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<u64>,
    /// The same in words.
    pub told: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Past {
    /// That are read for it, rows of others among them; null where not all logs were asked.
    pub records: Option<u64>,
    pub partitions: Vec<PastSpan>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PastSpan {
    pub topic: String,
    pub partition: u32,
    pub from: i64,
    /// Behind the last record that is there now.
    pub to: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sampled {
    pub connector: String,
    pub records: u64,
    /// Of a merchant's dry run: those that go to other merchants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_others: Option<u64>,
    /// That no merchant claims; none where records are not merchants'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclaimed: Option<u64>,
}

/// One destination.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    pub connector: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
    pub identity: String,
    pub columns: Vec<Column>,
    /// Against what is in force.
    pub column_changes: Vec<ColumnChange>,
    /// That it would get of the sample.
    pub rows: u64,
    /// Of these, the first ones, as JSON.
    pub shown: Vec<Box<RawValue>>,
    /// Records of the merchant that `only` leaves out.
    pub left_out: u64,
    pub rejected: u64,
    /// Of these, the first ones.
    pub rejections: Vec<Rejection>,
    /// Why it would park.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub sql_type: String,
    pub required: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ColumnChange {
    pub name: String,
    /// None of one that is new.
    pub was: Option<String>,
    /// None of one that goes.
    pub becomes: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rejection {
    pub topic: String,
    pub partition: u32,
    pub offset: i64,
    pub code: String,
    pub message: String,
}

const RECORDS_DEFAULT: usize = 100;
const RECORDS_MAX: usize = 1_000;
const BODY: &str = "{ \"merchant\": \"1001\", \"config\": { \"deliver\": [ … ] }, \"records\": 100 }, or \
                    { \"connector\": \"orders\", \"config\": { … } }; config and records are optional";
const BODY_OF_MERCHANT: &str = "{ \"records\": 100 }, optional; what is not in force is tried by POST /v1/dry-run";

type Asked = State<Arc<dyn DryRuns>>;

pub(crate) fn routes(dry_runs: Arc<dyn DryRuns>) -> Router {
    Router::new()
        .route("/v1/dry-run", post(of_any))
        .route("/v1/merchants/{id}/dry-run", post(of_one))
        .with_state(dry_runs)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Any {
    merchant: Option<Value>,
    connector: Option<String>,
    config: Option<Map<String, Value>>,
    #[serde(default = "default_records")]
    records: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    #[serde(default = "default_records")]
    records: usize,
}

fn default_records() -> usize {
    RECORDS_DEFAULT
}

async fn of_any(State(dry_runs): Asked, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let Any { merchant, connector, config, records } = body::read(&headers, body, BODY)?;
    let expected = body::expected(&headers)?;
    if config.is_none() && expected != Expected::Anything {
        return Err(Refusal::malformed("If-Match and If-None-Match are of a config that is put: the body has none"));
    }
    let wrong = |what: &str| Refusal::malformed(format!("{what}; allowed: {BODY}"));
    let id = match merchant {
        None => None,
        Some(Value::String(id)) if !id.is_empty() => Some(id),
        Some(Value::Number(id)) => Some(id.to_string()),
        Some(_) => return Err(wrong("`merchant` is no id")),
    };
    let of = match (id, connector) {
        (Some(id), None) => {
            Proposed::Merchant { content: config.map(|content| of_merchant(&id, content)).transpose()?, id }
        }
        (None, Some(name)) => Proposed::Connector { name, config: config.map(body::flat).transpose()? },
        _ => return Err(wrong("a dry run is of a merchant or of a connector")),
    };
    run(dry_runs.as_ref(), Proposal { of, expected, records }).await
}

/// Of what is in force alone: who is no admin must not choose what he gets to see.
async fn of_one(
    State(dry_runs): Asked,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let Path(id) = id.map_err(unreadable)?;
    let body = body.map(|body| if body.is_empty() { Bytes::from_static(b"{}") } else { body });
    let One { records } = body::read(&headers, body, BODY_OF_MERCHANT)?;
    let of = Proposed::Merchant { id, content: None };
    run(dry_runs.as_ref(), Proposal { of, expected: Expected::Anything, records }).await
}

async fn run(dry_runs: &dyn DryRuns, proposal: Proposal) -> Result<Response, Refusal> {
    if proposal.records > RECORDS_MAX {
        return Err(Refusal::malformed(format!("records is {}; allowed: 0 to {RECORDS_MAX}", proposal.records)));
    }
    Ok(Json(dry_runs.dry_run(proposal).await?).into_response())
}
