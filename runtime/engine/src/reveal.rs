use crate::{
    Action, Engine, Reason, Revealed,
    lane::{Batch, Lane, Rows, Stage},
};
use outflow_api::{BatchId, LaneId, LedgerEvent, LedgerRow};

impl Engine {
    pub(crate) fn revealed(&mut self, id: BatchId, outcome: Revealed, out: &mut Vec<Action>) {
        let Some(lane) = self.lanes.get_mut(id.lane).filter(|lane| lane.is_revealing(id)) else { return };
        match outcome {
            Revealed::Committed | Revealed::AlreadyCommitted => self.close(id, LedgerEvent::Revealed),
            Revealed::NeedsRows => out.extend(lane.reveal(true)),
            Revealed::Rejected { mut rows } => {
                let pending = lane.record.pending.as_mut().expect("it is being revealed");
                // An answer that comes twice must not send them twice (P30).
                for (key, offsets) in &mut rows {
                    let known = pending.rejected.get(key).map_or(&[][..], Vec::as_slice);
                    offsets.retain(|offset| !known.contains(offset));
                }
                rows.retain(|_, offsets| !offsets.is_empty());
                if rows.is_empty() {
                    return;
                }
                for (key, offsets) in &rows {
                    let rejected = pending.rejected.entry(*key).or_default();
                    rejected.extend(offsets);
                    rejected.sort_unstable();
                }
                pending.rows -= rows.values().map(|offsets| offsets.len() as u64).sum::<u64>();
                lane.refused = rows;
                lane.is_dirty = true;
            }
            Revealed::Lost => {
                let pending = lane.record.pending.clone().expect("it is being revealed");
                let rows = Rows::of(&pending);
                lane.owe_again(rows, &pending.covers);
                lane.spend(rows, pending.rejected.clone());
                self.close(id, LedgerEvent::Lost { spent: pending.rejected });
            }
            Revealed::RowsDiffer => {
                let hint =
                    "the source no longer has the rows of a decided batch: compare the ledger with the destination";
                let reason = Reason { code: "rows-changed".into(), hint: hint.into() };
                self.stall(id.lane, reason, out);
            }
        }
    }

    /// The destination has answered for good: the slot is free for the next decision.
    pub(crate) fn close(&mut self, id: BatchId, event: LedgerEvent) {
        let lane = self.lanes.get_mut(id.lane).expect("the caller saw it");
        lane.record.pending = None;
        lane.ledger.push(LedgerRow { batch: id, event });
        if lane.reveal_stalled {
            lane.reveal_stalled = false;
            lane.record.parked.take_if(|parked| !parked.held);
        }
        lane.is_dirty = true;
    }

    pub(crate) fn reveal_stalled(&mut self, id: BatchId, reason: Reason, out: &mut Vec<Action>) {
        if self.lanes.get(id.lane).is_some_and(|lane| lane.is_revealing(id)) {
            self.stall(id.lane, reason, out);
        }
    }

    /// The batch stays decided and is tried on; everything behind it becomes debt.
    fn stall(&mut self, id: LaneId, reason: Reason, out: &mut Vec<Action>) {
        self.lanes.get_mut(id).expect("the caller saw it").reveal_stalled = true;
        self.park(id, reason, out);
    }
}

impl Lane {
    /// Decided for certain: while the transaction is under way, nothing is being revealed yet.
    fn is_revealing(&self, id: BatchId) -> bool {
        let deciding = matches!(self.slot, Some(Batch { stage: Stage::Deciding { .. }, .. }));
        !deciding && self.refused.is_empty() && self.record.pending.as_ref().is_some_and(|pending| pending.id == id)
    }
}
