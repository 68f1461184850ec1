//! What would happen if something were put. It goes the way of a real one up to the publication, and its rows the way
//! of real ones up to the destination.

mod changes;
mod scope;
mod told;

use crate::{
    connectors::{Connectors, published, wrong},
    merchants::Merchants,
    opener::{self, ConfiguredOpener},
};
use async_trait::async_trait;
use outflow_api::{Cluster, ConfigRevision, LaneId, TopicPartition};
use outflow_control::{DryRun, Expected, Group, Proposal, Proposed, Put, Refusal, Standing, Steering};
use outflow_driver::{Configuration, Plan, Published, Sample, Trial};
use scope::{Scope, Subject};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::{sync::Mutex, task::spawn_blocking};
use told::Telling;

/// The daemon's side of [`outflow_control::DryRuns`].
pub struct DryRuns {
    merchants: Arc<Merchants>,
    connectors: Arc<Connectors>,
    /// Each opens a client and reads: one at a time.
    at_work: Arc<Mutex<()>>,
}

/// Names of topics, by what records call them.
pub type Names = BTreeMap<TopicPartition, String>;

impl DryRuns {
    pub fn new(merchants: Arc<Merchants>, connectors: Arc<Connectors>) -> DryRuns {
        DryRuns { merchants, connectors, at_work: Arc::default() }
    }

    async fn scope(&self, of: Proposed, expected: Expected, configuration: &Configuration) -> Result<Scope, Refusal> {
        let (plan, subject) = match of {
            Proposed::Merchant { id, content: None } => {
                return Scope::in_force(&configuration.catalogue(), Subject::Merchant(id));
            }
            Proposed::Connector { name, config: None } => {
                return Scope::in_force(&configuration.catalogue(), Subject::Connector(name));
            }
            Proposed::Merchant { id, content: Some(content) } => {
                (self.merchants.plan_of(&id, &content, expected, &BTreeMap::new())?.0, Subject::Merchant(id))
            }
            Proposed::Connector { name, config: Some(config) } => {
                let put = Put { name: name.clone(), config, expected, standing: Standing::Running };
                (self.connectors.plan_of(&put)?.0, Subject::Connector(name))
            }
        };
        self.drafted(plan, subject, expected, configuration).await
    }

    async fn drafted(
        &self,
        plan: Plan,
        subject: Subject,
        expected: Expected,
        configuration: &Configuration,
    ) -> Result<Scope, Refusal> {
        let drafted = self.merchants.steering.draft(plan).await.map_err(wrong)?;
        let revision = match drafted.outcome {
            Ok(revision) => Some(revision),
            Err(Published::Nothing) => None,
            Err(why) => {
                published(why, subject.name(), expected)?;
                None
            }
        };
        Ok(Scope::wanted(&configuration.catalogue(), subject, drafted.wanted, revision))
    }

    /// Of lanes that would go: records to look through for what they have not delivered, over all shards.
    async fn owed(&self, scope: &Scope) -> Result<BTreeMap<u32, u64>, Refusal> {
        let gone: Vec<u32> = scope.revision.iter().flat_map(removed).map(|lane| lane.0).collect();
        if gone.is_empty() {
            return Ok(BTreeMap::new());
        }
        match &scope.subject {
            Subject::Merchant(id) => {
                let detail = self.merchants.merchant(id, false).await?;
                let own = detail.merchant.deliveries.into_iter().filter(|one| gone.contains(&one.lane));
                Ok(own.map(|one| (one.lane, one.lag_records)).collect())
            }
            // The lane of a connector without merchants is all that it has.
            Subject::Connector(name) => {
                let workers = self.connectors.fleet.workers();
                let status = workers.iter().filter_map(|worker| worker.status.as_deref());
                let lag = status.filter_map(|status| status.connectors.get(name)).map(|one| one.lag_records).sum();
                Ok(gone.into_iter().map(|lane| (lane, lag)).collect())
            }
        }
    }
}

fn removed(revision: &ConfigRevision) -> impl Iterator<Item = LaneId> + '_ {
    let gone = revision.entries.iter().filter(|entry| entry.content.is_none());
    gone.filter_map(|entry| entry.object.strip_prefix("lane/")?.parse().ok().map(LaneId))
}

#[async_trait]
impl outflow_control::DryRuns for DryRuns {
    async fn dry_run(&self, proposal: Proposal) -> Result<DryRun, Refusal> {
        let busy = |_| Refusal::unavailable("another dry run is at work on this worker: ask again in some seconds");
        let turn = Arc::clone(&self.at_work).try_lock_owned().map_err(busy)?;
        let configuration = self.merchants.steering.configuration()?;
        let scope = self.scope(proposal.of, proposal.expected, &configuration).await?;
        let owed = self.owed(&scope).await?;
        let cluster = Arc::clone(&self.merchants.cluster);
        let tried = spawn_blocking(move || {
            // Held for as long as it reads, even if nobody waits for it any more.
            let _turn = turn;
            run(cluster.as_ref(), &configuration, &scope, &owed, proposal.records)
        });
        tried.await.unwrap_or_else(|_| Err(Refusal::unavailable("the dry run failed: ask again")))
    }
}

/// Blocking.
fn run(
    cluster: &dyn Cluster,
    configuration: &Configuration,
    scope: &Scope,
    owed: &BTreeMap<u32, u64>,
    records: usize,
) -> Result<DryRun, Refusal> {
    let names = names(cluster, scope)?;
    let partitions: Vec<TopicPartition> = names.keys().copied().collect();
    let sample = Sample::newest(cluster.source().map_err(wrong)?.as_mut(), &partitions, records).map_err(wrong)?;
    let trial = Trial::new(opener::field, Arc::new(ConfiguredOpener::default()));
    let named: BTreeMap<String, BTreeMap<String, u64>> = scope
        .connectors
        .iter()
        .map(|connector| (connector.name.clone(), trial.named(&connector.entry, &sample.slices)))
        .collect();
    let (changes, lanes) = {
        let catalogue = configuration.catalogue();
        let change = |revision| changes::of(&catalogue, revision, owed, &sample, &names);
        let changes = scope.revision.as_ref().map(change).transpose()?;
        (changes.unwrap_or_default(), scope.lanes_with(&catalogue, &named))
    };
    // Without the catalogue: whoever publishes would have to wait.
    let tried = trial.run(scope.connectors.clone(), lanes, &sample.slices, |lane| scope.subject.is_of(lane))?;
    let catalogue = configuration.catalogue();
    let telling = Telling { catalogue: &catalogue, scope, named: &named, sample: &sample, names: &names };
    Ok(telling.answer(changes, tried))
}

/// All partitions that the connectors read.
fn names(cluster: &dyn Cluster, scope: &Scope) -> Result<Names, Refusal> {
    let topics: BTreeSet<&str> =
        scope.connectors.iter().flat_map(|one| one.entry.topics.iter().map(|topic| topic.name.as_str())).collect();
    let topics: Vec<String> = topics.into_iter().map(str::to_owned).collect();
    let infos = cluster.topics(&topics).map_err(wrong)?;
    let partitions = infos.into_iter().flat_map(|info| {
        let key = move |partition| TopicPartition { topic: info.id, partition };
        let name = info.name;
        (0..info.partitions).map(move |partition| (key(partition), name.clone())).collect::<Vec<_>>()
    });
    Ok(partitions.collect())
}
