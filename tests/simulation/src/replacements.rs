//! What must be true of a run that takes the place of what is there (P32): it is all visible before anything of the old
//! goes, it has all that goes with the old, and when the last of the old is gone, each of its rows is there once.

use crate::{
    Checker, RowId,
    checker::{Batch, Scene, Stage, Verdict, must},
    commands::{Order, begun, run_of},
    fates::{Fate, Run},
};
use outflow_api::{
    BatchId, LaneId, LaneRecord, LedgerEvent, Offset, OffsetRange, Ranges, Replacing, Revision, TopicPartition,
    Transaction,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Replacements {
    /// By which runs each batch is replaced: after one that was called off there may be another.
    by: BTreeMap<BatchId, Vec<Run>>,
    /// That have come to their end.
    pub done: usize,
}

type Covers = BTreeMap<TopicPartition, Ranges>;

impl Checker {
    /// Of whole batches, of all that have rows of these offsets, and of nothing that is still to come in another way.
    pub(crate) fn replace(&mut self, scene: &Scene, order: &Order, asked: &Covers, by: Revision) -> Verdict {
        let lane = order.command.lane;
        let run = run_of(scene, lane, order.revision, by);
        let after = scene.after.lanes.get(&lane);
        let is_own = |replacing: &&Replacing| replacing.run == order.revision;
        let replacing = after.and_then(|record| record.replacing.as_ref()).filter(is_own);
        let old: Vec<BatchId> = replacing.iter().flat_map(|all| &all.old).map(|old| old.id).collect();
        let (mut least, mut most) = (Covers::new(), asked.clone());
        for id in &old {
            let batch = self.batches.get(id).ok_or_else(|| format!("{id} is replaced, and was never decided"))?;
            // One that was called off may have removed more than the ledger heard of.
            let is_gone = batch.stage == Stage::Removed && self.replacements.by.contains_key(id);
            must(id.lane == lane && (batch.stage == Stage::Visible || is_gone), || {
                format!("{id} is to be removed for {lane:?}, and is {:?}", batch.stage)
            })?;
            for (key, range) in &batch.covers {
                least.entry(*key).or_default().insert(*range);
                most.entry(*key).or_default().insert(*range);
            }
        }
        let own = begun(scene, lane, order.revision, by).map(|run| run.owed).unwrap_or_default();
        self.begin_run(scene, order, (&least, &most), by)?;
        if own.is_empty() {
            return must(old.is_empty(), || format!("{old:?} are removed, and nothing is delivered for them"));
        }
        // Whatever else has rows of these offsets would be there beside them.
        for (id, batch) in self.batches.iter().filter(|(id, _)| id.lane == lane && !old.contains(id)) {
            let is_there = matches!(batch.stage, Stage::Decided | Stage::Visible | Stage::Abandoned);
            let touches = |(key, range): (&TopicPartition, &OffsetRange)| {
                let own = own.get(key).map_or(&[][..], Ranges::as_slice);
                own.iter().any(|own| own.start < range.next && range.start < own.next)
            };
            let has_rows = batch.rows.iter().any(|row| !batch.letters.contains(row));
            let doubles = is_there && has_rows && batch.run != run && batch.covers.iter().any(touches);
            must(!doubles, || format!("{run:?} replaces {own:?}, and {id} stays beside it: {:?}", batch.covers))?;
        }
        self.must_be_settled(scene, order, &own)?;
        self.repairs.begin_again(run);
        old.into_iter().for_each(|id| self.replacements.by.entry(id).or_default().push(run));
        Ok(())
    }

    fn must_be_settled(&self, scene: &Scene, order: &Order, own: &Covers) -> Verdict {
        let lane = order.command.lane;
        let Some(record) = scene.after.lanes.get(&lane) else { return Ok(()) };
        for (key, own) in own {
            let live = OffsetRange::new(scene.live_from(scene.after, lane, *key), Offset::OPEN);
            let older = record.runs.iter().filter(|run| run.id.is_none_or(|id| id < order.revision));
            let mut others = Ranges::of(live);
            older
                .filter_map(|run| run.owed.get(key))
                .chain(record.owed.get(key))
                .for_each(|owed| others.insert_all(owed));
            must(own.within(&others).is_empty(), || {
                format!("{:?} replaces {own:?} of {key:?}, and {others:?} comes in another way", order.revision)
            })?;
        }
        Ok(())
    }

    /// No batch leaves the record but by its removal, or because the whole is called off.
    pub(crate) fn check_replacing(
        &mut self,
        scene: &Scene,
        transaction: &Transaction,
        called_off: impl Fn(LaneId, Revision) -> bool,
    ) -> Verdict {
        for (lane, after) in &transaction.lanes {
            let replacing = |record: &LaneRecord| record.replacing.clone();
            let Some(before) = scene.before.lanes.get(lane).and_then(replacing) else { continue };
            let after = after.as_ref().and_then(replacing).filter(|after| after.run == before.run);
            if called_off(*lane, before.run) {
                continue;
            }
            let removed = |id: BatchId| {
                let is_it = LedgerEvent::Removed { run: before.run };
                transaction.ledger.iter().any(|row| row.batch == id && row.event == is_it)
            };
            let kept = |id: BatchId| after.as_ref().is_some_and(|after| after.names(id));
            let lost = before.old.iter().find(|old| kept(old.id) == removed(old.id));
            must(lost.is_none(), || {
                format!("{lost:?} is to be removed for {:?}: {before:?} becomes {after:?}", before.run)
            })?;
            if after.is_none() {
                self.check_once((scene.journal, *lane), before.run)?;
            }
        }
        Ok(())
    }

    /// As a reader of the destination sees it.
    fn check_once(&mut self, (journal, lane): (usize, LaneId), id: Revision) -> Verdict {
        self.replacements.done += 1;
        let is_it = |run: &&Run| match run {
            Run::Live => false,
            Run::Of { journal: own, lane: of, id: named, .. } => (*own, *of, *named) == (journal, lane, id),
        };
        let Some(run) = self.replacements.by.values().flatten().find(is_it).copied() else { return Ok(()) };
        let shows = |batch: &Batch, row: &RowId| {
            let later = batch.run != run && self.repairs.comes_after(batch.run, run);
            batch.stage == Stage::Visible && !later && batch.rows.contains(row) && !batch.letters.contains(row)
        };
        for (row, fate) in self.fates.rows(run).filter(|(_, fate)| *fate != Fate::Letter) {
            let own = self.batches.iter().filter(|(id, batch)| id.lane == lane && shows(batch, &row));
            let own: Vec<BatchId> = own.map(|(id, _)| *id).collect();
            must(fate == Fate::Visible && own.len() == 1, || {
                format!("{run:?} has taken the place of what was there, and {row:?} is {fate:?}, in {own:?}")
            })?;
        }
        Ok(())
    }

    /// The old goes only for a run that is all there.
    pub fn remove(&mut self, id: BatchId) -> Verdict {
        let runs = self.replacements.by.get(&id).ok_or_else(|| format!("{id} is removed, and nobody replaced it"))?;
        let is_there =
            |run: &&Run| self.fates.rows(**run).all(|(_, fate)| matches!(fate, Fate::Visible | Fate::Letter));
        must(runs.iter().any(|run| is_there(&run)), || format!("{id} is removed before {runs:?} is there"))?;
        let batch = self.batches.get_mut(&id).ok_or_else(|| format!("{id} is removed, and was never decided"))?;
        must(matches!(batch.stage, Stage::Visible | Stage::Removed), || {
            format!("{id} is removed, and is {:?}", batch.stage)
        })?;
        batch.stage = Stage::Removed;
        self.repairs.lost(id, &batch.rows);
        Ok(())
    }
}
