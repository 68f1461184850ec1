use super::{Finding, Size, met};
use crate::{
    page_views::{decoder, sealed},
    rounds::say,
    table::{machine, median},
    workload::Workload,
};
use bytes::Bytes;
use futures::{SinkExt, pin_mut};
use outflow_api::{CommitOutcome, CommitPermit, Encoded, SealedBatch, Sink, SinkContext};
use outflow_rig::Postgres;
use serde_json::{Value, json};
use std::{sync::Arc, thread, time::Instant};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

const BATCH_ROWS: usize = 100_000;
const GOAL_ROWS_PER_S: f64 = 100_000.0;
const GOAL_SHARE: f64 = 0.7;

/// How the rows go to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Made before, by nothing but COPY into a table of the same columns, a transaction for each batch.
    Bare,
    /// The same into a temporary table, and from there into the table.
    Staged,
    /// Encoded and committed, one batch after the other.
    Sink,
    /// As the driver does it: the next batch is encoded while one is committed.
    Ahead,
    /// As that, in mode upsert, every key a new one.
    Upsert,
}

const WAYS: [Way; 5] = [Way::Bare, Way::Staged, Way::Sink, Way::Ahead, Way::Upsert];

pub fn size(quick: bool) -> Size {
    let (events, rounds) = if quick { (20_000, 1) } else { (500_000, 5) };
    Size { events, rounds, ..Size::default() }
}

/// The sink's own calls beside what the server can do, all to one server, in turns.
pub fn run(size: Size) -> Finding {
    let folder = Workload::folder();
    let ground = Ground {
        server: Postgres::start(folder.path()),
        batches: sealed(size.events, BATCH_ROWS),
        runtime: Runtime::new().expect("threads can be made"),
    };
    let mut seconds = vec![Vec::new(); WAYS.len()];
    for round in 1..=size.rounds {
        for (way, seconds) in WAYS.into_iter().zip(&mut seconds) {
            let taken = ground.measure(way);
            say(&format!("round {round}: {way:?}: {:.0} rows/s", size.events as f64 / taken));
            seconds.push(taken);
        }
    }
    finding(size, &seconds)
}

struct Ground {
    server: Postgres,
    batches: Vec<SealedBatch>,
    runtime: Runtime,
}

impl Ground {
    /// Into a table that is empty; answers seconds.
    fn measure(&self, way: Way) -> f64 {
        const DROP: &str = "DROP TABLE IF EXISTS views, outflow_batches; CHECKPOINT";
        DROP.split("; ").for_each(|statement| drop(self.server.rows(Postgres::DATABASE, statement)));
        let sink = self.open(if way == Way::Upsert {
            json!({ "mode": "upsert", "key": "event_id", "version": "created_at" })
        } else {
            json!({})
        });
        let taken = match way {
            Way::Bare | Way::Staged => self.copy(&*sink, way),
            Way::Sink => self.append(&*sink),
            Way::Ahead | Way::Upsert => self.append_ahead(&*sink),
        };
        let wanted: usize = self.batches.iter().map(SealedBatch::row_count).sum();
        for count in ["count(*)", "count(DISTINCT (_partition, _offset))"] {
            let rows = self.server.number(Postgres::DATABASE, &format!("SELECT {count} FROM views"));
            assert_eq!(rows, wanted as i64, "{way:?}: {count}");
        }
        taken
    }

    fn open(&self, mode: Value) -> Arc<dyn Sink> {
        let mut settings = json!({
            "host": "127.0.0.1", "port": self.server.port(), "database": Postgres::DATABASE, "table": "views",
            "user": Postgres::USER, "password": Postgres::PASSWORD, "tls": "off",
        });
        settings.as_object_mut().expect("it is one").extend(mode.as_object().expect("it is one").clone());
        let sink = outflow_registry::sinks().iter().find(|sink| sink.kind == "postgres").expect("it is registered");
        let identity = (sink.identity)(&settings).expect("the settings are right");
        (sink.open)(&settings, SinkContext { identity, decoder: Arc::new(decoder()) }).expect("they are right")
    }

    /// The table is made by a batch without rows.
    fn copy(&self, sink: &dyn Sink, way: Way) -> f64 {
        let encoded: Vec<Encoded> = self.batches.iter().map(|batch| encode(sink, batch)).collect();
        let columns = self.batches[0].batches[0].schema();
        let names = columns.fields().iter().map(|field| format!("\"{}\"", field.name()));
        let names: Vec<String> = names.chain(["_batch".to_owned()]).collect();
        self.runtime.block_on(async {
            self.commit(sink, &empty(&self.batches[0]), None).await;
            let client = self.client().await;
            let started = Instant::now();
            for encoded in &encoded {
                copy(&client, way, &names.join(", "), encoded).await;
            }
            started.elapsed().as_secs_f64()
        })
    }

    fn append(&self, sink: &dyn Sink) -> f64 {
        let started = Instant::now();
        self.runtime.block_on(async {
            for batch in &self.batches {
                self.commit(sink, batch, Some(encode(sink, batch))).await;
            }
        });
        started.elapsed().as_secs_f64()
    }

    fn append_ahead(&self, sink: &dyn Sink) -> f64 {
        let started = Instant::now();
        thread::scope(|scope| {
            let (encoded, next) = std::sync::mpsc::sync_channel(1);
            scope.spawn(move || {
                self.batches.iter().for_each(|batch| encoded.send(encode(sink, batch)).expect("it is waited for"));
            });
            self.runtime.block_on(async {
                for batch in &self.batches {
                    self.commit(sink, batch, Some(next.recv().expect("one for each batch"))).await;
                }
            });
        });
        started.elapsed().as_secs_f64()
    }

    async fn commit(&self, sink: &dyn Sink, batch: &SealedBatch, encoded: Option<Encoded>) {
        let encoded = encoded.unwrap_or_else(|| encode(sink, batch));
        let prepared = sink.prepare(batch.id, &encoded).await.unwrap_or_else(|fault| panic!("{fault}"));
        let prepared = prepared.prepared().expect("no row is refused");
        let committed = sink.commit(&CommitPermit::mint(prepared), Some(&encoded)).await;
        assert_eq!(committed.unwrap_or_else(|fault| panic!("{fault}")), CommitOutcome::Committed);
    }

    async fn client(&self) -> Client {
        let settings = format!(
            "host=127.0.0.1 port={} user={} password={} dbname={}",
            self.server.port(),
            Postgres::USER,
            Postgres::PASSWORD,
            Postgres::DATABASE
        );
        let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.expect("it answers");
        tokio::spawn(connection);
        client
    }
}

fn encode(sink: &dyn Sink, batch: &SealedBatch) -> Encoded {
    sink.encode(batch).unwrap_or_else(|fault| panic!("{fault}"))
}

fn empty(batch: &SealedBatch) -> SealedBatch {
    let mut id = batch.id;
    id.seq = 0;
    SealedBatch {
        id,
        connector: Arc::clone(&batch.connector),
        batches: vec![batch.batches[0].slice(0, 0)],
        origins: Vec::new(),
        timestamp_ms_max: batch.timestamp_ms_max,
    }
}

async fn copy(client: &Client, way: Way, names: &str, encoded: &Encoded) {
    let (into, before, after) = match way {
        Way::Staged => (
            "stage",
            "BEGIN; CREATE TEMPORARY TABLE stage ON COMMIT DROP AS SELECT * FROM views WITH NO DATA",
            "INSERT INTO views SELECT * FROM stage; COMMIT",
        ),
        _ => ("views", "BEGIN", "COMMIT"),
    };
    client.batch_execute(before).await.expect("it answers");
    let statement = format!("COPY {into} ({names}) FROM STDIN WITH (FORMAT binary)");
    let sink = client.copy_in::<_, Bytes>(&statement).await.expect("it answers");
    pin_mut!(sink);
    for bytes in encoded.pieces.iter().flat_map(|piece| &piece.bytes) {
        sink.feed(bytes.clone()).await.expect("it listens");
    }
    sink.finish().await.expect("it takes them");
    client.batch_execute(after).await.expect("it answers");
}

fn finding(size: Size, seconds: &[Vec<f64>]) -> Finding {
    let rate = |way: usize| size.events as f64 / median(seconds[way].iter().copied()).expect("there are rounds");
    // Of the same round: what else the machine does hits both.
    let share =
        |way: usize| median(seconds[0].iter().zip(&seconds[way]).map(|(bare, own)| bare / own)).expect("as above");
    let mut text = format!(
        "{} page views in batches of {BATCH_ROWS} rows, {} rounds in turns, medians; the server on the same machine; \
         {}.\n\n| to a real PostgreSQL, in one connection | rows/s | × a bare COPY of the same round | goal |\n\
         |---|---|---|---|\n",
        size.events,
        size.rounds,
        machine(),
    );
    let mut values = json!({ "events": size.events });
    for (index, way) in WAYS.into_iter().enumerate() {
        let (title, key, has_goal) = match way {
            Way::Bare => ("bare binary COPY of rows that are encoded already", "bare", false),
            Way::Staged => ("the same by a temporary table and INSERT … SELECT", "staged", false),
            Way::Sink => ("the sink, append: encoded, then committed with its ledger row", "one_by_one", false),
            Way::Ahead => ("the sink, append, the next batch encoded meanwhile, as the driver does", "append", true),
            Way::Upsert => ("the sink, upsert of new keys, as above", "upsert", false),
        };
        let goal = if has_goal { met(rate(index) >= GOAL_ROWS_PER_S || share(index) >= GOAL_SHARE) } else { "" };
        text += &format!("| {title} | {:.0} | {:.2} | {goal} |\n", rate(index), share(index));
        values[key] = json!({ "rows_per_s": rate(index).round(), "share_of_bare": share(index) });
    }
    Finding { text, values }
}
