use async_trait::async_trait;
use outflow_control::{
    Accepted, Act, Alarm, Board, Change, Chosen, Column, ColumnChange, ConnectorState, Connectors, Content,
    DeadLetters, Delivery, Detail, Document, DocumentContent, Documents, DryRun, DryRuns, Effect, Event, EventPage,
    Events, Expected, Flat, Group, Imported, Info, Kept, KeyInfo, Kind, Letter, LetterContent, LetterPage, LetterPlace,
    LetterRecord, Lines, LoggerLevel, Loggers, Merchant, Named, Outcome, Page, Past, PastSpan, Placed, PluginInfo,
    Proposal, Proposed, Put, Refusal, Rejection, Request, RunState, Sampled, SentAgain, Sought, Standing, State,
    Steering, Step, TaskId, TaskState, TopicOffset, Trial, Undelivered, Validation, Wanted, WantedLetters, Wish,
    Worker, WorkerState,
};
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Knows merchant `1001` and connector `orders`, does nothing, and remembers what was asked.
#[derive(Clone, Default)]
pub struct Double(Arc<Mutex<Asked>>);

#[derive(Clone, Default)]
pub struct Asked {
    pub lists: Vec<Wanted>,
    pub requests: Vec<(String, Request)>,
    pub puts: Vec<Put>,
    pub letters: Vec<WantedLetters>,
    pub sent: Vec<(Chosen, Option<String>)>,
    pub proposals: Vec<Proposal>,
    pub sought: Vec<Sought>,
    /// Everything else, in words.
    pub others: Vec<String>,
}

impl Double {
    pub fn asked(&self) -> Asked {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: impl FnOnce(&mut Asked)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn merchant() -> Merchant {
    let delivery = Delivery {
        connector: "orders".into(),
        lane: 7,
        identity: "s3://lake/1001".into(),
        schedule: 0,
        state: State::Parked,
        code: Some("bucket-missing".into()),
        hint: Some("make it".into()),
        lag_records: 5,
        lag_seconds: Some(90_000),
        retention_left_seconds: Some(3_600),
        records_left: None,
        alarm: Some(Alarm::Retention),
        open_rows: 0,
        runs: 0,
        pending: false,
        repair: None,
        replacement: None,
        partitions: Vec::new(),
    };
    Merchant { merchant: "1001".into(), deliveries: vec![delivery] }
}

fn known(id: &str) -> Result<(), Refusal> {
    if id == "1001" { Ok(()) } else { Err(Refusal::unknown("did you mean \"1001\"?")) }
}

#[async_trait]
impl Steering for Double {
    async fn merchants(&self, wanted: Wanted) -> Result<Page, Refusal> {
        self.note(|asked| asked.lists.push(wanted));
        Ok(Page { merchants: vec![merchant()], next: None, shards: vec![0, 2] })
    }

    async fn merchant(&self, id: &str, _: bool) -> Result<Detail, Refusal> {
        known(id)?;
        Ok(Detail { merchant: merchant(), shards: vec![0], note: None })
    }

    async fn lane(&self, lane: u32, _: bool) -> Result<Detail, Refusal> {
        let unknown = || Refusal::unknown("there is no such lane");
        (lane == 7).then(|| Detail { merchant: merchant(), shards: vec![0], note: None }).ok_or_else(unknown)
    }

    async fn put(&self, id: &str, content: Value, expected: Expected) -> Result<Placed, Refusal> {
        self.note(|asked| asked.others.push(format!("put {id} {content} {expected:?}")));
        Ok(Placed { merchant: id.to_owned(), revision: 9, is_new: id != "1001" })
    }

    fn content(&self, id: &str) -> Result<Content, Refusal> {
        known(id)?;
        Ok(Content { content: json!({ "merchant": id }), revision: 9 })
    }

    async fn remove(&self, id: &str, undelivered: Option<Undelivered>, expected: Expected) -> Result<(), Refusal> {
        known(id)?;
        self.note(|asked| asked.others.push(format!("remove {id} {undelivered:?} {expected:?}")));
        Ok(())
    }

    async fn test(&self, id: &str, connector: Option<&str>) -> Result<Vec<Step>, Refusal> {
        known(id)?;
        self.note(|asked| asked.others.push(format!("test {id} {connector:?}")));
        Ok(Vec::new())
    }

    async fn act(&self, merchant: &str, request: Request) -> Result<Accepted, Refusal> {
        known(merchant)?;
        let is_final = matches!(request.act, Act::Skip | Act::Abandon | Act::Replay { .. });
        if is_final && !request.confirm {
            return Err(Refusal::unconfirmed("5 records are never delivered"));
        }
        let id = request.id.clone().unwrap_or_default();
        self.note(|asked| asked.requests.push((merchant.to_owned(), request)));
        Ok(Accepted { id, revision: 9, lanes: vec![7], repeated: false, missing: None })
    }
}

fn known_connector(name: &str) -> Result<(), Refusal> {
    if name == "orders" { Ok(()) } else { Err(Refusal::unknown(format!("there is no connector {name:?}"))) }
}

fn info(name: &str, config: Flat) -> Info {
    let tasks = (0..2).map(|task| TaskId { connector: name.to_owned(), task }).collect();
    Info { name: name.to_owned(), config, tasks, kind: Kind::Sink, revision: Some(9) }
}

#[async_trait]
impl DeadLetters for Double {
    async fn list(&self, wanted: WantedLetters) -> Result<LetterPage, Refusal> {
        let text = |text: &str| LetterContent::Text(text.to_owned());
        let headers = vec![("trace".to_owned(), LetterContent::Base64("AA==".to_owned()))];
        let record = LetterRecord { key: Some(text("1001")), value: Some(LetterContent::Bytes(70_000)), headers };
        let letter = Letter {
            connector: "orders".into(),
            lane: Some(7),
            merchant: Some("1001".into()),
            topic: "shop.orders".into(),
            partition: 3,
            offset: 41,
            timestamp_ms: 1_790_000_000_000,
            code: "null-value".into(),
            message: "column id is required".into(),
            letter: LetterPlace { topic: "orders.dead".into(), partition: 0, offset: 5 },
            record: wanted.whole.then_some(record),
        };
        self.note(|asked| asked.letters.push(wanted));
        Ok(LetterPage { dead_letters: vec![letter], next: Some("orders.dead/0=6".into()), looked_at: 6 })
    }

    async fn send_again(&self, chosen: Chosen, id: Option<String>) -> Result<SentAgain, Refusal> {
        self.note(|asked| asked.sent.push((chosen, id.clone())));
        let left = BTreeMap::from([("of a delivery that was removed".to_owned(), 1)]);
        let id = id.unwrap_or_else(|| "given".into());
        Ok(SentAgain { id, revision: Some(9), rows: 2, delivered: 1, lanes: vec![7], repeated: false, left })
    }
}

#[async_trait]
impl Connectors for Double {
    fn names(&self) -> Result<Vec<String>, Refusal> {
        Ok(vec!["orders".to_owned()])
    }

    fn info(&self, name: &str) -> Result<Info, Refusal> {
        known_connector(name)?;
        let config = [("name", name), ("topics", "orders"), ("flush.age", "5s")];
        Ok(info(name, config.map(|(key, text)| (key.to_owned(), text.to_owned())).into()))
    }

    async fn state(&self, name: &str) -> Result<ConnectorState, Refusal> {
        known_connector(name)?;
        let worker_id = || "127.0.0.1:8083".to_owned();
        let version = || "1.2.3".to_owned();
        let task = |id, state, trace| TaskState { id, state, worker_id: worker_id(), version: version(), trace };
        Ok(ConnectorState {
            name: name.to_owned(),
            connector: WorkerState {
                state: RunState::Running,
                worker_id: worker_id(),
                version: version(),
                trace: None,
            },
            tasks: vec![task(0, RunState::Running, None), task(1, RunState::Failed, Some("bucket-missing".to_owned()))],
            kind: Kind::Sink,
        })
    }

    async fn put(&self, put: Put) -> Result<Kept, Refusal> {
        let is_new = known_connector(&put.name).is_err();
        if !is_new && put.expected == Expected::Nothing {
            return Err(Refusal::conflict("it exists"));
        }
        self.note(|asked| asked.puts.push(put.clone()));
        Ok(Kept { info: info(&put.name, put.config), is_new })
    }

    async fn remove(&self, name: &str, expected: Expected, force: bool) -> Result<(), Refusal> {
        known_connector(name)?;
        self.note(|asked| asked.others.push(format!("remove {name} {expected:?} {force}")));
        Ok(())
    }

    async fn stand(&self, name: &str, standing: Standing) -> Result<(), Refusal> {
        known_connector(name)?;
        self.note(|asked| asked.others.push(format!("stand {name} {standing:?}")));
        Ok(())
    }

    async fn restart(&self, name: &str, task: Option<u32>) -> Result<(), Refusal> {
        known_connector(name)?;
        self.note(|asked| asked.others.push(format!("restart {name} {task:?}")));
        Ok(())
    }

    fn topics(&self, name: &str) -> Result<Vec<String>, Refusal> {
        known_connector(name).map(|()| vec!["orders".to_owned()])
    }

    async fn offsets(&self, name: &str) -> Result<Vec<TopicOffset>, Refusal> {
        known_connector(name)?;
        Ok(vec![TopicOffset { topic: "orders".to_owned(), partition: 3, offset: 17 }])
    }

    async fn alter(&self, name: &str, offsets: Option<Vec<Wish>>) -> Result<String, Refusal> {
        known_connector(name)?;
        self.note(|asked| asked.others.push(format!("alter {name} {offsets:?}")));
        Ok("they are delivered again".to_owned())
    }

    fn plugins(&self) -> Vec<PluginInfo> {
        vec![PluginInfo {
            class: "outflow.LakeSinkConnector".to_owned(),
            kind: Kind::Sink,
            version: "1.2.3".to_owned(),
        }]
    }

    fn keys(&self, plugin: &str) -> Result<Vec<KeyInfo>, Refusal> {
        if plugin.contains("Lake") { Ok(Vec::new()) } else { Err(Refusal::unknown("there is no such plugin")) }
    }

    fn validate(&self, plugin: &str, config: &Flat) -> Result<Validation, Refusal> {
        self.keys(plugin)?;
        let error_count = config.len();
        Ok(Validation { name: plugin.to_owned(), error_count, groups: Vec::new(), configs: Vec::new() })
    }
}

/// A connector, and 1,200 merchants: more than two pages.
#[async_trait]
impl Documents for Double {
    fn documents(&self, after: Option<&Named>, limit: usize) -> Result<Vec<Document>, Refusal> {
        let connector = DocumentContent::Connector {
            name: "orders".to_owned(),
            config: [("topics".to_owned(), "orders".to_owned())].into(),
            standing: Standing::Paused,
        };
        let merchant = |id: u32| DocumentContent::Merchant { id: id.to_string(), config: Default::default() };
        let all = std::iter::once(connector).chain((1_000..2_200).map(merchant));
        let all = all.map(|content| Document { content, of_files: false });
        let behind = all.skip_while(|one| after.is_some_and(|after| one.content.named() != *after));
        Ok(behind.skip(usize::from(after.is_some())).take(limit).collect())
    }

    async fn import(&self, documents: Lines, dry_run: bool, told: tokio::sync::mpsc::Sender<Imported>) {
        for document in documents {
            self.note(|asked| asked.others.push(format!("import {:?} {dry_run}", document.content)));
            let named = document.content.named();
            let is_known = matches!(&named, Named::Connector(name) if name == "orders");
            let outcome = if is_known { Outcome::Same } else { Outcome::Refused };
            let reason = (!is_known).then(|| "why not".to_owned());
            if told.send(Imported { named, outcome, reason }).await.is_err() {
                return;
            }
        }
    }
}

#[async_trait]
impl DryRuns for Double {
    async fn dry_run(&self, proposal: Proposal) -> Result<DryRun, Refusal> {
        match &proposal.of {
            Proposed::Merchant { id, .. } => known(id)?,
            Proposed::Connector { name, .. } => known_connector(name)?,
        }
        self.note(|asked| asked.proposals.push(proposal));
        Ok(answer())
    }
}

/// With all that an answer may have.
fn answer() -> DryRun {
    let change = Change {
        effect: Effect::Added,
        connector: "orders".into(),
        merchant: Some("1001".into()),
        lane: Some(7),
        identity: Some("s3://lake/1001".into()),
        settings: vec!["without".into()],
        past: Some(Past {
            records: None,
            partitions: vec![PastSpan { topic: "orders".into(), partition: 3, from: 0, to: Some(17) }],
        }),
        owed: Some(5),
        told: "it is added".into(),
    };
    let trial = Trial {
        connector: "orders".into(),
        merchant: Some("1001".into()),
        identity: "s3://lake/1001".into(),
        columns: vec![Column { name: "total".into(), sql_type: "DECIMAL(18,2)".into(), required: true }],
        column_changes: vec![ColumnChange { name: "total".into(), was: None, becomes: Some("DECIMAL(18,2)".into()) }],
        rows: 1,
        shown: vec![RawValue::from_string("{\"total\":12345678901234567.89}".into()).expect("JSON")],
        left_out: 1,
        rejected: 1,
        rejections: vec![Rejection {
            topic: "orders".into(),
            partition: 3,
            offset: 16,
            code: "not-json".into(),
            message: "it is none".into(),
        }],
        trouble: Some("it would park".into()),
    };
    let sample = Sampled { connector: "orders".into(), records: 3, of_others: Some(1), unclaimed: Some(0) };
    let notes = vec!["not all were read".into()];
    DryRun { ok: false, revision: 9, changes: vec![change], sample: vec![sample], deliveries: vec![trial], notes }
}

#[async_trait]
impl Loggers for Double {
    fn all(&self) -> BTreeMap<String, LoggerLevel> {
        [("root".to_owned(), LoggerLevel { level: "INFO".to_owned(), last_modified: None })].into()
    }

    fn set(&self, logger: &str, level: &str) -> Result<Vec<String>, Refusal> {
        self.note(|asked| asked.others.push(format!("log {logger} {level}")));
        Ok(vec![logger.to_owned()])
    }

    async fn set_everywhere(&self, logger: &str, level: &str) -> Result<(), Refusal> {
        self.note(|asked| asked.others.push(format!("log {logger} {level} everywhere")));
        Ok(())
    }
}

#[async_trait]
impl Events for Double {
    async fn events(&self, sought: Sought) -> Result<EventPage, Refusal> {
        self.note(|asked| asked.sought.push(sought));
        let event = Event {
            id: Event::id(1_764_000_000_000, 3, "127.0.0.1:8083"),
            at: "2025-11-24T16:00:00.000Z".to_owned(),
            worker: "127.0.0.1:8083".to_owned(),
            level: "WARN".to_owned(),
            kind: "lane-parked".to_owned(),
            code: Some("bucket-missing".to_owned()),
            connector: Some("orders".to_owned()),
            merchant: Some("1001".to_owned()),
            lane: Some(7),
            shard: Some(0),
            message: "a lane does not deliver".to_owned(),
            fields: [("hint".to_owned(), "make it".to_owned())].into(),
        };
        let since = "2025-11-24T00:00:00.000Z".to_owned();
        Ok(EventPage { events: vec![event], next: None, since, workers: vec!["127.0.0.1:8083".to_owned()] })
    }
}

/// The only worker that there is.
pub struct Alone(pub Board);

impl Group for Alone {
    fn workers(&self) -> Vec<Worker> {
        let status = self.0.look();
        let shards = status.shards.keys().copied().collect();
        let worker_id = "127.0.0.1:8083".to_owned();
        vec![Worker { worker_id, shards, is_here: true, trouble: None, status: Some(status) }]
    }
}
