use crate::{
    Plan,
    configuration::{Configuration, Published, Standing, drafted},
    entrance::{blocking, publish_plan, resolve},
    looks::Looks,
    shard::{LaneState, Which},
};
use outflow_api::{Cluster, ConfigRevision, Fault, LaneId, Revision};
use outflow_catalogue::{CommandEntry, Order, Wanted};
use std::sync::Arc;
use tokio::sync::watch;

/// What people ask of a running worker. Cheap to clone; answers faults until the worker has entered its cluster.
#[derive(Clone)]
pub struct Steering(Arc<watch::Sender<Option<Wheel>>>);

#[derive(Clone)]
pub(crate) struct Wheel {
    pub cluster: Arc<dyn Cluster>,
    pub configuration: Configuration,
    pub looks: Looks,
    pub shards: u32,
}

impl Default for Steering {
    fn default() -> Steering {
        Steering(Arc::new(watch::channel(None).0))
    }
}

impl Steering {
    /// The worker is at work.
    pub(crate) fn take(&self, wheel: Wheel) {
        self.0.send_replace(Some(wheel));
    }

    fn wheel(&self) -> Result<Wheel, Fault> {
        let starting = || Fault::retry("starting", "the worker has not reached its cluster yet");
        self.0.borrow().clone().ok_or_else(starting)
    }

    pub fn configuration(&self) -> Result<Configuration, Fault> {
        self.wheel().map(|wheel| wheel.configuration)
    }

    /// All there are, of whatever worker.
    pub fn shards(&self) -> Result<u32, Fault> {
        self.wheel().map(|wheel| wheel.shards)
    }

    /// Lanes of this worker's shards about which there is something to say.
    pub async fn lanes(&self) -> Result<Vec<LaneState>, Fault> {
        self.look(Which::All).await
    }

    /// The same of these lanes alone: cheap, however many there are.
    pub async fn lanes_of(&self, lanes: Vec<LaneId>) -> Result<Vec<LaneState>, Fault> {
        self.look(Which::These(lanes.into())).await
    }

    /// The same of those that are parked, or held by a person: cheap, however many others there are.
    pub async fn parked_lanes(&self) -> Result<Vec<LaneState>, Fault> {
        self.look(Which::Parked).await
    }

    async fn look(&self, which: Which) -> Result<Vec<LaneState>, Fault> {
        Ok(self.wheel()?.looks.ask(which).await)
    }

    pub async fn order(&self, id: String, orders: Vec<Order>) -> Result<Revision, Fault> {
        self.wheel()?.configuration.order(id, orders).await
    }

    /// What somebody puts over REST: as at the start, a topic that is missing, or another's group that reads under the
    /// same name, is a fault; missing dead letter topics are made.
    pub async fn publish(&self, plan: Plan) -> Result<Published, Fault> {
        let Wheel { cluster, configuration, .. } = self.wheel()?;
        admit(&cluster, &configuration, &plan).await?;
        let (asked, dead_letters) = (Arc::clone(&cluster), plan.dead_letters.clone());
        blocking(move || if dead_letters.is_empty() { Ok(()) } else { asked.provide(&dead_letters) }).await?;
        publish_plan(&cluster, &configuration, Arc::new(plan), None, false).await
    }

    /// What `publish` would publish now, after the same checks: nothing is published, and no topic is made.
    pub async fn draft(&self, plan: Plan) -> Result<Drafted, Fault> {
        let Wheel { cluster, configuration, .. } = self.wheel()?;
        admit(&cluster, &configuration, &plan).await?;
        let wanted = resolve(&cluster, &configuration, Arc::new(plan)).await?;
        let outcome = drafted(&configuration.catalogue(), &wanted, false);
        Ok(Drafted { wanted, outcome })
    }

    /// Holds a connector, or lets it go on, with what is ordered of its lanes.
    pub async fn stand(
        &self,
        connector: String,
        standing: Standing,
        id: String,
        orders: Vec<Order>,
    ) -> Result<Published, Fault> {
        self.wheel()?.configuration.stand(connector, standing, CommandEntry { id, orders }).await
    }
}

/// A plan as it would be published.
pub struct Drafted {
    /// With today's topics and offsets.
    pub wanted: Wanted,
    /// The next revision, or why there would be none.
    pub outcome: Result<ConfigRevision, Published>,
}

/// Of connectors that are new: is anything else at work under their names?
async fn admit(cluster: &Arc<dyn Cluster>, configuration: &Configuration, plan: &Plan) -> Result<(), Fault> {
    let names: Vec<String> = {
        let catalogue = configuration.catalogue();
        let names = plan.topics.keys().chain(plan.patterns.keys());
        names.filter(|name| catalogue.connector(name).is_none()).cloned().collect()
    };
    let cluster = Arc::clone(cluster);
    blocking(move || if names.is_empty() { Ok(()) } else { cluster.admit(&names) }).await
}
