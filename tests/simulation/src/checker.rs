use crate::{
    Catalogue, Log, RowId,
    fates::{Fate, Fates, Run},
    journal::State,
    log::hash,
    repairs::Repairs,
    replacements::Replacements,
};
use outflow_api::{
    BatchId, LaneId, LaneRecord, LedgerEvent, LedgerRow, Offset, OffsetRange, Pending, Pins, Ranges, Revision,
    RevisionRecord, TopicPartition, Track, Transaction,
};
use outflow_engine::{Decision, Letters};
use std::collections::{BTreeMap, BTreeSet};

/// Sees every transaction and every reveal, and knows what must be true of them. It believes nobody's counters: which
/// rows a batch has, it works out from the log and from the revisions as they were journaled.
#[derive(Default)]
pub struct Checker {
    pub(crate) fates: Fates,
    pub(crate) batches: BTreeMap<BatchId, Batch>,
    pub(crate) repairs: Repairs,
    pub(crate) replacements: Replacements,
    /// Of each journal, all that ever were.
    revisions: BTreeMap<usize, Vec<RevisionRecord>>,
    /// Where the floors of each partition are.
    pub(crate) journals: BTreeMap<TopicPartition, usize>,
    limits: DecisionLimits,
}

#[derive(Clone, Copy, Default)]
pub struct DecisionLimits {
    pub lanes: usize,
    pub letters_of_batch: usize,
}

pub(crate) struct Batch {
    pub run: Run,
    pub covers: BTreeMap<TopicPartition, OffsetRange>,
    pub rows: Vec<RowId>,
    /// What they become.
    version: Revision,
    pub letters: BTreeSet<RowId>,
    pub stage: Stage,
    /// Its staging is gone: Lost is the honest answer.
    expired: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Decided,
    Visible,
    Lost,
    Abandoned,
    Removed,
}

pub(crate) type Verdict = Result<(), String>;

pub(crate) fn must(holds: bool, broken: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(broken()) }
}

/// What a transaction is judged against.
pub struct Scene<'a> {
    pub journal: usize,
    pub log: &'a Log,
    pub catalogue: &'a Catalogue,
    pub before: &'a State,
    pub after: &'a State,
}

impl Scene<'_> {
    /// Where the lane's live stream stands in a partition, as of the journal.
    pub fn live_from(&self, state: &State, lane: LaneId, partition: TopicPartition) -> Offset {
        let track = Track { feed: self.catalogue.feed(lane), partition };
        let floor = state.floors.get(&track).copied().unwrap_or(self.catalogue.begin(track));
        let next = state.lanes.get(&lane).and_then(|record| record.next.get(&partition)).copied();
        next.unwrap_or(floor).max(floor)
    }
}

impl Checker {
    pub fn new(limits: DecisionLimits) -> Checker {
        Checker { limits, ..Checker::default() }
    }

    /// Of the first revision at or after this one that routes anything: where it begins.
    pub(crate) fn start_of(&self, journal: usize, revision: Revision, key: TopicPartition) -> Option<Offset> {
        let record = self.revisions.get(&journal)?.iter().find(|record| record.revision >= revision)?;
        Some(record.starts.get(&key).copied().unwrap_or(Offset::ZERO))
    }

    fn revision_at(&self, journal: usize, key: TopicPartition, offset: Offset) -> Option<Revision> {
        let known = self.revisions.get(&journal)?;
        let holds = |record: &&RevisionRecord| record.starts.get(&key).is_none_or(|start| *start <= offset);
        known.iter().rev().find(holds).or(known.first()).map(|record| record.revision)
    }

    /// The lane's rows within the range, each with the version of the lane that shapes it.
    pub(crate) fn rows_of(
        &self,
        scene: &Scene,
        (lane, by): (LaneId, Pins),
        (key, range): (TopicPartition, OffsetRange),
    ) -> Vec<(Offset, Revision)> {
        let begin = match by.whose {
            Some(_) => Offset::ZERO,
            None => scene.catalogue.begin(Track { feed: scene.catalogue.feed(lane), partition: key }),
        };
        let rows = scene.log.rows(key, range).filter_map(|(offset, row)| {
            // Before there are any definitions only rows of a run are known.
            let own = self.revision_at(scene.journal, key, offset).or(by.whose)?;
            let pin = by.at(own);
            let is_own = offset >= begin && scene.catalogue.lane(pin.whose, row.key) == lane;
            is_own.then(|| (offset, scene.catalogue.version(pin.shape, lane)))
        });
        rows.collect()
    }

    pub fn decide(&mut self, scene: &Scene, decision: &Decision) -> Verdict {
        let transaction = &decision.transaction;
        must(transaction.lanes.len() <= self.limits.lanes, || {
            format!("a transaction of {} lanes; at most {}", transaction.lanes.len(), self.limits.lanes)
        })?;
        self.note_revisions(scene, transaction)?;
        self.close_batches(transaction)?;
        self.obey(scene, transaction)?;
        for (id, record) in &transaction.lanes {
            let before = scene.before.lanes.get(id).and_then(|record| record.pending.as_ref());
            let after = record.as_ref().and_then(|record| record.pending.as_ref());
            if let Some(before) = before.filter(|before| after.is_none_or(|after| after.id != before.id)) {
                let stage = self.batches[&before.id].stage;
                must(stage != Stage::Decided, || format!("{} is forgotten before it is visible", before.id))?;
            }
            if let Some(pending) = after.filter(|after| before.is_none_or(|before| before.id != after.id)) {
                let held = record.as_ref().and_then(|record| record.parked.as_ref()).is_some_and(|parked| parked.held);
                must(!held, || format!("{} is decided for a lane that is paused", pending.id))?;
                self.open_batch(scene, pending, transaction)?;
            }
        }
        decision.letters.iter().try_for_each(|letters| self.send(letters))?;
        for (id, record) in &transaction.lanes {
            self.check_rejected(record.as_ref())?;
            self.check_record(scene, *id)?;
        }
        self.repairs.note_owed(scene, transaction);
        self.check_floors(scene)
    }

    fn note_revisions(&mut self, scene: &Scene, transaction: &Transaction) -> Verdict {
        for record in &transaction.revisions {
            let known = self.revisions.entry(scene.journal).or_default();
            let newest = known.last().map(|newest| newest.revision);
            must(newest.is_none_or(|newest| newest < record.revision), || {
                format!("revision {:?} is journaled after {newest:?}", record.revision)
            })?;
            let first = known.is_empty();
            known.push(record.clone());
            for (key, start) in record.starts.iter().filter(|_| !first) {
                let settled = self.fates.last_settled(*key);
                must(settled.is_none_or(|settled| settled < *start), || {
                    format!("{:?} routes {key:?} from {} on, where {settled:?} was decided", record.revision, start.0)
                })?;
            }
        }
        Ok(())
    }

    fn close_batches(&mut self, transaction: &Transaction) -> Verdict {
        for row in &transaction.ledger {
            let id = row.batch;
            let batch = self.batches.get_mut(&id);
            let fate = match row.event {
                LedgerEvent::Decided { .. } => {
                    must(batch.is_none(), || format!("{id} is decided twice"))?;
                    continue;
                }
                LedgerEvent::Revealed => {
                    must(batch.is_some_and(|batch| batch.stage == Stage::Visible), || {
                        format!("the ledger says that {id} is visible, and it is not")
                    })?;
                    continue;
                }
                LedgerEvent::Removed { .. } => {
                    must(batch.is_some_and(|batch| batch.stage == Stage::Removed), || {
                        format!("the ledger says that {id} is removed, and it is not")
                    })?;
                    continue;
                }
                LedgerEvent::Skipped { .. } | LedgerEvent::Began => continue,
                LedgerEvent::Lost { .. } => Fate::Open,
                LedgerEvent::Abandoned => Fate::Abandoned,
            };
            let batch = batch.ok_or_else(|| format!("{id} is {:?} and was never decided", row.event))?;
            if fate == Fate::Abandoned && batch.stage == Stage::Visible {
                continue;
            }
            must(batch.stage == Stage::Decided, || format!("{id} is {:?} and called {:?}", batch.stage, row.event))?;
            batch.stage = if fate == Fate::Open { Stage::Lost } else { Stage::Abandoned };
            if fate == Fate::Open {
                self.repairs.lost(id, &batch.rows);
            }
            let rows = batch.rows.iter().filter(|row| !batch.letters.contains(row));
            rows.for_each(|row| self.fates.set(batch.run, *row, fate));
        }
        Ok(())
    }

    fn open_batch(&mut self, scene: &Scene, pending: &Pending, transaction: &Transaction) -> Verdict {
        let id = pending.id;
        must(!self.batches.contains_key(&id), || format!("{id} is decided twice"))?;
        let decided = |row: &LedgerRow| row.batch == id && matches!(row.event, LedgerEvent::Decided { .. });
        must(transaction.ledger.iter().filter(|row| decided(row)).count() == 1, || {
            format!("{id} is decided, and the ledger does not say so once")
        })?;
        let (lane, journal) = (id.lane, scene.journal);
        let (by, run) = (pending.by, Run::new((journal, lane), pending.run, pending.by));
        let (mut rows, mut letters) = (Vec::new(), BTreeSet::new());
        for (key, range) in &pending.covers {
            must(range.next <= scene.log.end(*key), || format!("{id} covers {range:?}, which is not there yet"))?;
            for (offset, version) in self.rows_of(scene, (lane, by), (*key, *range)) {
                let row = (*key, offset);
                match self.fates.of(run, row) {
                    Some(Fate::Open) => self.fates.set(run, row, Fate::Decided),
                    Some(Fate::Letter) => {
                        letters.insert(row);
                    }
                    fate => return Err(format!("{row:?} is {fate:?} in {run:?} already, and {id} takes it again")),
                }
                must(version == pending.version, || {
                    format!("{row:?} belongs to version {version:?} of its lane; {id} is of {:?}", pending.version)
                })?;
                rows.push(row);
            }
        }
        must(hash(&rows) == pending.rows_hash, || format!("{id} says that its rows are others than {rows:?}"))?;
        let rejected: usize = pending.rejected.values().map(Vec::len).sum();
        must(pending.rows + rejected as u64 == rows.len() as u64, || {
            format!("{id} counts {} rows and {rejected} rejected ones of {}", pending.rows, rows.len())
        })?;
        self.repairs.decided(id, run, &rows)?;
        let (covers, version) = (pending.covers.clone(), pending.version);
        self.batches.insert(id, Batch { run, covers, rows, version, letters, stage: Stage::Decided, expired: false });
        Ok(())
    }

    fn send(&mut self, letters: &Letters) -> Verdict {
        let id = letters.batch;
        for (key, offsets) in &letters.rows {
            for row in offsets.iter().map(|offset| (*key, *offset)) {
                let batch = self.batches.get_mut(&id).filter(|batch| batch.rows.contains(&row));
                let batch = batch.ok_or_else(|| format!("{row:?} is not of {id}"))?;
                let fate = self.fates.of(batch.run, row);
                must(fate == Some(Fate::Decided), || {
                    format!("the dead letter of {row:?} goes out, and it is {fate:?}")
                })?;
                batch.letters.insert(row);
                self.repairs.letter(id.lane, batch.run, row);
                self.fates.set(batch.run, row, Fate::Letter);
            }
        }
        Ok(())
    }

    /// The entry names the rows whose dead letters are out, and no others.
    fn check_rejected(&self, record: Option<&LaneRecord>) -> Verdict {
        let Some(pending) = record.and_then(|record| record.pending.as_ref()) else { return Ok(()) };
        let named = pending.rejected.iter().flat_map(|(key, offsets)| offsets.iter().map(|offset| (*key, *offset)));
        let named: BTreeSet<RowId> = named.collect();
        let letters = &self.batches[&pending.id].letters;
        must(named == *letters, || {
            format!("{} names {named:?} as rejected; the dead letters are {letters:?}", pending.id)
        })
    }

    /// No row leaves the record undecided: not from what is owed, nor from below `next`, nor from a run.
    fn check_record(&self, scene: &Scene, id: LaneId) -> Verdict {
        let nothing = LaneRecord::default();
        let before = scene.before.lanes.get(&id).unwrap_or(&nothing);
        let after = scene.after.lanes.get(&id).unwrap_or(&nothing);
        for (key, rows) in &scene.log.partitions {
            let live_from = scene.live_from(scene.after, id, *key);
            let left_to_do = |offset: Offset| after.owes(*key, offset) || offset >= live_from;
            let all = OffsetRange::new(Offset::ZERO, Offset(rows.len() as i64));
            for (offset, _) in self.rows_of(scene, (id, Pins::OWN_OFFSETS), (*key, all)) {
                let was_to_do = before.owes(*key, offset) || before.next.get(key).is_none_or(|next| offset >= *next);
                let open = self.fates.of(Run::Live, (*key, offset)) == Some(Fate::Open);
                must(!(open && was_to_do && !left_to_do(offset)), || {
                    format!("{id:?} forgets {key:?}@{}: {before:?} becomes {after:?}, from {}", offset.0, live_from.0)
                })?;
            }
        }
        for (run, (key, offset)) in self.fates.open(scene.journal, id) {
            let own = after.runs.iter().filter(|own| Run::new((scene.journal, id), own.id, own.by) == run);
            let mut owed = own.filter_map(|own| own.owed.get(&key));
            must(owed.any(|owed| owed.contains(offset)), || {
                format!("{run:?} forgets {key:?}@{}: {before:?} becomes {after:?}", offset.0)
            })?;
        }
        Ok(())
    }

    /// P14, per track.
    fn check_floors(&mut self, scene: &Scene) -> Verdict {
        for (track, floor) in &scene.after.floors {
            let key = track.partition;
            self.journals.insert(key, scene.journal);
            let before = scene.before.floors.get(track).copied().unwrap_or(scene.catalogue.begin(*track));
            must(before <= *floor, || format!("the floor of {track:?} falls from {} to {}", before.0, floor.0))?;
            must(*floor <= scene.log.end(key), || format!("the floor of {track:?} is {}, past the log", floor.0))?;
            self.check_passed(scene, *track, OffsetRange::new(before, *floor))?;
        }
        for (track, before) in scene.before.floors.iter().filter(|(track, _)| !scene.after.floors.contains_key(track)) {
            let owes =
                |record: &LaneRecord| record.pending.is_some() || !record.owed.is_empty() || !record.runs.is_empty();
            let own = |id: &LaneId| scene.catalogue.feed(*id) == track.feed;
            let left = scene.after.lanes.iter().find(|(id, record)| own(id) && owes(record));
            must(left.is_none(), || format!("{track:?} is forgotten before {left:?}"))?;
            self.check_passed(scene, *track, OffsetRange::new(*before, scene.log.end(track.partition)))?;
        }
        Ok(())
    }

    /// What the floor passes is decided or owed.
    fn check_passed(&self, scene: &Scene, track: Track, passed: OffsetRange) -> Verdict {
        let key = track.partition;
        for (offset, row) in scene.log.rows(key, passed) {
            let Some(revision) = self.revision_at(scene.journal, key, offset) else { continue };
            let lane = scene.catalogue.lane(revision, row.key);
            if scene.catalogue.feed(lane) != track.feed || self.fates.of(Run::Live, (key, offset)) != Some(Fate::Open) {
                continue;
            }
            must(scene.after.lanes.get(&lane).is_some_and(|record| record.owes(key, offset)), || {
                format!("the floor of {track:?} passes {}, which {lane:?} has not and does not owe", offset.0)
            })?;
        }
        Ok(())
    }

    pub fn reveal(&mut self, id: BatchId, rows: &[RowId]) -> Verdict {
        self.taken_for(id, rows)?;
        let batch = self.batches.get_mut(&id).expect("just seen");
        // What was given up may still come.
        let given_up = batch.stage == Stage::Abandoned;
        must(given_up || batch.stage == Stage::Decided, || format!("{id} becomes visible, and is {:?}", batch.stage))?;
        batch.stage = Stage::Visible;
        for row in rows {
            let fate = self.fates.of(batch.run, *row);
            let expected = if given_up { Fate::Abandoned } else { Fate::Decided };
            must(fate == Some(expected), || format!("{row:?} becomes visible in {id}, and is {fate:?}"))?;
            self.fates.set(batch.run, *row, Fate::Visible);
        }
        Ok(())
    }

    /// Rows that are sent with the reveal, from memory or read again, are of the shape that was decided.
    pub fn is_shaped(&self, id: BatchId, version: Revision) -> Verdict {
        let decided = self.batches.get(&id).map(|batch| batch.version);
        must(decided.is_none_or(|decided| decided == version), || {
            format!("{id} is sent in the shape of {version:?}, and was decided in that of {decided:?}")
        })
    }

    /// What stands under a batch's name is that batch.
    pub fn taken_for(&self, id: BatchId, rows: &[RowId]) -> Verdict {
        let batch = self.batches.get(&id).ok_or_else(|| format!("{id} becomes visible, and nobody decided so"))?;
        let expected = batch.rows.iter().filter(|row| !batch.letters.contains(row));
        must(expected.eq(rows), || {
            format!("{id} is visible as {rows:?} and was decided as {:?} without {:?}", batch.rows, batch.letters)
        })
    }

    /// Staging that is aborted or swept must not be a decided batch's.
    pub fn may_go(&self, id: BatchId) -> Verdict {
        let decided = self.batches.get(&id).is_some_and(|batch| batch.stage == Stage::Decided && !batch.expired);
        must(!decided, || format!("{id} is decided, and its staging is removed"))
    }

    /// What batches of a shard's lane cover, but for those that were lost.
    pub(crate) fn covered(&self, journal: usize, lane: LaneId) -> BTreeMap<TopicPartition, Ranges> {
        let mut covered: BTreeMap<TopicPartition, Ranges> = BTreeMap::new();
        let own = |key: &TopicPartition| self.journals.get(key).is_none_or(|at| *at == journal);
        let kept = self.batches.iter().filter(|(id, batch)| id.lane == lane && batch.stage != Stage::Lost);
        for (key, range) in kept.flat_map(|(_, batch)| &batch.covers).filter(|(key, _)| own(key)) {
            covered.entry(*key).or_default().insert(*range);
        }
        covered
    }

    /// From now on it cannot say what was delivered.
    pub fn ledger_trimmed(&mut self, journal: usize) {
        self.repairs.ledger_trimmed(journal);
    }

    pub fn expired(&mut self, id: BatchId) {
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.expired = true;
        }
    }

    /// Rows that are still to be delivered, or not known to be; by their lane if they are a run's.
    pub fn unfinished(&self, log: &Log, catalogue: &Catalogue) -> Vec<(Option<LaneId>, RowId)> {
        let all = |key: &TopicPartition| OffsetRange::new(Offset::ZERO, log.end(*key));
        let rows =
            log.partitions.keys().flat_map(|key| log.rows(*key, all(key)).map(|(offset, row)| (*key, offset, row)));
        let live = rows.filter(|(key, offset, row)| {
            let revision = self.journals.get(key).and_then(|journal| self.revision_at(*journal, *key, *offset));
            let begun = revision.is_none_or(|revision| {
                let feed = catalogue.feed(catalogue.lane(revision, row.key));
                catalogue.begin(Track { feed, partition: *key }) <= *offset
            });
            begun && matches!(self.fates.of(Run::Live, (*key, *offset)), Some(Fate::Open | Fate::Decided))
        });
        let live = live.map(|(key, offset, _)| (None, (key, offset)));
        live.chain(self.fates.unfinished().map(|(lane, row)| (Some(lane), row))).collect()
    }
}
