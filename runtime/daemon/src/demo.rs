//! `outflow demo`: the daemon on the embedded cluster, fed with made-up shop events.

mod broken;
mod shop;

use crate::{files, health, log, progress, run};
use broken::Broken;
use outflow_api::Cluster;
use outflow_config::{Log, LogFormat};
use outflow_control::Control;
use outflow_driver::{Status, Steering};
use outflow_local::LocalCluster;
use shop::Shop;
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

#[derive(clap::Args)]
pub struct Options {
    /// Where topics, journal and the Parquet files go.
    #[arg(long, default_value = "outflow-demo")]
    folder: PathBuf,
    /// Events to make, in all starts together; a further start makes as many again.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    events: u64,
    /// Events per second; 0 is as fast as it goes.
    #[arg(long, default_value_t = 50_000)]
    rate: u64,
}

const SHARDS: u32 = 2;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const WORKER: &str = "\
# The demo's worker: topics and journal in a folder instead of Kafka.
group: demo
local: { folder: cluster }
shards: 2
memory: 256MiB
rest: { listen: \"127.0.0.1:0\" }
config: [ connectors/*.yaml ]
";

pub fn demo(options: &Options) -> Result<(), Box<dyn Error>> {
    let folder = options.folder.as_path();
    fs::create_dir_all(folder.join("connectors"))?;
    let folder = folder.canonicalize()?;
    let files = configure(&folder)?;
    let log = log::start(&Log { level: "warn".into(), format: LogFormat::Text });
    let cluster = Arc::new(LocalCluster::open(folder.join("cluster"), SHARDS)?);
    let shop = Shop::open(&cluster, options.events)?;
    println!(
        "Events of {} merchants, delivered to Parquet in {}: all to lake/, each merchant's orders to merchants/",
        outflow_demo::MERCHANTS,
        folder.display()
    );
    let broken = Broken::open(&folder, shop.made() + options.events / 2)?;
    println!("Stop it in any way (Ctrl-C, kill -9) and start it again: it goes on, nothing is lost or doubled.");
    if shop.made() > 0 {
        println!("Going on behind {} events of earlier starts.", shop.made());
    }
    let (stop, stopping) = watch::channel(false);
    let (status, steering) = (Status::default(), Steering::default());
    run::runtime()?.block_on(async {
        run::stop_on_signal(stop.clone())?;
        let (rate, made, making) = (options.rate, shop.counter(), stopping.clone());
        let cluster = cluster as Arc<dyn Cluster>;
        let control = Control::bind(health::entry(&files.config().worker.rest)).await?;
        let worker = run::work(files, log, control, cluster, status.clone(), steering.clone(), stopping);
        let watch = async {
            // Whoever does not own the folder must not write into it either.
            while status.summary().shards.is_empty() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            let maker = tokio::task::spawn_blocking(move || shop.make(rate, &making));
            let shown = show(&status, &made, maker, broken, &steering).await;
            let _ = stop.send(true);
            shown
        };
        tokio::pin!(worker, watch);
        tokio::select! {
            worked = &mut worker => worked,
            shown = &mut watch => worker.await.and(shown.map_err(Into::into)),
        }
    })?;
    farewell(&folder, &status);
    Ok(())
}

/// The files are written anew at each start, so they always fit the program; they are there to be read.
fn configure(folder: &Path) -> Result<files::Files, Box<dyn Error>> {
    let worker = folder.join("outflow.yaml");
    fs::write(&worker, WORKER)?;
    for (name, text) in outflow_demo::config_files(folder) {
        fs::write(folder.join("connectors").join(name), text)?;
    }
    Ok(files::follow(worker, false)?)
}

/// A line a second, until everything that was made is visible.
async fn show(
    status: &Status,
    made: &shop::Counter,
    maker: tokio::task::JoinHandle<Result<(), outflow_api::Fault>>,
    mut broken: Broken,
    steering: &Steering,
) -> Result<(), outflow_api::Fault> {
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        let summary = status.summary();
        let visible = progress::rows_visible(&summary);
        let made_all = made.get();
        let batches: u64 = summary.connectors.values().map(|connector| connector.batches_visible).sum();
        println!(
            "{:4} s   {made_all:>10} events made   {visible:>10} rows visible by this start   {batches:>6} batches{}",
            started.elapsed().as_secs(),
            broken.told(&summary)
        );
        if made_all >= broken.mend_at() || maker.is_finished() {
            broken.mend(steering).await?;
        }
        if maker.is_finished() && broken.is_served(steering).await {
            return maker.await.unwrap_or_else(|error| {
                Err(outflow_api::Fault::halt("maker-died", "making events panicked: this is a bug").because(error))
            });
        }
    }
}

fn farewell(folder: &Path, status: &Status) {
    let summary = status.summary();
    println!("\nDelivered by this start: {} rows, each of them once.", progress::rows_visible(&summary));
    progress::summary(&summary);
    let lake = folder.join("lake");
    println!(
        "\nThe files are in {}, one folder for each topic and day. Read them with anything that reads Parquet:\n",
        lake.display()
    );
    println!("  duckdb -c \"SELECT event_type, count(*), count(DISTINCT (_topic, _partition, _offset)) AS no_doubles");
    println!("             FROM read_parquet('{}/*/*/*.parquet', union_by_name = true) GROUP BY ALL\"", lake.display());
    println!(
        "  python3 -c \"import pyarrow.dataset as d; print(d.dataset('{}/orders').count_rows())\"",
        lake.display()
    );
    println!(
        "  duckdb -c \"SELECT count(*) FROM read_parquet('{}/merchants/1001/*.parquet')\"   # one merchant's",
        folder.display()
    );
    println!("\nHow it was configured: {}", folder.join("outflow.yaml").display());
}
