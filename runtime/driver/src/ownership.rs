//! From "this shard is ours" to a running engine: fence, read, only then act (P6).

use crate::{catch_up::CatchUp, configuration::Configuration, holds::Hold, topology::Topology};
use outflow_api::{
    AppendOutcome, Fault, Journal, Offset, OffsetRange, Recovered, Shard, TopicPartition, Track, Transaction,
};
use outflow_catalogue::Needs;
use outflow_engine::{Action, Engine, Settings};
use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
};
use tokio::sync::oneshot;

/// The thread on which a shard's journal lives; ends when this is dropped.
pub(crate) struct JournalThread(mpsc::Sender<Append>);

struct Append {
    transaction: Transaction,
    answer: Box<dyn FnOnce(AppendOutcome) + Send>,
}

impl JournalThread {
    pub async fn own(
        shard: Shard,
        make: impl FnOnce() -> Result<Box<dyn Journal>, Fault> + Send + 'static,
    ) -> Result<(JournalThread, Recovered), Fault> {
        let (sender, appends) = mpsc::channel::<Append>();
        let (answer, recovered) = oneshot::channel();
        let run = move || {
            let owned = make().and_then(|mut journal| journal.acquire().map(|recovered| (journal, recovered)));
            let mut journal = match owned {
                Ok((journal, recovered)) => {
                    let _ = answer.send(Ok(recovered));
                    journal
                }
                Err(fault) => return drop(answer.send(Err(fault))),
            };
            while let Ok(Append { transaction, answer }) = appends.recv() {
                answer(journal.append(&transaction));
            }
        };
        std::thread::Builder::new().name(format!("journal-{}", shard.0)).spawn(run).expect("a thread can be started");
        let gone = || Fault::retry("journal-gone", "the journal's thread ended without an answer");
        let recovered = recovered.await.unwrap_or_else(|_| Err(gone()))?;
        Ok((JournalThread(sender), recovered))
    }

    pub fn append(&self, transaction: Transaction, answer: impl FnOnce(AppendOutcome) + Send + 'static) {
        let _ = self.0.send(Append { transaction, answer: Box::new(answer) });
    }
}

pub(crate) struct Owned {
    pub engine: Engine,
    pub topology: Arc<Topology>,
    /// Of the shard's partitions.
    pub bounds: BTreeMap<TopicPartition, OffsetRange>,
    pub actions: Vec<Action>,
    pub hold: Hold,
}

/// An engine that knows what was decided. What the configuration wants from here on it is told later.
pub(crate) async fn recover(
    settings: Settings,
    mut recovered: Recovered,
    configuration: &Configuration,
    topology: Arc<Topology>,
    shards: u32,
    catch_up: &CatchUp,
) -> Result<Owned, Fault> {
    // The journal may name revisions that this process has not read yet (P20).
    let newest = recovered.revisions.last().map_or(recovered.applied.revision, |last| last.revision);
    configuration.wait_for(newest.max(recovered.applied.revision)).await?;
    let hold = configuration.hold(settings.shard, Needs::of(&recovered))?;
    let own = |key: &TopicPartition| key.partition % shards == settings.shard.0;
    let all = topology.names().keys().flat_map(|topic| topology.partitions(*topic)).filter(own);
    let bounds = catch_up.bounds(all.collect()).await?;
    recovered.floors.retain(|track, floor| {
        let is_there = bounds.contains_key(&track.partition);
        if !is_there {
            let floor = floor.0;
            tracing::error!(
                ?track,
                floor,
                event = "topic-gone",
                "the topic is gone, or was made anew: nothing is read from it"
            );
        }
        is_there
    });
    let starts = starts(configuration, &topology, &recovered, &bounds);
    let mut actions = Vec::new();
    let engine = Engine::recover(settings, recovered, &starts, 0, &mut actions);
    Ok(Owned { engine, topology, bounds, actions, hold })
}

/// Partitions that no owner ever read, of feeds that were taken: they begin where their log begins today.
fn starts(
    configuration: &Configuration,
    topology: &Topology,
    recovered: &Recovered,
    bounds: &BTreeMap<TopicPartition, OffsetRange>,
) -> BTreeMap<Track, Offset> {
    let catalogue = configuration.catalogue();
    let mut starts = BTreeMap::new();
    // One that a later revision ends is among them: up to there rows are its lanes'.
    for (feed, topic) in catalogue.reads(recovered.applied.revision) {
        for partition in topology.partitions(topic) {
            let track = Track { feed, partition };
            if let Some(log) = bounds.get(&partition).filter(|_| !recovered.floors.contains_key(&track)) {
                starts.insert(track, log.start);
            }
        }
    }
    starts
}
