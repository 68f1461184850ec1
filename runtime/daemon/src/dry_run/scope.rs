//! Whose dry run it is, and the connectors and lanes that there would be.

use crate::merchants::target::{self, known_connector};
use outflow_api::ConfigRevision;
use outflow_catalogue::{Catalogue, LaneEntry, Origin, Wanted, WantedConnector, WantedLane};
use outflow_control::Refusal;
use std::collections::{BTreeMap, BTreeSet};

pub enum Subject {
    Merchant(String),
    Connector(String),
}

pub struct Scope {
    pub subject: Subject,
    pub connectors: Vec<WantedConnector>,
    /// Those that are proposed.
    lanes: Vec<WantedLane>,
    /// Whose lanes they take the place of.
    origin: Option<Origin>,
    /// What would be published.
    pub revision: Option<ConfigRevision>,
}

impl Subject {
    pub fn name(&self) -> &str {
        match self {
            Subject::Merchant(name) | Subject::Connector(name) => name,
        }
    }

    /// A merchant sees what is his alone.
    pub fn is_of(&self, lane: &LaneEntry) -> bool {
        match self {
            Subject::Merchant(id) => lane.merchant.as_ref() == Some(id),
            Subject::Connector(name) => lane.connector == *name,
        }
    }
}

impl Scope {
    pub fn in_force(catalogue: &Catalogue, subject: Subject) -> Result<Scope, Refusal> {
        let connectors = match &subject {
            Subject::Connector(name) => {
                known_connector(catalogue, name)?;
                BTreeSet::from([name.clone()])
            }
            Subject::Merchant(id) => {
                target::lanes(catalogue, id)?;
                of_merchant(catalogue, id).map(|lane| lane.connector.clone()).collect()
            }
        };
        let connectors = connectors.iter().filter_map(|name| todays(catalogue, name)).collect();
        Ok(Scope { subject, connectors, lanes: Vec::new(), origin: None, revision: None })
    }

    pub fn wanted(catalogue: &Catalogue, subject: Subject, wanted: Wanted, revision: Option<ConfigRevision>) -> Scope {
        let Wanted { mut connectors, lanes, origin, .. } = wanted;
        let named: BTreeSet<&String> = lanes.iter().map(|lane| &lane.connector).collect();
        for name in named {
            if !connectors.iter().any(|connector| connector.name == *name) {
                connectors.extend(todays(catalogue, name));
            }
        }
        Scope { subject, connectors, lanes, origin: Some(origin), revision }
    }

    /// And of today's all who have a part in the sample: whom its records name, and the connectors themselves.
    pub fn lanes_with(
        &self,
        catalogue: &Catalogue,
        named: &BTreeMap<String, BTreeMap<String, u64>>,
    ) -> Vec<WantedLane> {
        let mut lanes = self.lanes.clone();
        let is_left = |lane: &&LaneEntry| self.origin.as_ref() != Some(&Origin::of(&lane.source));
        for (connector, ids) in named {
            let own = catalogue.routes(connector).map(|routes| routes.own()).into_iter().flatten();
            let own = own.filter(|lane| !catalogue.is_gone(lane.lane)).filter_map(|lane| catalogue.lane(lane.lane));
            let mut ids: BTreeSet<&str> = ids.keys().map(String::as_str).collect();
            if let Subject::Merchant(id) = &self.subject {
                ids.insert(id);
            }
            let theirs = ids.into_iter().flat_map(|id| of_merchant(catalogue, id));
            let all = own.chain(theirs.filter(|lane| lane.connector == *connector));
            lanes.extend(all.filter(is_left).map(again));
        }
        lanes
    }
}

fn of_merchant<'c>(catalogue: &'c Catalogue, id: &str) -> impl Iterator<Item = &'c LaneEntry> {
    let there = catalogue.merchant(id).iter().filter(|lane| !catalogue.is_gone(**lane));
    there.filter_map(|lane| catalogue.lane(*lane))
}

fn todays(catalogue: &Catalogue, name: &str) -> Option<WantedConnector> {
    Some(WantedConnector { name: name.to_owned(), entry: catalogue.connector(name)?.clone() })
}

/// As it would be wanted if it were not there.
fn again(lane: &LaneEntry) -> WantedLane {
    WantedLane {
        connector: lane.connector.clone(),
        merchant: lane.merchant.clone(),
        rejects: lane.rejects,
        identity: lane.identity.clone(),
        place: lane.place.clone(),
        settings: lane.settings.clone(),
        flush: lane.flush,
        schedule: lane.schedule,
        start: lane.start.clone(),
        resumes: false,
        source: lane.source.clone(),
    }
}
