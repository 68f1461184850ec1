use crate::{cluster, health, log, opener, progress};
use outflow_api::Cluster;
use outflow_config::{Config, SystemEnvironment};
use outflow_driver::{Status, Worker, WorkerSettings};
use outflow_engine::Settings;
use std::{error::Error, path::Path, sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

const PROGRESS_EVERY: Duration = Duration::from_secs(10);

pub fn run(path: &Path) -> Result<(), Box<dyn Error>> {
    let config = outflow_config::load(path, outflow_registry::sinks(), &SystemEnvironment)?;
    log::start(&config.worker.log);
    let cluster = cluster::open(&config)?;
    let (stop, stopping) = watch::channel(false);
    let runtime = runtime()?;
    let worked = runtime.block_on(async {
        stop_on_signal(stop)?;
        let status = Status::default();
        let shown = tokio::spawn(progress::log(status.clone(), PROGRESS_EVERY));
        let worked = work(&config, cluster, status.clone(), stopping).await;
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
    cluster: Arc<dyn Cluster>,
    status: Status,
    stop: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error>> {
    let worker = &config.worker;
    let listener = health::start(worker.rest, status.clone(), stop.clone()).await?;
    let opener = Arc::new(opener::ConfiguredOpener::new(&config.connectors));
    let plans = config.connectors.iter().map(opener::plan).collect();
    let mut engine = Settings::new(Default::default());
    engine.replay_ms_max = worker.replay_distance_max.age.as_millis() as u64;
    engine.replay_offsets_max = worker.replay_distance_max.records as i64;
    let settings = WorkerSettings {
        engine,
        memory_bytes_max: worker.memory as usize,
        cores: std::thread::available_parallelism().map_or(2, usize::from),
        drain_max: worker.drain_deadline,
    };
    let result = Worker::new(cluster, opener, plans, settings, status).run(stop).await;
    listener.abort();
    Ok(result?)
}
