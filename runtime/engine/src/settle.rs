use crate::{
    Action, Engine, Reason, Stop,
    decide::Deciding,
    lane::{Batch, Lane, Stage},
};
use outflow_api::{CommitPermit, LedgerEvent, Prepared};

impl Engine {
    /// It is decided: batches may be revealed, floors hold, forgotten lanes are gone.
    pub(crate) fn journal_done(&mut self, out: &mut Vec<Action>) {
        let Some(Deciding { lanes, floors, batches, refused, revisions_gone, .. }) = self.deciding.take() else {
            return self.stop(Stop::Halt("the journal answered, and was not asked".into()), out);
        };
        for (key, floor) in floors {
            let partition = self.partitions.get_mut(&key).expect("partitions never go");
            (partition.floor, partition.journaled) = (floor, true);
        }
        self.revisions.written(&revisions_gone);
        for (id, record) in lanes {
            let lane = self.lanes.get_mut(&id).expect("a lane in a transaction stays");
            lane.journaled = record;
            if batches.contains(&id) {
                lane.slot = None;
                lane.reveal_since_ms = self.now_ms;
                out.extend(lane.reveal(false));
            }
            if refused.contains(&id) {
                lane.refused.clear();
                out.extend(lane.reveal(true));
            }
            if lane.journaled.is_none() && lane.is_settled() && !self.dirty.contains(&id) {
                self.lanes.remove(&id);
            }
        }
    }

    /// Nothing was written. If dead letters were among it, their lanes are the likely reason: they park, the others
    /// try again without them.
    pub(crate) fn journal_refused(&mut self, reason: Reason, out: &mut Vec<Action>) {
        let Some(Deciding { lanes, batches, refused, ledger, .. }) = self.deciding.take() else {
            return self.stop(Stop::Halt("the journal answered, and was not asked".into()), out);
        };
        if !refused.is_empty() {
            // Already decided batches wait for these letters: nobody can go on but by another try.
            return self.stop(Stop::Refused(reason), out);
        }
        for row in ledger.iter().filter(|row| !matches!(row.event, LedgerEvent::Decided { .. })) {
            self.lanes.get_mut(&row.batch.lane).expect("a lane in a transaction stays").ledger.push(row.clone());
        }
        self.dirty.extend(lanes.keys());
        let mut with_letters = Vec::new();
        for id in batches {
            let lane = self.lanes.get_mut(&id).expect("a lane in a transaction stays");
            if lane.leave_decision() {
                with_letters.push(id);
            }
        }
        if with_letters.is_empty() {
            return self.stop(Stop::Refused(reason), out);
        }
        with_letters.into_iter().for_each(|id| self.park(id, reason.clone(), out));
    }
}

impl Lane {
    pub(crate) fn reveal(&self, read_rows: bool) -> Option<Action> {
        let pending = self.record.pending.clone()?;
        let permit = CommitPermit::mint(Prepared { id: pending.id, token: pending.token.clone() });
        Some(Action::Reveal { permit, pending, read_rows })
    }

    /// Undoes `enter_decision`; answers whether the batch has dead letters. `next` stays where it is, since the lane
    /// may have fallen behind or joined meanwhile: the batch is debt from now on.
    pub(crate) fn leave_decision(&mut self) -> bool {
        let Some(Batch { stage, version, covers, since_ms, .. }) = self.slot.take() else { return false };
        let Stage::Deciding { ready, spent } = stage else { unreachable!("the lane is in the transaction") };
        self.record.pending = None;
        covers.iter().for_each(|(key, range)| self.owe(*key, *range));
        spent.into_iter().for_each(|(key, offsets)| self.spend(key, offsets));
        let has_letters = !ready.rejected.is_empty();
        self.slot = Some(Batch { stage: Stage::Prepared(ready), debt: true, version, covers, since_ms });
        has_letters
    }
}
