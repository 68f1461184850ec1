//! Configuration → what is to be published.

use outflow_catalogue::{
    ConnectorEntry, FlushEntry, MerchantKey, Start as Begin, Unknown, Wanted, WantedConnector, WantedLane,
};
use outflow_config::{
    ConnectorConfig, Delivery, Flush, Loaded, MerchantConfig, Start, UnknownMerchants, pinned_place, pinned_shape,
};
use outflow_driver::{From, Plan, TopicPattern};
use serde_json::Value;
use std::collections::BTreeMap;

const REJECT_PERCENT_DEFAULT: u64 = 100;

pub fn plan(loaded: &Loaded, forced: bool) -> Plan {
    let config = &loaded.config;
    let mut wanted = Wanted {
        unread: config.refused.files.iter().map(|file| file.to_string()).collect(),
        digest: loaded.digest.clone(),
        ..Wanted::default()
    };
    let flushes: BTreeMap<&str, &Flush> =
        config.connectors.iter().map(|connector| (connector.name.as_str(), &connector.flush)).collect();
    let mut starts = BTreeMap::new();
    for connector in &config.connectors {
        wanted.connectors.push(WantedConnector { name: connector.name.clone(), entry: entry(connector) });
        let Some(lane) = own_lane(connector) else { continue };
        starts.insert(wanted.lanes.len(), From::Left(BTreeMap::new()));
        wanted.lanes.push(lane);
    }
    for merchant in &config.merchants {
        for delivery in &merchant.deliver {
            let Some(flush) = flushes.get(&*delivery.connector) else { continue };
            starts.extend(from(&delivery.start).map(|from| (wanted.lanes.len(), from)));
            wanted.lanes.push(lane(merchant, delivery, flush));
        }
    }
    Plan { wanted, forced, starts, ..topics_of(&config.connectors) }
}

/// A plan that says what is read, and where dead letters go.
pub fn topics_of<'c>(connectors: impl IntoIterator<Item = &'c ConnectorConfig>) -> Plan {
    let mut plan = Plan::default();
    for connector in connectors {
        let name = || connector.name.clone();
        match connector.topics_pattern.clone() {
            None => drop(plan.topics.insert(name(), connector.topics.clone())),
            Some(pattern) => {
                plan.patterns.insert(name(), TopicPattern::new(move |name| pattern.is_match(name)));
            }
        }
        plan.dead_letters.extend(connector.dead_letters.iter().map(|dead| (dead.topic.clone(), dead.partitions)));
    }
    plan
}

pub fn entry(connector: &ConnectorConfig) -> ConnectorEntry {
    let dead_letters = connector.dead_letters.as_ref();
    let routing = connector.routing.as_ref();
    ConnectorEntry {
        version: 0,
        topics: Vec::new(),
        shape: pinned_shape(connector),
        merchant: routing.map(|routing| match &routing.merchant {
            outflow_config::MerchantKey::Key => MerchantKey::Key,
            outflow_config::MerchantKey::Header(name) => MerchantKey::Header(name.clone()),
            outflow_config::MerchantKey::Path(path) => MerchantKey::Path(path.clone()),
        }),
        unknown: routing.map_or(Unknown::Drop, |routing| match routing.unknown {
            UnknownMerchants::Drop => Unknown::Drop,
            UnknownMerchants::DeadLetter => Unknown::DeadLetter,
            UnknownMerchants::Default => Unknown::Default,
        }),
        feeds: BTreeMap::new(),
        flush: limits(&connector.flush),
        dead_letters: dead_letters.map(|dead| dead.topic.clone()),
        reject_percent_max: dead_letters.map_or(REJECT_PERCENT_DEFAULT, |dead| dead.percent_max),
        paused: false,
        stopped: false,
    }
}

/// For everything, or for what no merchant claims.
pub fn own_lane(connector: &ConnectorConfig) -> Option<WantedLane> {
    let unknown = connector.routing.as_ref().map(|routing| routing.unknown);
    let own = WantedLane {
        connector: connector.name.clone(),
        merchant: None,
        rejects: false,
        identity: String::new(),
        place: "{}".into(),
        settings: "{}".into(),
        flush: limits(&connector.flush),
        schedule: 0,
        start: Begin::Latest,
        resumes: false,
        source: format!("connector {}", connector.name),
    };
    match (unknown, &connector.sink) {
        (None | Some(UnknownMerchants::Default), Some(sink)) => {
            let settings = sink.settings.to_string();
            let place = pinned_place(&sink.kind, &settings, None, &[] as &[&str], &[] as &[&str]);
            Some(WantedLane {
                identity: sink.identity.0.clone(),
                place: place.to_string().into(),
                settings: settings.into(),
                ..own
            })
        }
        (Some(UnknownMerchants::DeadLetter), _) => {
            Some(WantedLane { rejects: true, identity: format!("dead letters of {}", connector.name), ..own })
        }
        _ => None,
    }
}

pub fn lane(merchant: &MerchantConfig, delivery: &Delivery, flush: &Flush) -> WantedLane {
    let Delivery { connector, kind, settings, identity, only, without, hash, .. } = delivery;
    let place: Value = pinned_place(kind, settings, only.as_deref(), without, hash);
    WantedLane {
        connector: connector.to_string(),
        merchant: Some(merchant.id.to_string()),
        rejects: false,
        identity: identity.0.clone(),
        place: place.to_string().into(),
        settings: settings.clone(),
        flush: limits(&delivery.flush(flush)),
        schedule: delivery.schedule.unwrap_or(0),
        start: Begin::Latest,
        resumes: false,
        source: merchant.file.to_string(),
    }
}

fn limits(flush: &Flush) -> FlushEntry {
    FlushEntry { rows: flush.rows, bytes: flush.bytes, age_ms: flush.age.as_millis() as u64 }
}

/// None is behind everything.
pub fn from(start: &Start) -> Option<From> {
    Some(match start {
        Start::Latest => return None,
        Start::Earliest => From::Earliest,
        Start::Timestamp(at_ms) => From::Timestamp(*at_ms),
        Start::Offsets(offsets) => From::Offsets(
            offsets.iter().map(|at| ((at.topic.to_string(), at.partition.cast_unsigned()), at.offset)).collect(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use outflow_api::{ConfigEntry, ConfigRevision, LaneId, Pin, Revision};
    use outflow_catalogue::{Catalogue, Draft, Only, Wanted, draft};
    use outflow_config::{Loader, SystemEnvironment};
    use std::{fs, path::Path};

    const WORKER: &str = "local: { folder: data }\nconfig: [ connector.yaml, merchants/*.yaml ]\n";
    const CONNECTOR: &str = "connector: orders\ntopics: [ orders ]\nformat: json\n\
                             merchant: { path: [ shop, \"id.new\" ] }\n\
                             model:\n  columns:\n    - { name: id, type: BIGINT }\n";

    fn published(folder: &Path, merchant: &str) -> (Wanted, Vec<ConfigEntry>) {
        fs::create_dir_all(folder.join("merchants")).expect("a folder of our own");
        for (name, text) in [("worker.yaml", WORKER), ("connector.yaml", CONNECTOR), ("merchants/a.yaml", merchant)] {
            fs::write(folder.join(name), text).expect("a folder of our own");
        }
        let mut loader = Loader::new(folder.join("worker.yaml"), outflow_registry::sinks(), &SystemEnvironment);
        let wanted = super::plan(&loader.load().expect("the files are right"), false).wanted;
        let Draft::Publish(revision) = draft(&Catalogue::default(), &wanted, false) else { panic!("all of it is new") };
        (wanted, revision.entries)
    }

    fn only(place: &str) -> String {
        format!(
            "merchant: 7\ndeliver:\n  - connector: orders\n    \
             only: {{ path: [ event, \"type.of\" ], in: [ paid, made ] }}\n    \
             sink: {{ type: object_store, url: \"{place}\" }}\n"
        )
    }

    #[test]
    fn the_rows_that_a_merchants_file_asks_for_are_those_that_are_routed_to_him() {
        let folder = tempfile::tempdir().expect("a folder of our own");
        let (_, entries) = published(folder.path(), &only("/lake/7"));
        let mut catalogue = Catalogue::default();
        catalogue.apply(&ConfigRevision { revision: Revision(1), entries }).expect("our own revision");
        let routes = catalogue.routes("orders").expect("just published");
        let lanes = routes.merchant(b"7");
        let (_, wanted) = lanes[0].at(Pin::to(Revision(1))).expect("just published");
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(wanted, Some(&Only { path: names(&["event", "type.of"]), values: names(&["made", "paid"]) }));
        assert_eq!((lanes.len(), lanes[0].lane), (1, LaneId(1)));
    }

    #[test]
    fn a_choice_of_rows_that_cannot_be_read_is_never_taken_for_none() {
        let folder = tempfile::tempdir().expect("a folder of our own");
        let (_, mut entries) = published(folder.path(), &only("/lake/7"));
        let lane = entries.iter_mut().find(|entry| entry.object.starts_with("lane/")).expect("a lane");
        let text =
            String::from_utf8_lossy(lane.content.as_deref().expect("an entry")).replace("paid\\\"", "paid\\\",7");
        assert!(text.contains(",7"), "{text}");
        lane.content = Some(text.into_bytes().into());
        let fault = Catalogue::default().apply(&ConfigRevision { revision: Revision(1), entries });
        let fault = fault.expect_err("a number is no text");
        assert!(fault.code == "config-unreadable" && fault.to_string().contains("lane/"), "{fault}");
    }
}
