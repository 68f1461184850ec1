//! A worker's way into its cluster: topics and rights looked at, clients made, the config log read, files published.

use crate::{
    Plan, Worker,
    configuration::{Configuration, Published},
    forgetting::needs_of_all,
    retry::Waits,
};
use outflow_api::{Cluster, Fault, Membership, Source, Verdict};
use outflow_catalogue::Wanted;
use std::{collections::BTreeSet, sync::Arc};

/// What a worker needs of its cluster.
pub(crate) struct Entrance {
    pub source: Box<dyn Source>,
    pub second: Box<dyn Source>,
    pub membership: Box<dyn Membership>,
    pub configuration: Configuration,
    pub in_force: Option<String>,
}

impl Worker {
    /// A cluster that does not answer yet is waited for; one that answers "no" ends the start.
    pub(crate) async fn enter(&self) -> Result<Entrance, Fault> {
        let mut waits = Waits::new();
        loop {
            let fault = match self.try_to_enter().await {
                Err(fault) if matches!(fault.verdict, Verdict::Retry { .. }) => fault,
                result => return result,
            };
            tracing::warn!(code = fault.code, %fault, "the cluster does not answer yet: tried again");
            self.status.trouble(Some(fault.to_string()));
            tokio::time::sleep(waits.next(&fault)).await;
        }
    }

    async fn try_to_enter(&self) -> Result<Entrance, Fault> {
        let cluster = Arc::clone(&self.cluster);
        let plan = Arc::clone(&self.plans.borrow());
        let admitted = blocking(move || {
            cluster.prepare()?;
            let names: Vec<String> = plan.topics.keys().cloned().collect();
            cluster.admit(&names)?;
            cluster.provide(&plan.dead_letters)?;
            // A topic that is missing now is somebody's mistake; later it is a change.
            cluster.topics(&plan.topic_names()).map(drop)
        });
        admitted.await?;
        let cluster = Arc::clone(&self.cluster);
        let clients =
            blocking(move || Ok((cluster.source()?, cluster.source()?, cluster.membership()?, cluster.config_log()?)));
        let (source, second, membership, log) = clients.await?;
        let (cluster, shards) = (Arc::clone(&self.cluster), membership.shards());
        let configuration = Configuration::start(log, move || needs_of_all(cluster.as_ref(), shards));
        configuration.wait_for(Default::default()).await?;
        let plan = Arc::clone(&self.plans.borrow());
        let forced = plan.forced;
        let in_force = publish(&self.cluster, &configuration, plan, None, forced).await?;
        self.status.trouble(None);
        Ok(Entrance { source, second, membership, configuration, in_force })
    }
}

/// What the files ask for goes into the config log, unless it is there already. Answers the digest of what is in force
/// now, if that is what these files say.
pub(crate) async fn publish(
    cluster: &Arc<dyn Cluster>,
    configuration: &Configuration,
    plan: Arc<Plan>,
    follows: Option<String>,
    forced: bool,
) -> Result<Option<String>, Fault> {
    match publish_plan(cluster, configuration, Arc::clone(&plan), follows, forced).await? {
        Published::At(revision) => {
            tracing::info!(revision = revision.0, event = "config-published", "configuration published");
            Ok(Some(plan.wanted.digest.clone()))
        }
        Published::Nothing => Ok(Some(configuration.catalogue().digest().to_owned())),
        Published::Superseded | Published::Moved => {
            tracing::warn!(
                event = "config-superseded",
                "these files were published before and others since: what is in force stays; `--publish-again` makes \
                 them the newest"
            );
            Ok(None)
        }
        Published::Taken(why) => Err(Fault::retry("config-taken", format!("these files contradict others: {why}"))),
    }
}

/// The topics as they are now, and then into the config log.
pub(crate) async fn publish_plan(
    cluster: &Arc<dyn Cluster>,
    configuration: &Configuration,
    plan: Arc<Plan>,
    follows: Option<String>,
    forced: bool,
) -> Result<Published, Fault> {
    let wanted = resolve(cluster, configuration, plan).await?;
    configuration.publish(Wanted { follows, ..wanted }, forced).await
}

/// A plan with the topics, and the offsets where lanes begin, as they are now.
pub(crate) async fn resolve(
    cluster: &Arc<dyn Cluster>,
    configuration: &Configuration,
    plan: Arc<Plan>,
) -> Result<Wanted, Fault> {
    let cluster = Arc::clone(cluster);
    let begin = plan.starts.keys().filter_map(|at| Some((*at, plan.wanted.lanes.get(*at)?)));
    let new = if plan.starts.is_empty() { BTreeSet::new() } else { configuration.catalogue().new_among(begin) };
    let dead_letters = {
        let catalogue = configuration.catalogue();
        let entries = catalogue.connector_names().filter_map(|name| catalogue.connector(name));
        entries.filter_map(|entry| entry.dead_letters.clone()).collect()
    };
    blocking(move || plan.resolve(cluster.as_ref(), &new, &dead_letters)).await
}

pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let died = |error| Fault::halt("thread-died", "a blocking call panicked: this is a bug").because(error);
    tokio::task::spawn_blocking(call).await.unwrap_or_else(|error| Err(died(error)))
}
