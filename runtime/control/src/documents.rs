//! `/v1/export` and `/v1/import`: all that is configured, one document a line.

use crate::{
    Flat, Refusal, Standing,
    body::{flat, standing},
    connect::parameters,
};
use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{RawQuery, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

/// Of an import, which is many documents: this one path takes more than all others.
pub(crate) const IMPORT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// As of a document that is put by itself.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
const PAGE: usize = 500;
/// Outcomes that nobody has read yet.
const UNREAD_MAX: usize = 64;
const ALLOWED: &str =
    "{ \"connector\": \"orders\", \"config\": { … } } or { \"merchant\": \"1001\", \"config\": { … } }";

/// What is configured, whoever said it.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Connectors, then merchants, each by name: those behind this one, at most so many.
    fn documents(&self, after: Option<&Named>, limit: usize) -> Result<Vec<Document>, Refusal>;
    /// Puts each that differs from what is in force, in this order; `dry_run`: says what would come of it. Ends when
    /// nobody listens any more.
    async fn import(&self, documents: Lines, dry_run: bool, told: mpsc::Sender<Imported>);
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Named {
    Connector(String),
    Merchant(String),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Document {
    pub content: Content,
    /// Some file of a worker says it: it is not changed over REST there.
    pub of_files: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// `standing`: of one that is new where it is put.
    Connector {
        name: String,
        config: Flat,
        standing: Standing,
    },
    Merchant {
        id: String,
        config: Map<String, Value>,
    },
}

impl Content {
    pub fn named(&self) -> Named {
        match self {
            Content::Connector { name, .. } => Named::Connector(name.clone()),
            Content::Merchant { id, .. } => Named::Merchant(id.clone()),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Imported {
    #[serde(flatten)]
    pub named: Named,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Created,
    Changed,
    Same,
    Refused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    connector: Option<String>,
    merchant: Option<String>,
    config: Map<String, Value>,
    state: Option<String>,
    #[serde(rename = "origin")]
    _origin: Option<String>,
}

/// Documents of a body: read twice, so that a wrong line is refused before anything is done and only one at a time is
/// held.
pub struct Lines {
    body: Bytes,
    at: usize,
}

impl Lines {
    fn new(body: Bytes) -> Result<Lines, Refusal> {
        let all = Lines { body: body.clone(), at: 0 };
        let wrong = |(at, read): (usize, Result<Document, String>)| {
            let wrong = read.err()?;
            Some(Refusal::malformed(format!("document {}: {wrong}; nothing was done", at + 1)))
        };
        match all.read().enumerate().find_map(wrong) {
            Some(refusal) => Err(refusal),
            None => Ok(Lines { body, at: 0 }),
        }
    }

    fn read(mut self) -> impl Iterator<Item = Result<Document, String>> {
        std::iter::from_fn(move || self.next_line().map(|line| document(&line)))
    }

    /// Empty ones are passed over.
    fn next_line(&mut self) -> Option<Bytes> {
        while self.at < self.body.len() {
            let rest = self.body.slice(self.at..);
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            self.at += end + 1;
            let line = rest.slice(..end);
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
        None
    }
}

impl Iterator for Lines {
    type Item = Document;

    fn next(&mut self) -> Option<Document> {
        // All were looked at when it was made.
        document(&self.next_line()?).ok()
    }
}

fn document(line: &[u8]) -> Result<Document, String> {
    if line.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("it has {} bytes; a document has at most {DOCUMENT_BYTES_MAX}", line.len()));
    }
    let line: Line =
        serde_json::from_slice(line).map_err(|error| format!("{error}; allowed, in one line: {ALLOWED}"))?;
    let content = match line {
        Line { connector: Some(name), merchant: None, config, state, .. } => {
            let told = |refusal: Refusal| format!("connector {name:?}: {}", refusal.message());
            let config = flat(config).map_err(told)?;
            let standing = standing(state.as_deref()).map_err(told)?;
            Content::Connector { name, config, standing }
        }
        Line { connector: None, merchant: Some(id), config, state: None, .. } => Content::Merchant { id, config },
        _ => return Err(format!("it is of one connector, or of one merchant; allowed: {ALLOWED}")),
    };
    Ok(Document { content, of_files: false })
}

impl Document {
    fn line(&self) -> String {
        let mut line = match &self.content {
            Content::Connector { name, config, standing } => {
                let known = Standing::ALL.into_iter().find(|(_, known)| known == standing);
                json!({ "connector": name, "config": config, "state": known.map(|(word, _)| word) })
            }
            Content::Merchant { id, config } => json!({ "merchant": id, "config": config }),
        };
        line["origin"] = (if self.of_files { "files" } else { "rest" }).into();
        format!("{line}\n")
    }
}

#[derive(Clone)]
struct Shared {
    documents: Arc<dyn Documents>,
    /// One import at a time: bodies are large.
    turn: Arc<Mutex<()>>,
}

pub(crate) fn routes(documents: Arc<dyn Documents>) -> Router {
    Router::new()
        .route("/v1/export", get(export))
        .route("/v1/import", post(import))
        .with_state(Shared { documents, turn: Arc::default() })
}

async fn export(State(Shared { documents, .. }): State<Shared>) -> Result<Response, Refusal> {
    let first = documents.documents(None, PAGE)?;
    let pages = stream::unfold(Some(Ok(first)), move |page| {
        let documents = Arc::clone(&documents);
        async move {
            let page: Vec<Document> = match page? {
                Ok(page) => page,
                // Whoever reads sees that it is cut off.
                Err(refusal) => return Some((Err(std::io::Error::other::<String>(refusal)), None)),
            };
            let lines: String = page.iter().map(Document::line).collect();
            let last = page.last().filter(|_| page.len() == PAGE).map(|last| last.content.named());
            let next = last.map(|last| documents.documents(Some(&last), PAGE).map_err(|why| why.message().to_owned()));
            Some((Ok(lines), next))
        }
    });
    Ok(lines(Body::from_stream(pages)))
}

async fn import(
    State(Shared { documents, turn }): State<Shared>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let mut dry_run = false;
    for (key, value) in parameters(query.as_deref()).filter(|(key, _)| key == "dry_run") {
        let wrong = |_| Refusal::malformed(format!("{key} is {value:?}; allowed: true, false"));
        dry_run = value.parse().map_err(wrong)?;
    }
    let busy = |_| Refusal::conflict("this worker is at another import: wait for its end, or ask another worker");
    let turn = turn.try_lock_owned().map_err(busy)?;
    let too_large = |_| {
        let message = format!("the body cannot be read, or has more than {IMPORT_BYTES_MAX} bytes: divide it");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let all = Lines::new(to_bytes(request.into_body(), IMPORT_BYTES_MAX).await.map_err(too_large)?)?;
    let (told, outcomes) = mpsc::channel(UNREAD_MAX);
    tokio::spawn(async move {
        let _turn = turn;
        documents.import(all, dry_run, told).await;
    });
    let told = stream::unfold(Some((outcomes, Counts { dry_run, ..Counts::default() })), |open| async {
        let (mut outcomes, mut counts) = open?;
        let (line, open) = match outcomes.recv().await {
            Some(one) => {
                counts.add(one.outcome);
                (serde_json::to_string(&one), Some((outcomes, counts)))
            }
            None => (serde_json::to_string(&counts), None),
        };
        Some((line.map(|line| line + "\n"), open))
    });
    Ok(lines(Body::from_stream(told)))
}

/// The last line of an import.
#[derive(Default, Serialize)]
struct Counts {
    created: u64,
    changed: u64,
    same: u64,
    refused: u64,
    dry_run: bool,
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Created => &mut self.created,
            Outcome::Changed => &mut self.changed,
            Outcome::Same => &mut self.same,
            Outcome::Refused => &mut self.refused,
        } += 1;
    }
}

fn lines(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
