//! What a transaction that moves the mark of what is applied must bring with it, and what no other may (P31).

use crate::{
    Checker, RowId,
    checker::{Scene, Stage, Verdict, must},
    fates::{Fate, Run},
};
use outflow_api::{LaneId, LaneRecord, LedgerEvent, Offset, OffsetRange, Pins, Ranges, Revision, Track, Transaction};
use outflow_api::{Run as RunRecord, TopicPartition};
use outflow_engine::{Act, Command};
use std::collections::BTreeMap;

/// A command, and those behind it that share its transaction.
pub(crate) struct Order<'a> {
    pub revision: Revision,
    pub command: &'a Command,
    later: Vec<&'a Act>,
}

impl Order<'_> {
    fn undone_by(&self, undoes: impl Fn(&Act) -> bool) -> bool {
        self.later.iter().any(|act| undoes(act))
    }
}

impl Checker {
    pub(crate) fn obey(&mut self, scene: &Scene, transaction: &Transaction) -> Verdict {
        let orders = orders(scene)?;
        orders.iter().try_for_each(|order| self.check_effect(scene, transaction, order))?;
        let has = |lane: LaneId, wanted: fn(&Act) -> bool| {
            orders.iter().any(|order| order.command.lane == lane && wanted(&order.command.act))
        };
        for row in &transaction.ledger {
            let commanded = match row.event {
                LedgerEvent::Skipped { .. } => has(row.batch.lane, |act| *act == Act::Skip),
                LedgerEvent::Abandoned => has(row.batch.lane, |act| *act == Act::Abandon),
                LedgerEvent::Decided { .. } | LedgerEvent::Revealed | LedgerEvent::Lost { .. } => true,
                LedgerEvent::Removed { .. } => true,
                LedgerEvent::Began => false,
            };
            must(commanded, || format!("{} is {:?}, and nobody commanded it", row.batch, row.event))?;
        }
        let called_off = |lane: LaneId, run: Revision| {
            let pending = scene.before.lanes.get(&lane).and_then(|record| record.pending.as_ref());
            let gives_up =
                has(lane, |act| *act == Act::Abandon) && pending.and_then(|pending| pending.run) == Some(run);
            gives_up || has(lane, |act| *act == Act::Skip)
        };
        self.check_replacing(scene, transaction, called_off)?;
        for (id, after) in &transaction.lanes {
            let held = |record: Option<&LaneRecord>| {
                record.and_then(|record| record.parked.as_ref()).is_some_and(|parked| parked.held)
            };
            let changed = held(scene.before.lanes.get(id)) != held(after.as_ref());
            let commanded = has(*id, |act| matches!(act, Act::Pause | Act::Resume | Act::Mend));
            must(!changed || commanded, || format!("{id:?} is paused or resumed, and nobody commanded it"))?;
            for run in after.iter().flat_map(|record| &record.runs) {
                let name = named(scene, *id, run);
                must(name == Run::Live || self.fates.knows(name), || {
                    format!("{id:?} has {run:?}, which nobody commanded")
                })?;
            }
        }
        Ok(())
    }

    fn check_effect(&mut self, scene: &Scene, transaction: &Transaction, order: &Order) -> Verdict {
        let Command { lane, act, .. } = order.command;
        let after = scene.after.lanes.get(lane);
        let held = after.and_then(|record| record.parked.as_ref()).is_some_and(|parked| parked.held);
        let skipped = order.undone_by(|act| *act == Act::Skip);
        match act {
            Act::History { .. } | Act::Replay { .. } | Act::Repair { .. } | Act::Replace { .. } if skipped => Ok(()),
            Act::History { from } => {
                let asked = from.iter().filter_map(|(key, from)| {
                    let next = self.start_of(scene.journal, order.revision, *key)?;
                    Some((*key, Ranges::of(OffsetRange::new((*from).min(next), next))))
                });
                let asked = asked.collect();
                self.begin_run(scene, order, (&asked, &asked), order.revision)
            }
            Act::Replay { by, ranges } => {
                let read = ranges.iter().map(|(key, ranges)| {
                    let mut read = ranges.clone();
                    let position = scene.live_from(scene.before, *lane, *key);
                    read.remove(OffsetRange::new(position, Offset::OPEN));
                    (*key, read)
                });
                self.begin_run(scene, order, (&read.collect(), ranges), *by)?;
                self.repairs.begin_again(run_of(scene, *lane, order.revision, *by));
                Ok(())
            }
            Act::Repair { by, ranges, letters: 0 } => self.repair(scene, order, ranges, *by),
            Act::Repair { by, ranges, letters } => self.resend(scene, order, (ranges, *letters), *by),
            Act::Replace { by, ranges } => self.replace(scene, order, ranges, *by),
            Act::Mend => mended(scene, order),
            Act::Pause => {
                let undone = order.undone_by(|act| matches!(act, Act::Resume | Act::Mend));
                must(undone || held, || format!("{lane:?} is to be paused, and is {after:?}"))
            }
            Act::Resume => {
                let undone = order.undone_by(|act| *act == Act::Pause);
                must(undone || !held, || format!("{lane:?} is to be resumed, and is {after:?}"))
            }
            Act::Skip => self.skip(scene, transaction, *lane),
            Act::Abandon => {
                let pending = |record: Option<&LaneRecord>| Some(record?.pending.as_ref()?.id);
                let old = pending(scene.before.lanes.get(lane));
                must(old.is_none() || pending(after) != old, || format!("{old:?} is to be abandoned, and is not"))
            }
        }
    }

    /// At least `least` and at most `most` is owed: what is not read yet comes by itself.
    pub(crate) fn begin_run(
        &mut self,
        scene: &Scene,
        order: &Order,
        (least, most): (&BTreeMap<TopicPartition, Ranges>, &BTreeMap<TopicPartition, Ranges>),
        by: Revision,
    ) -> Verdict {
        let lane = order.command.lane;
        let found = begun(scene, lane, order.revision, by);
        let nothing = Ranges::default();
        let read = |key: &TopicPartition| {
            scene.after.floors.contains_key(&Track { feed: scene.catalogue.feed(lane), partition: *key })
        };
        for key in scene.log.partitions.keys() {
            let owed = found.as_ref().and_then(|run| run.owed.get(key)).unwrap_or(&nothing);
            let (least, most) = (least.get(key).unwrap_or(&nothing), most.get(key).unwrap_or(&nothing));
            // What holds no row of the lane may be paid already, if the journal has refused the mark once.
            let missing = least.minus(owed);
            let by = (lane, Pins::to(by));
            let missing = missing.as_slice().iter().any(|range| !self.rows_of(scene, by, (*key, *range)).is_empty());
            let fits = owed.minus(most).is_empty() && !(missing && read(key));
            must(fits, || format!("{:?} of {:?} has {owed:?} of {key:?}", order.command, order.revision))?;
        }
        if let Some(run) = &found {
            self.register(scene, lane, run);
        }
        Ok(())
    }

    fn register(&mut self, scene: &Scene, lane: LaneId, run: &RunRecord) {
        let name = named(scene, lane, run);
        self.fates.begin(name);
        for (key, range) in ranges(&run.owed) {
            for (offset, _) in self.rows_of(scene, (lane, run.by), (key, range)) {
                let spent = run.spent.get(&key).is_some_and(|spent| spent.contains(&offset));
                self.fates.set(name, (key, offset), if spent { Fate::Letter } else { Fate::Open });
            }
        }
    }

    /// Of what was asked for: nothing that the lane has or is to have in another way; and all that was skipped.
    fn repair(
        &mut self,
        scene: &Scene,
        order: &Order,
        asked: &BTreeMap<TopicPartition, Ranges>,
        by: Revision,
    ) -> Verdict {
        let lane = order.command.lane;
        self.repairs.begin(run_of(scene, lane, order.revision, by));
        let mut least = BTreeMap::new();
        if !self.repairs.is_trimmed(scene.journal) {
            let (covered, nothing) = (self.covered(scene.journal, lane), Ranges::default());
            for (key, asked) in asked {
                let mut missing = asked.minus(covered.get(key).unwrap_or(&nothing));
                missing.remove(OffsetRange::new(self.repairs.live_since(scene, lane, *key), Offset::OPEN));
                missing = missing.minus(self.repairs.owed(scene.journal, lane, *key).unwrap_or(&nothing));
                // By an earlier command of the same transaction.
                let runs = scene.after.lanes.get(&lane).into_iter().flat_map(|record| &record.runs);
                let others = runs.filter(|run| run.id != Some(order.revision) || run.by.whose != Some(by));
                others.filter_map(|run| run.owed.get(key)).for_each(|owed| missing = missing.minus(owed));
                let rows = missing.as_slice().iter().flat_map(|range| range.start.0..range.next.0).map(Offset);
                let rows = rows.filter(|offset| !self.repairs.has_letter(lane, (*key, *offset)));
                let skipped = rows.filter(|offset| self.fates.is_skipped(scene.journal, lane, (*key, *offset)));
                let mut skipped_ranges = Ranges::default();
                skipped.for_each(|offset| skipped_ranges.insert(OffsetRange::new(offset, offset.after())));
                least.insert(*key, skipped_ranges);
            }
        }
        self.begin_run(scene, order, (&least, asked), by)
    }

    /// Of the rows that were asked for: all that are dead letters and nothing else, and are still as often what they
    /// were when somebody looked.
    fn resend(
        &mut self,
        scene: &Scene,
        order: &Order,
        (asked, letters): (&BTreeMap<TopicPartition, Ranges>, u32),
        by: Revision,
    ) -> Verdict {
        let lane = order.command.lane;
        self.repairs.begin_resend(run_of(scene, lane, order.revision, by));
        let mut least = BTreeMap::new();
        if !self.repairs.is_trimmed(scene.journal) {
            for (key, asked) in asked {
                let mut settled = asked.clone();
                settled.remove(OffsetRange::new(self.repairs.live_since(scene, lane, *key), Offset::OPEN));
                let nothing = Ranges::default();
                settled = settled.minus(self.repairs.owed(scene.journal, lane, *key).unwrap_or(&nothing));
                settled = settled.minus(self.repairs.pending(scene.journal, lane, *key).unwrap_or(&nothing));
                // By an earlier command of the same transaction.
                let runs = scene.after.lanes.get(&lane).into_iter().flat_map(|record| &record.runs);
                let others = runs.filter(|run| run.id != Some(order.revision));
                others.filter_map(|run| run.owed.get(key)).for_each(|owed| settled = settled.minus(owed));
                let rows = settled.as_slice().iter().flat_map(|range| range.start.0..range.next.0).map(Offset);
                let mut missing = Ranges::default();
                // What passed over the row when it was another lane's may have taken it, for all that the ledger knows.
                let passed = |offset: &Offset| self.passed(lane, (*key, *offset)) > letters as usize;
                let is_letter = |offset: &Offset| self.repairs.is_letter_alone(lane, (*key, *offset), letters);
                for offset in rows.filter(|offset| is_letter(offset) && !passed(offset)) {
                    missing.insert(OffsetRange::new(offset, offset.after()));
                }
                least.insert(*key, missing);
            }
        }
        self.begin_run(scene, order, (&least, asked), by)
    }

    /// How many batches of the lane cover the row, and were not lost.
    fn passed(&self, lane: LaneId, (key, offset): RowId) -> usize {
        let own = self.batches.iter().filter(|(id, batch)| id.lane == lane && batch.stage != Stage::Lost);
        own.filter(|(_, batch)| batch.covers.get(&key).is_some_and(|range| range.contains(offset))).count()
    }

    /// The ledger says which rows are never delivered.
    fn skip(&mut self, scene: &Scene, transaction: &Transaction, lane: LaneId) -> Verdict {
        let own = transaction.ledger.iter().filter(|row| row.batch.lane == lane);
        let covers: Vec<(Option<Revision>, TopicPartition, OffsetRange)> = own
            .filter_map(|row| match &row.event {
                LedgerEvent::Skipped { run, covers } => Some((*run, covers)),
                _ => None,
            })
            .flat_map(|(run, covers)| covers.iter().map(move |(key, range)| (run, *key, *range)))
            .collect();
        for (_, key, range) in covers.iter().filter(|(run, _, _)| run.is_none()) {
            must(range.next != Offset::OPEN, || format!("{lane:?} skips {range:?}, and all that ever comes"))?;
            for (offset, _) in self.rows_of(scene, (lane, Pins::OWN_OFFSETS), (*key, *range)) {
                if self.fates.of(Run::Live, (*key, offset)) == Some(Fate::Open) {
                    self.fates.skip_live(lane, (*key, offset));
                }
            }
        }
        for (run, (key, offset)) in self.fates.open(scene.journal, lane) {
            let Run::Of { id, .. } = run else { continue };
            let named =
                covers.iter().any(|(run, own, range)| *run == Some(id) && *own == key && range.contains(offset));
            must(named, || format!("{lane:?} skips {key:?}@{} of {run:?}, and the ledger does not say so", offset.0))?;
            self.fates.set(run, (key, offset), Fate::Skipped);
        }
        Ok(())
    }
}

/// P21: whatever the lane owed by older definitions is of the newest shape. What comes later in the same transaction is
/// not.
fn mended(scene: &Scene, order: &Order) -> Verdict {
    let Some(record) = scene.after.lanes.get(&order.command.lane) else { return Ok(()) };
    let is_behind = record.owed.values().any(Ranges::is_open_ended);
    let owes = record.parked.is_none() && !is_behind && !record.owed.is_empty();
    let undone = order.undone_by(|act| *act == Act::Pause);
    let is_old = |run: &&RunRecord| {
        run.id.is_none_or(|id| id < order.revision) && run.by.shape.is_none_or(|shape| shape < order.revision)
    };
    let old = record.runs.iter().find(is_old);
    must((undone || !owes) && old.is_none(), || {
        format!("{:?} is mended by {:?}, and owes by older definitions: {record:?}", order.command.lane, order.revision)
    })
}

/// A run, with what of it is decided by the very transaction that begins it.
pub(crate) fn begun(scene: &Scene, lane: LaneId, id: Revision, by: Revision) -> Option<RunRecord> {
    let record = scene.after.lanes.get(&lane)?;
    let is_it = |own: Option<Revision>, pins: Pins| own == Some(id) && pins.whose == Some(by);
    let known = record.runs.iter().find(|run| is_it(run.id, run.by)).cloned();
    let pending = record.pending.as_ref().filter(|pending| is_it(pending.run, pending.by));
    if known.is_none() && pending.is_none() {
        return None;
    }
    let new = || RunRecord { id: Some(id), by: Pins::to(by), owed: BTreeMap::new(), spent: BTreeMap::new() };
    let mut run = known.unwrap_or_else(new);
    for (key, range) in pending.iter().flat_map(|pending| &pending.covers) {
        run.owed.entry(*key).or_default().insert(*range);
    }
    Some(run)
}

fn named(scene: &Scene, lane: LaneId, run: &RunRecord) -> Run {
    Run::new((scene.journal, lane), run.id, run.by)
}

pub(crate) fn run_of(scene: &Scene, lane: LaneId, id: Revision, by: Revision) -> Run {
    Run::new((scene.journal, lane), Some(id), Pins::to(by))
}

fn ranges(owed: &BTreeMap<TopicPartition, Ranges>) -> Vec<(TopicPartition, OffsetRange)> {
    owed.iter().flat_map(|(key, owed)| owed.as_slice().iter().map(|range| (*key, *range))).collect()
}

/// The commands between the marks before and after.
fn orders<'a>(scene: &Scene<'a>) -> Result<Vec<Order<'a>>, String> {
    let (before, after) = (scene.before.applied, scene.after.applied);
    must(before <= after, || format!("the mark falls from {before:?} to {after:?}"))?;
    let mut span: Vec<(Revision, &Command)> = Vec::new();
    for revision in before.revision.0.max(1)..=after.revision.0 {
        let commands = scene.catalogue.commands(Revision(revision));
        let done = if revision == before.revision.0 { before.commands as usize } else { 0 };
        let until = if revision == after.revision.0 { after.commands as usize } else { commands.len() };
        must(done <= until && until <= commands.len(), || format!("the mark is {after:?}, of {}", commands.len()))?;
        span.extend(commands[done..until].iter().map(|command| (Revision(revision), command)));
    }
    let order = |(at, (revision, command)): (usize, &(Revision, &'a Command))| {
        let later = span[at + 1..].iter().filter(|(_, later)| later.lane == command.lane);
        Order { revision: *revision, command, later: later.map(|(_, later)| &later.act).collect() }
    };
    Ok(span.iter().enumerate().map(order).collect())
}
