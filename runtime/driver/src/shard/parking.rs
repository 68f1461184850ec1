//! Lanes that do not deliver: the log says so once, and once more when they do.

use super::*;
use outflow_api::Parked;

/// Of whom the log has said it, and with which code. Who is tried in vain stays here all the while.
pub(super) struct Parking(BTreeMap<LaneId, String>);

impl Parking {
    /// Who was parked before this process owned the shard is no news.
    pub fn new(engine: &Engine) -> Parking {
        let known = engine.parked_lanes().filter_map(|id| Some((id, engine.parked(id)?.code.clone())));
        Parking(known.collect())
    }

    fn is_news(&self, id: LaneId, code: &str) -> bool {
        self.0.get(&id).is_none_or(|known| known != code)
    }
}

impl ShardTask {
    pub(super) fn tell_parked(&mut self) {
        let parked = self.engine.parked_lanes().filter_map(|id| Some((id, self.engine.parked(id)?)));
        let new: Vec<(LaneId, Parked)> = parked
            .filter(|(id, parked)| self.parking.is_news(*id, &parked.code))
            .map(|(id, parked)| (id, parked.clone()))
            .collect();
        for (id, Parked { code, hint, held }) in new {
            let (shard, lane) = (self.shard.0, id.0);
            let (connector, merchant) = self.whose(id);
            match held {
                true => tracing::info!(shard, lane, connector, merchant, event = "lane-paused", "a lane is held"),
                false => tracing::warn!(
                    shard,
                    lane,
                    connector,
                    merchant,
                    code,
                    hint,
                    event = "lane-parked",
                    "a lane does not deliver: it is tried again later"
                ),
            }
            self.parking.0.insert(id, code);
        }
        let over = self.parking.0.keys().filter(|id| !self.engine.is_passed_by(**id)).copied();
        over.collect::<Vec<_>>().into_iter().for_each(|id| self.goes_on(id));
    }

    /// It has delivered something, or owes nothing more.
    pub(super) fn goes_on(&mut self, id: LaneId) {
        if self.engine.parked(id).is_some() || self.parking.0.remove(&id).is_none() {
            return;
        }
        let (shard, lane) = (self.shard.0, id.0);
        let (connector, merchant) = self.whose(id);
        tracing::info!(shard, lane, connector, merchant, event = "lane-goes-on", "a lane delivers again");
    }

    /// Connector and merchant, as the log names them.
    pub(super) fn whose(&self, id: LaneId) -> (Option<String>, Option<String>) {
        let catalogue = self.shared.configuration.catalogue();
        let known = catalogue.lane(id).map(|entry| (entry.connector.clone(), entry.merchant.clone()));
        let (connector, merchant) = known.unzip();
        (connector, merchant.flatten())
    }
}
