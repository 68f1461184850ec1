use crate::{
    client::Place,
    cluster,
    connectors::Connectors,
    documents::Documents,
    dry_run::DryRuns,
    events::{Events, Memory},
    files::{self, Files},
    fleet::Fleet,
    health,
    letters::Letters,
    log::{self, Levels},
    loggers::Loggers,
    merchants::Merchants,
    opener::{self, ConfiguredOpener},
    progress,
    renewal::Renewal,
};
use outflow_api::Cluster;
use outflow_config::{Rest, SystemEnvironment, resolve_text};
use outflow_control::{Asked, Board, Control};
use outflow_driver::{CallLimits, Status, Steering, Worker, WorkerSettings};
use outflow_engine::Settings;
use std::{error::Error, path::Path, sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

const PROGRESS_EVERY: Duration = Duration::from_secs(10);
const TOPICS_EVERY: Duration = Duration::from_secs(15);

/// `publish_again`: also files that were published before and others since.
pub fn run(path: &Path, publish_again: bool) -> Result<(), Box<dyn Error>> {
    let files = files::follow(path.to_owned(), publish_again)?;
    let log = log::start(&files.config().worker.log);
    let (stop, stopping) = watch::channel(false);
    let runtime = runtime()?;
    let worked = runtime.block_on(async {
        stop_on_signal(stop)?;
        // A taken port is an error at the start.
        let control = Control::bind(health::entry(&files.config().worker.rest)).await?;
        let cluster = cluster::open(&files.config(), Some(name(&files, &control)))?;
        let status = Status::default();
        let shown = tokio::spawn(progress::log(status.clone(), PROGRESS_EVERY));
        let worked = work(files, log, control, cluster, status.clone(), Steering::default(), stopping).await;
        shown.abort();
        progress::summary(&status.summary());
        worked
    });
    // A call that hangs in a client's library must not hold up the end: all that counts is in the journal.
    runtime.shutdown_timeout(Duration::from_secs(1));
    worked
}

pub fn runtime() -> Result<Runtime, std::io::Error> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// SIGTERM and Ctrl-C ask for a drain; a second one ends the process at once, which is safe as well.
pub fn stop_on_signal(stop: watch::Sender<bool>) -> Result<JoinHandle<()>, std::io::Error> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::spawn(async move {
        for asked_before in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked_before {
                std::process::exit(130);
            }
            let _ = stop.send(true);
        }
    }))
}

/// What others call this worker: where it is reached.
fn name(files: &Files, control: &Control) -> String {
    let advertised = files.config().worker.rest.advertise.clone();
    advertised.unwrap_or_else(|| control.address().to_string())
}

/// How other workers are asked.
fn place(rest: &Rest) -> Result<Place, Box<dyn Error>> {
    let token = rest.peers.token.as_deref().map(|token| resolve_text(token, &SystemEnvironment)).transpose()?;
    let scheme = if rest.tls.is_some() { "https" } else { "http" };
    Ok(Place { url: scheme.to_owned(), token, ca: rest.peers.ca.clone(), json: true })
}

/// Of connectors that were put over REST; files are looked at by the worker.
async fn look_for_topics(connectors: Arc<Connectors>) {
    let mut tick = tokio::time::interval(TOPICS_EVERY);
    loop {
        tick.tick().await;
        if let Err(refusal) = connectors.look_for_topics().await {
            tracing::debug!(why = refusal.message(), "topics were not looked for");
        }
    }
}

/// The daemon itself, until it is told to stop.
pub async fn work(
    files: Files,
    (levels, memory): (Levels, Memory),
    control: Control,
    cluster: Arc<dyn Cluster>,
    status: Status,
    steering: Steering,
    stop: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error>> {
    let config = files.config();
    let worker = &config.worker;
    let board = Board::default();
    place(&worker.rest)?;
    let peers = {
        let files = files.clone();
        move || place(&files.config().worker.rest).map_err(|error| error.to_string())
    };
    let fleet = Fleet::start(name(&files, &control), board.clone(), peers, Arc::clone(&cluster));
    let connectors = Arc::new(Connectors {
        steering: steering.clone(),
        cluster: Arc::clone(&cluster),
        files: files.clone(),
        fleet: fleet.clone(),
    });
    let letters = Letters { steering: steering.clone(), cluster: Arc::clone(&cluster), looking: Arc::default() };
    let matching = tokio::spawn(look_for_topics(Arc::clone(&connectors)));
    let merchants =
        Arc::new(Merchants::new(steering.clone(), status.clone(), Arc::clone(&cluster), files.clone(), fleet.clone()));
    let documents = Arc::new(Documents {
        steering: steering.clone(),
        connectors: Arc::clone(&connectors),
        merchants: Arc::clone(&merchants),
    });
    let dry_runs = Arc::new(DryRuns::new(Arc::clone(&merchants), Arc::clone(&connectors)));
    let asked = Asked {
        steering: merchants,
        connectors,
        dead_letters: Arc::new(letters),
        documents,
        dry_runs,
        loggers: Arc::new(Loggers { levels, fleet: fleet.clone() }),
        events: Arc::new(Events { memory, fleet: fleet.clone() }),
        group: Arc::new(fleet),
    };
    let (access, certificate) = (control.access(), control.certificate());
    let renewing = tokio::spawn(Renewal { files: files.clone(), access, certificate }.run());
    let shown = health::Shown { board, status: status.clone(), steering: steering.clone() };
    let listener = health::start(control, shown, asked, Arc::clone(&cluster), stop.clone());
    let mut engine = Settings::new(Default::default());
    engine.replay_ms_max = worker.replay_distance_max.age.as_millis() as u64;
    engine.replay_offsets_max = worker.replay_distance_max.records as i64;
    let settings = WorkerSettings {
        engine,
        memory_bytes_max: worker.memory as usize,
        calls: CallLimits { per_host: worker.calls.per_host, per_credential: worker.calls.per_credential },
        cores: std::thread::available_parallelism().map_or(2, usize::from),
        drain_max: worker.drain_deadline,
        retention_alarm: worker.alarms.retention_left,
    };
    let (opener, plans) = (Arc::new(ConfiguredOpener::default()), files.plans());
    let worker = Worker { cluster, opener, field: opener::field, plans, settings, status, steering };
    let result = worker.run(stop).await;
    listener.abort();
    matching.abort();
    renewing.abort();
    Ok(result?)
}
