//! What lanes would take of the limits that destinations set for all who share them: by arithmetic, before anybody is
//! asked. Of lanes that always have rows, for nobody knows how busy they will be.

use outflow_api::{Charge, Demand, Pace};
use outflow_catalogue::{Catalogue, ConnectorEntry, FlushEntry, LaneEntry, MerchantKey, Origin, Wanted, WantedLane};
use outflow_config::Place;
use outflow_control::Refusal;
use std::collections::BTreeMap;

/// Of a lane, whether it is wanted or in force.
struct Delivering<'l> {
    connector: &'l str,
    is_merchants: bool,
    place: &'l str,
    flush: FlushEntry,
    schedule: u32,
    source: &'l str,
}

impl<'l> Delivering<'l> {
    fn wanted(lane: &'l WantedLane) -> Delivering<'l> {
        let WantedLane { connector, merchant, place, flush, schedule, source, .. } = lane;
        Delivering { connector, is_merchants: merchant.is_some(), place, flush: *flush, schedule: *schedule, source }
    }

    fn in_force(lane: &'l LaneEntry) -> Delivering<'l> {
        let LaneEntry { connector, merchant, place, flush, schedule, source, .. } = lane;
        Delivering { connector, is_merchants: merchant.is_some(), place, flush: *flush, schedule: *schedule, source }
    }

    fn charges(&self) -> Vec<Charge> {
        let place = serde_json::from_str(self.place).ok().and_then(|place| Place::read(&place).ok());
        let Some(Place { kind, settings, .. }) = place else { return Vec::new() };
        let descriptor = outflow_registry::sinks().iter().find(|sink| sink.kind == kind);
        descriptor.map(|sink| (sink.charges)(&settings)).unwrap_or_default()
    }
}

/// Ways of rows, and how many shards there are.
struct Routes<'c> {
    connectors: BTreeMap<&'c str, &'c ConnectorEntry>,
    shards: u32,
}

impl Routes<'_> {
    /// A record's key says which partition it is in: who is named by it has his rows in one shard.
    fn shards_of(&self, lane: &Delivering<'_>) -> u32 {
        let connector = self.connectors.get(lane.connector);
        let is_by_key = connector.is_some_and(|entry| entry.merchant == Some(MerchantKey::Key));
        if lane.is_merchants && is_by_key { 1 } else { self.shards }
    }

    fn demand<'l>(&self, lanes: impl Iterator<Item = Delivering<'l>>) -> Demand {
        let mut demand = Demand::default();
        for lane in lanes {
            let charges = lane.charges();
            let every_ms = if lane.schedule > 0 { u64::from(lane.schedule) * 1_000 } else { lane.flush.age_ms };
            demand.add(charges, Pace { every_ms, shards: self.shards_of(&lane) }, lane.source);
        }
        demand
    }
}

/// Of all that files ask for: limits that cannot carry it.
pub fn exceeded(wanted: &Wanted, shards: u32) -> Vec<String> {
    let connectors = wanted.connectors.iter().map(|connector| (connector.name.as_str(), &connector.entry)).collect();
    Routes { connectors, shards }.demand(wanted.lanes.iter().map(Delivering::wanted)).exceeded()
}

/// Of what is put, beside all that is in force of others. Who asks for less than before is not refused because it is
/// still too much.
pub fn check(catalogue: &Catalogue, wanted: &Wanted, shards: u32) -> Result<(), Refusal> {
    if wanted.lanes.iter().all(|lane| Delivering::wanted(lane).charges().is_empty()) {
        return Ok(());
    }
    let in_force = catalogue.connector_names().filter_map(|name| Some((name, catalogue.connector(name)?)));
    let put = wanted.connectors.iter().map(|connector| (connector.name.as_str(), &connector.entry));
    let routes = Routes { connectors: in_force.chain(put).collect(), shards };
    let lanes = || catalogue.lanes().filter(|lane| !lane.rejects);
    let others = lanes().filter(|lane| Origin::of(&lane.source) != wanted.origin).map(Delivering::in_force);
    let then = routes.demand(others.chain(wanted.lanes.iter().map(Delivering::wanted)));
    let today = routes.demand(lanes().map(Delivering::in_force));
    match then.exceeded_beyond(&today).first() {
        Some(why) => Err(Refusal::malformed(format!("more than the destination allows: {why}"))),
        None => Ok(()),
    }
}
