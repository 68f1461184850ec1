//! Merchants that are put over REST: what a file would say of them, as a document of the config log.

use crate::{
    connectors::{published, wants, wrong},
    merchants::{Merchants, in_time, new_id, target},
    opener::ConfiguredOpener,
    plan::{from, lane},
    quotas,
};
use outflow_api::{LaneId, Revision};
use outflow_catalogue::{Catalogue, Draft, Order, Origin, Wanted, draft};
use outflow_config::{
    ConnectorConfig, Environment, MerchantConfig, Plugin, SystemEnvironment, judge, merchant_document,
};
use outflow_control::{Content, Expected, Flat, Placed, Refusal, Step, Undelivered};
use outflow_driver::{Opener, Plan};
use serde_json::Value;
use std::{collections::BTreeMap, io, path::Path, sync::Arc};

fn document(id: &str) -> String {
    format!("merchant/{id}")
}

impl Merchants {
    fn check_writable(&self, catalogue: &Catalogue, id: &str) -> Result<(), Refusal> {
        self.files.check_writable()?;
        let of_files = catalogue.merchant(id).iter().filter(|lane| !catalogue.is_gone(**lane));
        let of_files = of_files.filter_map(|lane| catalogue.lane(*lane));
        match of_files.map(|lane| &lane.source).find(|source| Origin::of(source) == Origin::Files) {
            Some(file) if catalogue.document(&document(id)).is_none() => {
                Err(Refusal::forbidden(format!("merchant {id:?} stands in the file {file}: change him there")))
            }
            _ => Ok(()),
        }
    }

    /// What is to be published for him, and whether he is new. `more`: connectors that would be put first.
    pub fn plan_of(
        &self,
        id: &str,
        content: &Value,
        expected: Expected,
        more: &BTreeMap<String, ConnectorConfig>,
    ) -> Result<(Plan, bool), Refusal> {
        let configuration = self.steering.configuration()?;
        let catalogue = configuration.catalogue();
        self.check_writable(&catalogue, id)?;
        let known = catalogue.document(&document(id));
        if known.is_some() && expected == Expected::Nothing {
            return Err(Refusal::conflict(format!("merchant {id:?} already exists")));
        }
        let connectors = self.connectors_of(&catalogue, content, more);
        let (config, sinks) = (self.files.config(), outflow_registry::sinks());
        let merchant =
            merchant_document(&document(id), content, &config.worker, &connectors, sinks, &SystemEnvironment);
        let merchant = merchant.map_err(|problems| Refusal::malformed(problems.to_string()))?;
        let plan = plan(&catalogue, &merchant, &connectors, content, expected);
        quotas::check(&catalogue, &plan.wanted, config.worker.shards)?;
        Ok((plan, known.is_none()))
    }

    /// Whether he could be put, as far as it is known without putting him. `more`: connectors that would be put first.
    pub fn judge(&self, id: &str, content: &Value, more: &BTreeMap<String, ConnectorConfig>) -> Result<(), Refusal> {
        let configuration = self.steering.configuration()?;
        let (Plan { wanted, .. }, _) = self.plan_of(id, content, Expected::Anything, more)?;
        let catalogue = configuration.catalogue();
        match draft(&catalogue, &wanted, false) {
            Draft::Taken(why) if wanted.lanes.iter().all(|lane| catalogue.connector(&lane.connector).is_some()) => {
                Err(Refusal::malformed(why))
            }
            _ => Ok(()),
        }
    }

    pub async fn put_document(&self, id: &str, content: Value, expected: Expected) -> Result<Placed, Refusal> {
        let configuration = self.steering.configuration()?;
        let (plan, is_new) = self.plan_of(id, &content, expected, &BTreeMap::new())?;
        published(self.steering.publish(plan).await.map_err(wrong)?, id, expected)?;
        tracing::info!(merchant = id, is_new, event = "merchant-configured", "configured over REST");
        let revision = configuration.catalogue().document(&document(id)).map_or(0, |(revision, _)| revision.0);
        Ok(Placed { merchant: id.to_owned(), revision, is_new })
    }

    pub(super) fn content_of(&self, id: &str) -> Result<Content, Refusal> {
        let configuration = self.steering.configuration()?;
        let catalogue = configuration.catalogue();
        if let Some((revision, text)) = catalogue.document(&document(id)) {
            let content = serde_json::from_str(text)
                .map_err(|error| Refusal::internal(format!("the document cannot be read: {error}")))?;
            return Ok(Content { content, revision: revision.0 });
        }
        target::lanes(&catalogue, id)?;
        let lanes = catalogue.merchant(id).iter().filter_map(|lane| catalogue.lane(*lane));
        let file = lanes.map(|lane| lane.source.as_str()).next_back().unwrap_or_default();
        Err(Refusal::unknown(format!("merchant {id:?} was not put over REST: he stands in the file {file}")))
    }

    /// What is not delivered yet is delivered, or given up: somebody has to say which.
    pub(super) async fn remove_document(
        &self,
        id: &str,
        undelivered: Option<Undelivered>,
        expected: Expected,
    ) -> Result<(), Refusal> {
        let configuration = self.steering.configuration()?;
        let lanes: Vec<LaneId> = {
            let catalogue = configuration.catalogue();
            self.check_writable(&catalogue, id)?;
            let lanes = target::lanes(&catalogue, id)?;
            lanes.into_iter().filter(|lane| !catalogue.is_gone(*lane)).collect()
        };
        if undelivered.is_none() {
            let standings = in_time(self.steering.lanes_of(lanes.clone())).await?;
            let of = |count: fn(&super::standing::Standing) -> u64| -> u64 {
                lanes.iter().filter_map(|lane| standings.of(lane.0)).map(count).sum()
            };
            let (owed, open) = (of(|one| one.owed), of(|one| one.open_rows));
            if owed + open > 0 {
                return Err(Refusal::unconfirmed(format!(
                    "merchant {id:?} has {owed} records that are owed (rows of others are among these offsets) and \
                     {open} rows that wait for their batch: say `?undelivered=keep` (they are delivered first) or \
                     `?undelivered=drop` (they never are)"
                )));
            }
        }
        let expected = if expected == Expected::Anything { Expected::Something } else { expected };
        let origin = Origin::Document(document(id));
        let wanted = Wanted { origin, expected: wants(expected), ..Wanted::default() };
        published(self.steering.publish(Plan { wanted, ..Plan::default() }).await?, id, expected)?;
        tracing::info!(merchant = id, ?undelivered, event = "merchant-removed", "removed over REST");
        if undelivered == Some(Undelivered::Drop) {
            let orders = lanes.into_iter().map(|lane| Order::Skip { lane: lane.0 }).collect();
            self.steering.order(new_id()?, orders).await?;
        }
        Ok(())
    }

    /// The destination is asked for all that a batch would ask, and nothing is left there.
    pub(super) async fn examine(&self, id: &str, connector: Option<&str>) -> Result<Vec<Step>, Refusal> {
        let configuration = self.steering.configuration()?;
        let definitions: Vec<_> = {
            let catalogue = configuration.catalogue();
            let lanes = target::lanes(&catalogue, id)?.into_iter().filter(|lane| !catalogue.is_gone(*lane));
            let entries = lanes.filter_map(|lane| catalogue.lane(lane));
            let meant = entries.filter(|entry| connector.is_none_or(|connector| entry.connector == connector));
            meant.filter_map(|entry| catalogue.definition(entry.id(), Revision(entry.version))).collect()
        };
        if definitions.is_empty() {
            return Err(Refusal::unknown(format!("merchant {id:?} has no such delivery")));
        }
        let mut steps = Vec::new();
        for definition in definitions {
            let of = definition.connector_name.to_string();
            match ConfiguredOpener::default().open(&definition) {
                Ok(lane) => {
                    let findings = lane.sink.examine().await;
                    steps.extend(findings.into_iter().map(|finding| Step::new(&of, finding)));
                }
                Err(fault) => steps.push(Step::failed(&of, "settings", &fault)),
            }
        }
        Ok(steps)
    }

    /// Those that he names: of `more`, of files and of REST. Whom nobody knows is found out by the checks.
    fn connectors_of(
        &self,
        catalogue: &Catalogue,
        content: &Value,
        more: &BTreeMap<String, ConnectorConfig>,
    ) -> Vec<ConnectorConfig> {
        let deliver = content.get("deliver").and_then(Value::as_array).into_iter().flatten();
        let named = deliver.filter_map(|one| one.get("connector")?.as_str());
        let config = self.files.config();
        let of_files = config.connectors.iter().filter(|connector| !more.contains_key(&connector.name));
        let mut known: Vec<ConnectorConfig> = of_files.chain(more.values()).cloned().collect();
        for name in named {
            if known.iter().any(|connector| connector.name == name) {
                continue;
            }
            if let Some((_, text)) = catalogue.document(&format!("connector/{name}")) {
                known.extend(of_document(text));
            }
        }
        known
    }
}

/// It was checked when it was put.
fn of_document(text: &str) -> Option<ConnectorConfig> {
    let flat: Flat = serde_json::from_str(text).ok()?;
    let sinks = outflow_registry::sinks();
    let plugin = Plugin::named(flat.get("connector.class")?, sinks)?;
    judge(&flat, &plugin, sinks, &Blank).connector
}

/// Answers every reference: what was checked where it was put need not be answered here.
struct Blank;

impl Environment for Blank {
    fn variable(&self, _: &str) -> Option<String> {
        Some(String::new())
    }

    fn file(&self, _: &Path) -> io::Result<String> {
        Ok(String::new())
    }
}

fn plan(
    catalogue: &Catalogue,
    merchant: &Arc<MerchantConfig>,
    connectors: &[ConnectorConfig],
    content: &Value,
    expected: Expected,
) -> Plan {
    let name = document(&merchant.id);
    let (mut lanes, mut starts, mut topics) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for delivery in &merchant.deliver {
        let Some(connector) = connectors.iter().find(|connector| connector.name == *delivery.connector) else {
            continue;
        };
        if let Some(from) = from(&delivery.start) {
            starts.insert(lanes.len(), from);
            let entry = catalogue.connector(&connector.name);
            let names = entry.map(|entry| &entry.topics).into_iter().flatten().map(|topic| topic.name.clone());
            topics.insert(connector.name.clone(), names.collect());
        }
        let mut lane = lane(merchant, delivery, &connector.flush);
        lane.source = Origin::source(&name);
        lanes.push(lane);
    }
    let wanted = Wanted {
        lanes,
        origin: Origin::Document(name),
        document: Some(content.to_string().into()),
        expected: wants(expected),
        ..Wanted::default()
    };
    Plan { wanted, topics, starts, ..Plan::default() }
}
