//! What is prepared and never decided is cleared away.

use super::*;

const SWEPT_MAX: usize = 1_000;

impl ShardTask {
    pub(super) fn abort(&mut self, lane: LaneId, prepared: Prepared) {
        self.letters.remove(&prepared.id);
        self.pieces.remove(&prepared.id);
        if prepared.token.is_empty() {
            return;
        }
        let lane = self.shared.lanes.newest(&self.shared.configuration.catalogue(), lane);
        if let Some(lane) = lane {
            let calls = Arc::clone(&self.shared.calls);
            self.tasks.spawn(async move {
                let caller = Caller { shard: prepared.id.shard, lane: prepared.id.lane, remote: lane.sink.remote() };
                if let Err(Failure::Fault(fault) | Failure::Open(fault, _)) =
                    calls.call(caller, lane.sink.abort(&prepared)).await
                {
                    tracing::debug!(batch = %prepared.id, %fault, "an aborted batch is left to the next sweep");
                }
            });
        }
    }

    /// What older owners prepared at the destinations of the lanes that are known to have been at work: ten thousand
    /// merchants' stores are not listed at every start.
    pub(super) fn sweep(&mut self, below: outflow_api::Generation, keep: Vec<Prepared>) {
        let incarnation = self.engine.incarnation();
        let catalogue = self.shared.configuration.catalogue();
        let mut swept = BTreeSet::new();
        let own = catalogue.lanes().filter(|entry| entry.merchant.is_none()).map(|entry| entry.id());
        let known = self.engine.lane_views().map(|(id, _)| id);
        for id in own.chain(known).filter(|id| swept.insert(*id)).take(SWEPT_MAX) {
            let Some(lane) = self.shared.lanes.newest(&catalogue, id) else { continue };
            let keep = keep.iter().filter(|prepared| prepared.id.lane == id).cloned().collect();
            let scope = SweepScope { incarnation, shard: self.shard, below, keep };
            let (calls, shard) = (Arc::clone(&self.shared.calls), self.shard);
            self.tasks.spawn(async move {
                let caller = Caller { shard, lane: id, remote: lane.sink.remote() };
                if let Err(Failure::Fault(fault) | Failure::Open(fault, _)) =
                    calls.call(caller, lane.sink.sweep(&scope)).await
                {
                    tracing::debug!(%fault, "left-overs of earlier owners stay for now");
                }
            });
        }
    }
}
