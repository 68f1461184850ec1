use crate::{
    cluster, files, health, log,
    merchants::Merchants,
    opener::{self, ConfiguredOpener},
    progress,
};
use outflow_api::Cluster;
use outflow_config::Config;
use outflow_driver::{CallLimits, Plan, Status, Steering, Worker, WorkerSettings};
use outflow_engine::Settings;
use std::{error::Error, path::Path, sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// `publish_again`: also files that were published before and others since.
pub fn run(path: &Path, publish_again: bool) -> Result<(), Box<dyn Error>> {
    let (config, plans) = files::follow(path.to_owned(), publish_again)?;
    log::start(&config.worker.log);
    let cluster = cluster::open(&config)?;
    let (stop, stopping) = watch::channel(false);
    let runtime = runtime()?;
    let worked = runtime.block_on(async {
        stop_on_signal(stop)?;
        let status = Status::default();
        let shown = tokio::spawn(progress::log(status.clone(), PROGRESS_EVERY));
        let worked = work(&config, plans, cluster, status.clone(), Steering::default(), stopping).await;
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

/// The daemon itself, until it is told to stop.
pub async fn work(
    config: &Config,
    plans: watch::Receiver<Arc<Plan>>,
    cluster: Arc<dyn Cluster>,
    status: Status,
    steering: Steering,
    stop: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error>> {
    let worker = &config.worker;
    let merchants = Merchants::new(steering.clone(), status.clone(), Arc::clone(&cluster));
    let listener = health::start(worker.rest, status.clone(), merchants, stop.clone()).await?;
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
    let opener = Arc::new(ConfiguredOpener::default());
    let worker = Worker { cluster, opener, field: opener::field, plans, settings, status, steering };
    let result = worker.run(stop).await;
    listener.abort();
    Ok(result?)
}
