//! What must be true of repairs (P32): with one, a lane has no row twice that it would not have twice without.

use crate::{
    RowId,
    catalogue::REJECT_LANE,
    checker::{Scene, Verdict, must},
    fates::Run,
    journal::State,
};
use outflow_api::{BatchId, LaneId, LedgerEvent, Offset, Ranges, TopicPartition, Transaction};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Repairs {
    /// In the order of their commands.
    runs: BTreeMap<Run, usize>,
    /// Of these, the runs that send dead letters again.
    resends: BTreeSet<Run>,
    /// Replays that double knowingly, in the same order.
    again: BTreeMap<Run, usize>,
    /// Which batches have a lane's row, of those that were not lost.
    taken: BTreeMap<(LaneId, RowId), BTreeMap<BatchId, Run>>,
    /// Rows whose dead letter is out, for this lane.
    letters: BTreeMap<(LaneId, RowId), BTreeSet<Run>>,
    /// What was owed since the mark moved last: the ledger is asked at some time since then, and not about that. A run
    /// by other definitions may have found nothing there.
    owed: BTreeMap<(usize, LaneId), BTreeMap<TopicPartition, Ranges>>,
    /// What waited for an outcome since then.
    pending: BTreeMap<(usize, LaneId), BTreeMap<TopicPartition, Ranges>>,
    /// Of each journal, as it was before the mark moved last: not later than that the ledger is asked.
    since: BTreeMap<usize, State>,
    /// Journals whose ledger has lost its beginning.
    trimmed: BTreeSet<usize>,
}

impl Repairs {
    pub fn begin(&mut self, run: Run) {
        let number = self.runs.len() + self.again.len();
        self.runs.insert(run, number);
    }

    pub fn begin_resend(&mut self, run: Run) {
        self.begin(run);
        self.resends.insert(run);
    }

    /// How often each row became a dead letter of a lane.
    pub fn letters_out(&self) -> BTreeMap<LaneId, BTreeMap<RowId, u32>> {
        let mut all: BTreeMap<LaneId, BTreeMap<RowId, u32>> = BTreeMap::new();
        for ((lane, row), runs) in self.letters.iter().filter(|((lane, _), _)| *lane != REJECT_LANE) {
            all.entry(*lane).or_default().insert(*row, runs.len() as u32);
        }
        all
    }

    /// So many letters, and whoever took the row made one of them.
    pub fn is_letter_alone(&self, lane: LaneId, row: RowId, letters: u32) -> bool {
        let Some(out) = self.letters.get(&(lane, row)) else { return false };
        let mut taken = self.taken.get(&(lane, row)).into_iter().flat_map(BTreeMap::values);
        out.len() == letters as usize && taken.all(|run| out.contains(run))
    }

    pub fn begin_again(&mut self, run: Run) {
        let number = self.runs.len() + self.again.len();
        self.again.insert(run, number);
    }

    /// Commanded after the other.
    pub fn comes_after(&self, run: Run, other: Run) -> bool {
        let number = |run: &Run| self.again.get(run).or(self.runs.get(run)).copied();
        number(&run) > number(&other)
    }

    pub fn ledger_trimmed(&mut self, journal: usize) {
        self.trimmed.insert(journal);
    }

    pub fn is_trimmed(&self, journal: usize) -> bool {
        self.trimmed.contains(&journal)
    }

    pub fn has_letter(&self, lane: LaneId, row: RowId) -> bool {
        self.letters.contains_key(&(lane, row))
    }

    pub fn owed(&self, journal: usize, lane: LaneId, key: TopicPartition) -> Option<&Ranges> {
        self.owed.get(&(journal, lane))?.get(&key)
    }

    pub fn pending(&self, journal: usize, lane: LaneId, key: TopicPartition) -> Option<&Ranges> {
        self.pending.get(&(journal, lane))?.get(&key)
    }

    /// From here on the live stream brought everything, as far as whoever asked the ledger could know.
    pub fn live_since(&self, scene: &Scene, lane: LaneId, key: TopicPartition) -> Offset {
        let since = self.since.get(&scene.journal).map_or(Offset::ZERO, |state| scene.live_from(state, lane, key));
        since.min(scene.live_from(scene.before, lane, key))
    }

    pub fn note_owed(&mut self, scene: &Scene, transaction: &Transaction) {
        if scene.before.applied != scene.after.applied {
            self.owed.retain(|(journal, _), _| *journal != scene.journal);
            self.pending.retain(|(journal, _), _| *journal != scene.journal);
            self.since.insert(scene.journal, scene.before.clone());
        }
        self.insert_owed(scene.journal, scene.before);
        // What is skipped is in the ledger before it is asked; it may be owed once more by what came behind.
        for row in &transaction.ledger {
            let LedgerEvent::Skipped { covers, .. } = &row.event else { continue };
            let Some(all) = self.owed.get_mut(&(scene.journal, row.batch.lane)) else { continue };
            covers.iter().for_each(|(key, range)| all.entry(*key).or_default().remove(*range));
        }
        self.insert_owed(scene.journal, scene.after);
    }

    fn insert_owed(&mut self, journal: usize, state: &State) {
        for (lane, record) in &state.lanes {
            let all = self.owed.entry((journal, *lane)).or_default();
            for (key, owed) in record.runs.iter().flat_map(|run| &run.owed).chain(&record.owed) {
                all.entry(*key).or_default().insert_all(owed);
            }
            let pending = self.pending.entry((journal, *lane)).or_default();
            for (key, range) in record.pending.iter().flat_map(|pending| &pending.covers) {
                pending.entry(*key).or_default().insert(*range);
            }
        }
    }

    pub fn decided(&mut self, id: BatchId, run: Run, rows: &[RowId]) -> Verdict {
        for row in rows {
            let repair = self.runs.get(&run);
            let letters = self.letters.get(&(id.lane, *row));
            let is_letter = |of: &Run| letters.is_some_and(|letters| letters.contains(of));
            let others = self.taken.entry((id.lane, *row)).or_default();
            let comes_later = |other: &Run| self.again.get(other) > repair;
            let is_resend = self.resends.contains(&run);
            let others_of = others.iter().filter(|(_, other)| **other != run);
            let mut others_of = others_of.filter(|(_, other)| !(is_resend && is_letter(other)));
            let other = others_of.find(|(_, other)| match repair {
                Some(_) => !comes_later(other),
                None => self.runs.contains_key(other) && !self.again.contains_key(&run),
            });
            must(other.is_none(), || format!("{row:?} is repaired by {run:?} in {id}, and delivered by {other:?}"))?;
            let out = letters.into_iter().flatten().filter(|other| **other != run && !comes_later(other)).count();
            must(repair.is_none() || is_resend || out == 0, || {
                format!("{row:?} is repaired by {run:?}, and its dead letter is out")
            })?;
            others.insert(id, run);
        }
        Ok(())
    }

    pub fn lost(&mut self, id: BatchId, rows: &[RowId]) {
        for row in rows {
            self.taken.entry((id.lane, *row)).or_default().remove(&id);
        }
    }

    pub fn letter(&mut self, lane: LaneId, run: Run, row: RowId) {
        self.letters.entry((lane, row)).or_default().insert(run);
    }
}
