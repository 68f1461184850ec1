//! The worker as a process of its own, so that it can be killed.

use crate::fussy::{Fussy, Manner};
use outflow_api::{Column, Decoder, Fault, Identity, Model, Shard, SinkContext, SqlType, UnknownFields};
use outflow_catalogue::{ConnectorEntry, Definition, FlushEntry, Start, Unknown, Wanted, WantedConnector, WantedLane};
use outflow_driver::{CallLimits, Field, From, OpenLane, Opener, Plan, Status, Steering, Worker, WorkerSettings};
use outflow_engine::{FlushLimits, Settings};
use outflow_formats::JsonDecoder;
use outflow_local::LocalCluster;
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Runtime, sync::watch, time::interval};

pub const SHARDS: u32 = 2;
pub const TOPIC: &str = "orders";
pub const LETTERS: &str = "orders.dead";
const ROWS_MAX: u64 = 2_000;
const AGE_MS: u64 = 100;
/// More of a batch are too many.
const REJECT_PERCENT_MAX: u64 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Until it is killed. Says why lanes are parked.
pub fn work(folder: &Path, manner: Manner) {
    let cluster = LocalCluster::open(folder.join("cluster"), SHARDS).expect("a folder of the test");
    let (_files, plans) = watch::channel(Arc::new(plan()));
    let (_stop, stopping) = watch::channel(false);
    let status = Status::default();
    let settings = WorkerSettings {
        engine: Settings::new(Shard(0)),
        memory_bytes_max: 64 << 20,
        calls: CallLimits { per_host: 16, per_credential: 8 },
        cores: 2,
        drain_max: Duration::from_secs(10),
        retention_alarm: Duration::ZERO,
    };
    let worker = Worker {
        cluster: Arc::new(cluster),
        opener: Arc::new(FussyOpener { lake: folder.join("lake"), manner }),
        field: no_field,
        plans,
        settings,
        status: status.clone(),
        steering: Steering::default(),
    };
    let runtime = Runtime::new().expect("threads can be made");
    let worked = runtime.block_on(async {
        tokio::select! {
            worked = worker.run(stopping) => worked,
            () = tell_parked(status) => Ok(()),
        }
    });
    panic!("it stops by itself: {worked:?}");
}

async fn tell_parked(status: Status) {
    let mut tick = interval(LOOK_EVERY);
    loop {
        tick.tick().await;
        let shards = status.summary().shards;
        shards.values().flat_map(|shard| &shard.parked).for_each(|lane| println!("parked for {}", lane.code));
    }
}

fn no_field(_: &[String]) -> Arc<dyn Field> {
    panic!("rows of a test are routed by no field")
}

fn plan() -> Plan {
    let flush = FlushEntry { rows: ROWS_MAX, bytes: 1 << 20, age_ms: AGE_MS };
    let entry = ConnectorEntry {
        version: 0,
        topics: Vec::new(),
        shape: json!({}),
        merchant: None,
        unknown: Unknown::Drop,
        feeds: BTreeMap::new(),
        flush,
        dead_letters: Some(LETTERS.to_owned()),
        reject_percent_max: REJECT_PERCENT_MAX,
        paused: false,
        stopped: false,
    };
    let lane = WantedLane {
        connector: TOPIC.to_owned(),
        merchant: None,
        rejects: false,
        identity: "lake".to_owned(),
        place: "{}".into(),
        settings: "{}".into(),
        flush,
        schedule: 0,
        start: Start::Latest,
        resumes: false,
        source: "a test".to_owned(),
    };
    let connectors = vec![WantedConnector { name: TOPIC.to_owned(), entry }];
    Plan {
        wanted: Wanted { connectors, lanes: vec![lane], digest: "1".to_owned(), ..Wanted::default() },
        topics: BTreeMap::from([(TOPIC.to_owned(), vec![TOPIC.to_owned()])]),
        dead_letters: vec![(LETTERS.to_owned(), Some(SHARDS))],
        starts: BTreeMap::from([(0, From::Earliest)]),
        ..Plan::default()
    }
}

struct FussyOpener {
    lake: PathBuf,
    manner: Manner,
}

impl Opener for FussyOpener {
    fn open(&self, definition: &Definition) -> Result<OpenLane, Fault> {
        let topics: Vec<_> = definition.connector.topics.iter().map(|topic| (topic.id(), topic.name.clone())).collect();
        let column = Column {
            name: "number".to_owned(),
            sql_type: SqlType::parse("BIGINT").expect("a type"),
            path: vec!["number".to_owned()],
            required: true,
            hashed: Vec::new(),
        };
        let model = Model { columns: vec![column], unknown: UnknownFields::Ignore, lineage: true, skipped: Vec::new() };
        let decoder: Arc<dyn Decoder> = Arc::new(JsonDecoder::new(&model, &topics)?);
        let file = json!({ "type": "ndjson", "compression": "none" });
        let settings = json!({ "url": self.lake.display().to_string(), "file": file });
        let identity: Identity = (outflow_object_store::DESCRIPTOR.identity)(&settings)?;
        let context = SinkContext { identity, decoder: Arc::clone(&decoder) };
        let inner = (outflow_object_store::DESCRIPTOR.open)(&settings, context)?;
        let flush = FlushLimits { rows_max: ROWS_MAX, bytes_max: 1 << 20, age_ms_max: AGE_MS };
        Ok(OpenLane {
            connector: Arc::clone(&definition.connector_name),
            merchant: None,
            decoder,
            sink: Arc::new(Fussy { inner, manner: self.manner }),
            flush,
            dead_letters: Some(LETTERS.into()),
            reject_percent_max: REJECT_PERCENT_MAX,
            rejects: None,
        })
    }
}
