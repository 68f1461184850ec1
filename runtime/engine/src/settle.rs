use crate::{
    Action, Engine, Reason, Stop,
    decide::Deciding,
    lane::{Batch, Lane, Rows, Stage},
};
use outflow_api::{CommitPermit, LedgerEvent, Prepared};

impl Engine {
    /// It is decided: batches may be revealed, floors hold, forgotten lanes are gone.
    pub(crate) fn journal_done(&mut self, out: &mut Vec<Action>) {
        let Some(Deciding { lanes, floors, batches, refused, revisions_gone, applied, .. }) = self.deciding.take()
        else {
            return self.stop(Stop::Halt("the journal answered, and was not asked".into()), out);
        };
        self.tracks_journaled = floors.len();
        for (track, floor) in floors {
            let cursor = self.tracks.get_mut(&track).expect("a track in a transaction stays");
            (cursor.floor, cursor.journaled) = (floor, true);
        }
        self.revisions.written(&revisions_gone, applied);
        for (id, record) in lanes {
            self.commanded.remove(&id);
            let lane = self.lanes.get_mut(id).expect("a lane in a transaction stays");
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
            if lane.journaled.is_none() && lane.is_settled() && !lane.is_dirty {
                self.lanes.remove(id);
            }
        }
        self.forget_retired();
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
            self.lanes.get_mut(row.batch.lane).expect("a lane in a transaction stays").ledger.push(row.clone());
        }
        for id in lanes.keys() {
            self.lanes.get_mut(*id).expect("a lane in a transaction stays").is_dirty = true;
        }
        let mut with_letters = Vec::new();
        for id in batches {
            let lane = self.lanes.get_mut(id).expect("a lane in a transaction stays");
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
        let Some(Batch { stage, rows, version, covers }) = self.slot.take() else { return false };
        let Stage::Deciding { ready, spent } = stage else { unreachable!("the lane is in the transaction") };
        self.record.pending = None;
        self.owe_again(rows, &covers);
        self.spend(rows, spent);
        let has_letters = !ready.rejected.is_empty();
        let rows = if rows == Rows::Live { Rows::Debt } else { rows };
        self.slot = Some(Batch { stage: Stage::Prepared(ready), rows, version, covers });
        has_letters
    }
}
