//! From "this shard is ours" to a running engine: fence, read, only then act (P6).

use crate::{
    catch_up::CatchUp,
    definitions::{Definitions, Wanted},
    lanes::{Lanes, Opener},
};
use outflow_api::{AppendOutcome, Fault, Journal, Offset, Recovered, Revision, Shard, TopicPartition, Transaction};
use outflow_engine::{Action, Engine, Event, Settings};
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
    pub lanes: Lanes,
    pub actions: Vec<Action>,
}

/// An engine that knows what was decided, and what the configuration wants from here on.
pub(crate) async fn recover(
    mut settings: Settings,
    recovered: Recovered,
    opener: Arc<dyn Opener>,
    wanted: &[Wanted],
    partitions: Vec<TopicPartition>,
    catch_up: &CatchUp,
) -> Result<Owned, Fault> {
    let mut lanes = Lanes::recover(opener, &recovered.revisions)?;
    let new = Definitions::after(lanes.newest(), wanted);
    let revised = new.map(|definitions| {
        let content = definitions.encode();
        let revision = Revision(definitions.revision);
        lanes.add(definitions);
        Event::Revised { revision, content: content.into() }
    });
    for definition in lanes.newest().into_iter().flat_map(|newest| &newest.lanes) {
        if let Ok(open) = lanes.get(definition.id(), definition.version()) {
            settings.flush_of.insert(definition.id(), open.flush);
            settings.reject_percent_of.insert(definition.id(), open.reject_percent_max);
        }
    }
    let starts = starts(partitions, &recovered, catch_up).await?;
    let mut actions = Vec::new();
    let mut engine = Engine::recover(settings, recovered, &starts, 0, &mut actions);
    if let Some(revised) = revised {
        engine.handle(0, revised, &mut actions);
    }
    Ok(Owned { engine, lanes, actions })
}

/// Partitions that no owner ever read begin where their log begins today.
async fn starts(
    partitions: Vec<TopicPartition>,
    recovered: &Recovered,
    catch_up: &CatchUp,
) -> Result<BTreeMap<TopicPartition, Offset>, Fault> {
    let (known, unknown): (Vec<_>, Vec<_>) = partitions.into_iter().partition(|key| recovered.floors.contains_key(key));
    let bounds = catch_up.bounds(unknown).await?;
    let known = known.into_iter().map(|key| (key, recovered.floors[&key]));
    Ok(known.chain(bounds.into_iter().map(|(key, bounds)| (key, bounds.start))).collect())
}
