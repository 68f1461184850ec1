//! Connectors in Kafka Connect's terms: what is put over REST becomes a document of the config log, and what it says is
//! published in the same revision. Connectors of files are shown beside them, and changed in the files.

mod judge;
mod offsets;
mod state;

use crate::{
    files::Files,
    fleet::Fleet,
    merchants::{new_id, target::known_connector},
    plan::{entry, own_lane, topics_of},
    quotas,
};
use async_trait::async_trait;
use outflow_api::{Cluster, Fault, LaneId};
use outflow_catalogue::{Catalogue, Draft, Expected as Wants, Order, Origin, Wanted, WantedConnector, draft};
use outflow_config::ConnectorConfig;
use outflow_control::{
    ConnectorState, Expected, Flat, Info, Kept, KeyInfo, Kind, PluginInfo, Put, Refusal, Standing, TaskId, TopicOffset,
    Validation, Wish,
};
use outflow_driver::{Configuration, From, Plan, Published, Standing as Stands, Steering};
use std::{collections::BTreeMap, sync::Arc};

/// The daemon's side of [`outflow_control::Connectors`].
pub struct Connectors {
    pub steering: Steering,
    pub cluster: Arc<dyn Cluster>,
    pub files: Files,
    pub fleet: Fleet,
}

/// The document of a connector.
fn document(name: &str) -> String {
    format!("connector/{name}")
}

impl Connectors {
    fn configuration(&self) -> Result<Configuration, Refusal> {
        Ok(self.steering.configuration()?)
    }

    fn info_of(&self, catalogue: &Catalogue, name: &str, shards: u32) -> Result<Info, Refusal> {
        known_connector(catalogue, name)?;
        let is_stopped = catalogue.connector(name).is_some_and(|entry| entry.stopped);
        let tasks = if is_stopped { 0..0 } else { 0..shards };
        let revision = catalogue.document(&document(name)).map(|(revision, _)| revision.0);
        let config = self.config_of(catalogue, name)?;
        let tasks = tasks.map(|task| TaskId { connector: name.to_owned(), task }).collect();
        Ok(Info { name: name.to_owned(), config, tasks, kind: Kind::Sink, revision })
    }

    /// As it was put, or as files have it.
    pub fn config_of(&self, catalogue: &Catalogue, name: &str) -> Result<Flat, Refusal> {
        match catalogue.document(&document(name)) {
            Some((_, text)) => read(text),
            None => Ok(self.of_files(catalogue, name)),
        }
    }

    /// Whether it could be put, as far as it is known without putting it.
    pub fn judge(&self, name: &str, config: Flat) -> Result<ConnectorConfig, Refusal> {
        self.files.check_writable()?;
        let configuration = self.configuration()?;
        self.check_not_in_files(&configuration.catalogue(), name)?;
        let (flat, connector) = judge::connector(&self.files.config().worker, name, config)?;
        let plan = plan(&connector, &flat, Wants::Anything, Standing::Running, BTreeMap::new());
        quotas::check(&configuration.catalogue(), &plan.wanted, self.files.config().worker.shards)?;
        match draft(&configuration.catalogue(), &plan.wanted, false) {
            Draft::Taken(why) => Err(Refusal::malformed(why)),
            _ => Ok(connector),
        }
    }

    /// As this worker's files have it; another worker's files may be newer.
    fn of_files(&self, catalogue: &Catalogue, name: &str) -> Flat {
        let config = self.files.config();
        if let Some(connector) = config.connectors.iter().find(|connector| connector.name == name) {
            return (*connector.flat).clone();
        }
        let topics = catalogue.connector(name).map(|entry| &entry.topics).into_iter().flatten();
        let topics: Vec<&str> = topics.map(|topic| topic.name.as_str()).collect();
        [("name", name.to_owned()), ("topics", topics.join(","))].map(|(key, text)| (key.to_owned(), text)).into()
    }

    fn check_not_in_files(&self, catalogue: &Catalogue, name: &str) -> Result<(), Refusal> {
        let is_there = catalogue.connector(name).is_some();
        match is_there && catalogue.origin(name) == Origin::Files {
            true => {
                Err(Refusal::forbidden(format!("connector {name:?} stands in the worker's files: change it there")))
            }
            false => Ok(()),
        }
    }

    /// Its own lane, if not all records are merchants'.
    fn own_lanes(catalogue: &Catalogue, name: &str) -> Vec<LaneId> {
        let own = catalogue.routes(name).map(|routes| routes.own()).into_iter().flatten();
        own.map(|lane| lane.lane).filter(|lane| !catalogue.is_gone(*lane)).collect()
    }

    /// Topics that fit a pattern of what was put come and go.
    pub async fn look_for_topics(&self) -> Result<(), Refusal> {
        let configuration = self.configuration()?;
        let documents: Vec<(u64, Flat)> = {
            let catalogue = configuration.catalogue();
            let all = catalogue.documents("connector/").filter(|(_, text)| text.contains("topics.regex"));
            let all = all.filter_map(|(name, text)| Some((catalogue.document(name)?.0.0, read(text).ok()?)));
            all.collect()
        };
        for (revision, flat) in documents.into_iter().filter(|(_, flat)| flat.contains_key("topics.regex")) {
            let name = flat.get("name").cloned().unwrap_or_default();
            let (flat, connector) = judge::connector(&self.files.config().worker, &name, flat)?;
            let expected = wants(Expected::Revision(revision));
            let plan = plan(&connector, &flat, expected, Standing::Running, BTreeMap::new());
            if let Published::At(revision) = self.steering.publish(plan).await? {
                let revision = revision.0;
                tracing::info!(
                    connector = name,
                    revision,
                    event = "topics-matched",
                    "other topics fit its pattern now"
                );
            }
        }
        Ok(())
    }

    /// What is to be published for a connector, and whether it is new.
    pub fn plan_of(&self, put: &Put) -> Result<(Plan, bool), Refusal> {
        self.files.check_writable()?;
        let Put { name, config, expected, standing } = put;
        let configuration = self.configuration()?;
        let (is_new, left) = {
            let catalogue = configuration.catalogue();
            let is_new = catalogue.connector(name).is_none();
            if !is_new && *expected == Expected::Nothing {
                return Err(exists(name));
            }
            self.check_not_in_files(&catalogue, name)?;
            (is_new, catalogue.left(name).unwrap_or_default())
        };
        let (flat, connector) = judge::connector(&self.files.config().worker, name, config.clone())?;
        let plan = plan(&connector, &flat, wants(*expected), *standing, left);
        quotas::check(&configuration.catalogue(), &plan.wanted, self.files.config().worker.shards)?;
        Ok((plan, is_new))
    }

    async fn order(&self, orders: Vec<Order>) -> Result<(), Refusal> {
        if !orders.is_empty() {
            self.steering.order(new_id()?, orders).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl outflow_control::Connectors for Connectors {
    fn names(&self) -> Result<Vec<String>, Refusal> {
        let configuration = self.configuration()?;
        let names = configuration.catalogue().connector_names().map(str::to_owned).collect();
        Ok(names)
    }

    fn info(&self, name: &str) -> Result<Info, Refusal> {
        let (configuration, shards) = (self.configuration()?, self.steering.shards()?);
        let catalogue = configuration.catalogue();
        self.info_of(&catalogue, name, shards)
    }

    async fn state(&self, name: &str) -> Result<ConnectorState, Refusal> {
        state::state(self, name)
    }

    async fn put(&self, put: Put) -> Result<Kept, Refusal> {
        let (plan, is_new) = self.plan_of(&put)?;
        let Put { name, expected, standing, .. } = put;
        published(self.steering.publish(plan).await.map_err(wrong)?, &name, expected)?;
        tracing::info!(connector = name, is_new, event = "connector-configured", "configured over REST");
        if is_new && standing != Standing::Running {
            // Its own lane is held as well: what it has of the past is delivered when it goes on.
            self.stand(&name, standing).await?;
        }
        let info = self.info(&name)?;
        Ok(Kept { info, is_new })
    }

    /// What is not delivered yet is left: one that is made again under its name goes on exactly there.
    async fn remove(&self, name: &str, expected: Expected, force: bool) -> Result<(), Refusal> {
        self.files.check_writable()?;
        let configuration = self.configuration()?;
        let lanes = {
            let catalogue = configuration.catalogue();
            known_connector(&catalogue, name)?;
            self.check_not_in_files(&catalogue, name)?;
            // Before anything is stopped: who is late must not stop what somebody else has put.
            let said = catalogue.document(&document(name)).map(|(revision, _)| revision);
            if !wants(expected).is_met(said) {
                return published(Published::Moved, name, expected);
            }
            Connectors::own_lanes(&catalogue, name)
        };
        let left = match lanes.is_empty() {
            true => BTreeMap::new(),
            false => {
                self.stand(name, Standing::Stopped).await?;
                if force {
                    self.order(lanes.iter().map(|lane| Order::Abandon { lane: lane.0 }).collect()).await?;
                }
                offsets::at_rest(self, name).await?
            }
        };
        let expected = if expected == Expected::Anything { Expected::Something } else { expected };
        let origin = Origin::Document(document(name));
        let wanted = Wanted { origin, expected: wants(expected), left, ..Wanted::default() };
        let plan = Plan { wanted, ..Plan::default() };
        published(self.steering.publish(plan).await?, name, expected)?;
        tracing::info!(connector = name, event = "connector-removed", "removed over REST");
        // The lanes that went are held, and owe what is left: nobody is to wait for it.
        let orders = lanes.into_iter().flat_map(|lane| [Order::Skip { lane: lane.0 }, Order::Resume { lane: lane.0 }]);
        self.order(orders.collect()).await
    }

    async fn stand(&self, name: &str, standing: Standing) -> Result<(), Refusal> {
        let configuration = self.configuration()?;
        let orders = {
            let catalogue = configuration.catalogue();
            known_connector(&catalogue, name)?;
            let lanes = Connectors::own_lanes(&catalogue, name);
            let order = |lane: LaneId| match standing {
                Standing::Running => Order::Resume { lane: lane.0 },
                Standing::Paused | Standing::Stopped => Order::Pause { lane: lane.0 },
            };
            lanes.into_iter().map(order).collect()
        };
        let stands = match standing {
            Standing::Running => Stands::Running,
            Standing::Paused => Stands::Paused,
            Standing::Stopped => Stands::Stopped,
        };
        let outcome = self.steering.stand(name.to_owned(), stands, new_id()?, orders).await?;
        published(outcome, name, Expected::Something)?;
        tracing::info!(connector = name, ?standing, event = "ordered", "ordered by a person");
        Ok(())
    }

    /// Nothing here has to be started again: what is parked is tried at once. Who is held stays held.
    async fn restart(&self, name: &str, task: Option<u32>) -> Result<(), Refusal> {
        let configuration = self.configuration()?;
        let lanes = {
            let catalogue = configuration.catalogue();
            known_connector(&catalogue, name)?;
            let is_held = catalogue.connector(name).is_some_and(|entry| entry.is_held());
            if is_held { Vec::new() } else { Connectors::own_lanes(&catalogue, name) }
        };
        let states = self.steering.lanes_of(lanes).await?;
        let parked = states.iter().filter(|lane| task.is_none_or(|task| lane.shard == task));
        let mut parked: Vec<u32> =
            parked.filter(|lane| lane.parked.is_some() && !lane.is_held).map(|lane| lane.lane).collect();
        parked.dedup();
        self.order(parked.into_iter().map(|lane| Order::Resume { lane }).collect()).await
    }

    fn topics(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let configuration = self.configuration()?;
        let catalogue = configuration.catalogue();
        known_connector(&catalogue, name)?;
        let topics = catalogue.connector(name).map(|entry| &entry.topics).into_iter().flatten();
        Ok(topics.map(|topic| topic.name.clone()).collect())
    }

    async fn offsets(&self, name: &str) -> Result<Vec<TopicOffset>, Refusal> {
        offsets::of(self, name)
    }

    async fn alter(&self, name: &str, offsets: Option<Vec<Wish>>) -> Result<String, Refusal> {
        offsets::alter(self, name, offsets).await
    }

    fn plugins(&self) -> Vec<PluginInfo> {
        judge::plugins()
    }

    fn keys(&self, plugin: &str) -> Result<Vec<KeyInfo>, Refusal> {
        judge::keys(plugin)
    }

    fn validate(&self, plugin: &str, config: &Flat) -> Result<Validation, Refusal> {
        judge::validate(&self.files.config().worker, plugin, config)
    }
}

fn read(text: &str) -> Result<Flat, Refusal> {
    serde_json::from_str(text).map_err(|error| Refusal::internal(format!("the document cannot be read: {error}")))
}

/// What has to be published for a connector that is put over REST.
fn plan(
    connector: &ConnectorConfig,
    flat: &Flat,
    expected: Wants,
    standing: Standing,
    left: BTreeMap<String, i64>,
) -> Plan {
    let name = document(&connector.name);
    let mut entry = entry(connector);
    (entry.paused, entry.stopped) = (standing == Standing::Paused, standing == Standing::Stopped);
    let mut lanes: Vec<_> = own_lane(connector).into_iter().collect();
    for lane in &mut lanes {
        (lane.source, lane.resumes) = (Origin::source(&name), !left.is_empty());
    }
    let starts = lanes.iter().enumerate().map(|(at, _)| (at, From::Left(left.clone()))).collect();
    let wanted = Wanted {
        connectors: vec![WantedConnector { name: connector.name.clone(), entry }],
        lanes,
        origin: Origin::Document(name),
        document: Some(serde_json::to_string(flat).expect("texts are plain JSON").into()),
        expected,
        ..Wanted::default()
    };
    Plan { wanted, starts, ..topics_of([connector]) }
}

pub fn wants(expected: Expected) -> Wants {
    match expected {
        Expected::Anything => Wants::Anything,
        Expected::Nothing => Wants::Nothing,
        Expected::Something => Wants::Something,
        Expected::Revision(revision) => Wants::Said(outflow_api::Revision(revision)),
    }
}

fn exists(name: &str) -> Refusal {
    Refusal::conflict(format!("{name:?} already exists"))
}

/// What came of a publication, for whoever asked for it.
pub fn published(outcome: Published, name: &str, expected: Expected) -> Result<(), Refusal> {
    match (outcome, expected) {
        (Published::At(_) | Published::Nothing, _) => Ok(()),
        (Published::Moved, Expected::Nothing) => Err(exists(name)),
        (Published::Moved, Expected::Something) => Err(Refusal::unknown(format!("there is no {name:?}"))),
        (Published::Moved | Published::Superseded, _) => Err(Refusal::outdated(format!(
            "somebody else has changed {name:?} since you read it: read it again, and decide again"
        ))),
        (Published::Taken(why), _) => Err(Refusal::malformed(why)),
    }
}

/// A topic that is missing, or another group at work under the name: the writer's to mend, not ours.
pub fn wrong(fault: Fault) -> Refusal {
    match fault.verdict {
        outflow_api::Verdict::Retry { .. } => fault.into(),
        _ => Refusal::malformed(fault.to_string()),
    }
}
