use outflow_api::LaneId;
use outflow_catalogue::{Catalogue, LaneEntry};
use outflow_config::{Place, nearest};
use outflow_control::{Act, Refusal, Request};
use std::{collections::BTreeSet, ops::Bound};

/// A lane that something is asked of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub lane: u32,
    pub connector: String,
}

/// Whoever mistypes an id gets a guess out of so many.
const GUESSED_AMONG_MAX: usize = 20_000;

/// All lanes that a merchant ever had.
pub fn lanes(catalogue: &Catalogue, merchant: &str) -> Result<Vec<LaneId>, Refusal> {
    let lanes = catalogue.merchant(merchant);
    if !lanes.is_empty() {
        return Ok(lanes.to_vec());
    }
    let length = merchant.chars().count();
    let near = |id: &&str| id.chars().count().abs_diff(length) <= length.div_ceil(3).max(1);
    let all = catalogue.merchants(Bound::Unbounded).map(|(id, _)| id);
    let guess = nearest(merchant, all.filter(near).take(GUESSED_AMONG_MAX));
    let guess = guess.map_or_else(String::new, |id| format!("; did you mean {id:?}?"));
    Err(Refusal::unknown(format!("no file names a merchant {merchant:?}{guess}")))
}

pub fn known_connector(catalogue: &Catalogue, name: &str) -> Result<(), Refusal> {
    if catalogue.connector(name).is_some() {
        return Ok(());
    }
    let guess = nearest(name, catalogue.connector_names());
    let guess = guess.map_or_else(String::new, |name| format!("; did you mean {name:?}?"));
    Err(Refusal::unknown(format!("there is no connector {name:?}{guess}")))
}

/// What is there can be removed.
pub fn check_removes(catalogue: &Catalogue, targets: &[Target]) -> Result<(), Refusal> {
    for Target { lane, connector } in targets {
        let place = catalogue.lane(LaneId(*lane)).and_then(|entry| serde_json::from_str(&entry.place).ok());
        let place = place.and_then(|place: serde_json::Value| Place::read(&place).ok());
        let kind = place.map(|place| place.kind).unwrap_or_default();
        if !outflow_registry::sinks().iter().any(|sink| sink.kind == kind && sink.removes) {
            return Err(Refusal::wrong(format!(
                "lane {lane} of {connector} goes to a {kind:?}, which cannot remove what it has: `replace` is not \
                 possible; allowed: `repair` (what is missing), `again` (rows that are there are there twice)"
            )));
        }
    }
    Ok(())
}

/// Those of the merchant's lanes that the request means.
pub fn targets(catalogue: &Catalogue, merchant: &str, request: &Request) -> Result<Vec<Target>, Refusal> {
    let all = lanes(catalogue, merchant)?;
    if let Some(connector) = &request.connector {
        known_connector(catalogue, connector)?;
    }
    // A lane that no file names any more may still owe: that can be let go on or given up, and nothing else.
    let takes_gone = matches!(request.act, Act::Resume | Act::Skip | Act::Abandon);
    let there = all.iter().filter(|lane| takes_gone || !catalogue.is_gone(**lane));
    let there: Vec<&LaneEntry> = there.filter_map(|lane| catalogue.lane(*lane)).collect();
    let meant = there.iter().filter(|entry| {
        request.connector.as_ref().is_none_or(|connector| entry.connector == *connector)
            && request.lane.is_none_or(|lane| entry.lane == lane)
    });
    let meant: Vec<Target> =
        meant.map(|entry| Target { lane: entry.lane, connector: entry.connector.clone() }).collect();
    if meant.is_empty() {
        let has: Vec<String> = there.iter().map(|entry| format!("{} (lane {})", entry.connector, entry.lane)).collect();
        let has = if has.is_empty() { "none: they were removed".to_owned() } else { has.join(", ") };
        return Err(Refusal::unknown(format!("merchant {merchant:?} has no such delivery; he has: {has}")));
    }
    let connectors: BTreeSet<&str> = meant.iter().map(|target| target.connector.as_str()).collect();
    if matches!(request.act, Act::Replay { .. } | Act::Repair { .. } | Act::Replace { .. }) && connectors.len() > 1 {
        let names = connectors.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Refusal::wrong(format!("a replay is of one connector: say `connector`; allowed: {names}")));
    }
    Ok(meant)
}
