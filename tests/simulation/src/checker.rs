use crate::{Catalogue, Log, RowId, journal::State, log::hash};
use outflow_api::{BatchId, LaneId, LaneRecord, LedgerEvent, Offset, OffsetRange, Pending, Revision, RevisionRecord};
use outflow_api::{TopicPartition, Transaction};
use outflow_engine::{Decision, Letters};
use std::collections::{BTreeMap, BTreeSet};

/// Sees every transaction and every reveal, and knows what must be true of them. It believes nobody's counters: which
/// rows a batch has, it works out from the log and from the revisions as they were journaled.
#[derive(Default)]
pub struct Checker {
    fates: BTreeMap<TopicPartition, Vec<Fate>>,
    batches: BTreeMap<BatchId, Batch>,
    /// Of each journal, all that ever were.
    revisions: BTreeMap<usize, Vec<RevisionRecord>>,
    limits: DecisionLimits,
}

#[derive(Clone, Copy, Default)]
pub struct DecisionLimits {
    pub lanes: usize,
    pub letters_of_batch: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Fate {
    #[default]
    Open,
    Decided,
    Visible,
    /// Its dead letter is out.
    Letter,
}

struct Batch {
    rows: Vec<RowId>,
    letters: BTreeSet<RowId>,
    stage: Stage,
    /// Its staging is gone: Lost is the honest answer.
    expired: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Decided,
    Visible,
    Lost,
}

type Verdict = Result<(), String>;

fn must(holds: bool, broken: impl FnOnce() -> String) -> Verdict {
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

impl Checker {
    pub fn new(limits: DecisionLimits) -> Checker {
        Checker { limits, ..Checker::default() }
    }

    fn fate(&self, (key, offset): RowId) -> Fate {
        self.fates.get(&key).and_then(|fates| fates.get(offset.0 as usize)).copied().unwrap_or_default()
    }

    fn set(&mut self, (key, offset): RowId, fate: Fate) {
        let fates = self.fates.entry(key).or_default();
        let at = offset.0 as usize;
        if fates.len() <= at {
            fates.resize(at + 1, Fate::Open);
        }
        fates[at] = fate;
    }

    fn revision_at(&self, journal: usize, key: TopicPartition, offset: Offset) -> Option<Revision> {
        let known = self.revisions.get(&journal)?;
        let holds = |record: &&RevisionRecord| record.starts.get(&key).is_none_or(|start| *start <= offset);
        known.iter().rev().find(holds).or(known.first()).map(|record| record.revision)
    }

    /// The lane's rows within the range, as the journaled revisions route them.
    fn rows_of(&self, scene: &Scene, lane: LaneId, key: TopicPartition, range: OffsetRange) -> Vec<(Offset, Revision)> {
        let rows = scene.log.rows(key, range).filter_map(|(offset, row)| {
            let revision = self.revision_at(scene.journal, key, offset)?;
            let own = scene.catalogue.lane(revision, row.key) == lane;
            own.then(|| (offset, scene.catalogue.version(revision, lane)))
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
        for (id, record) in &transaction.lanes {
            let before = scene.before.lanes.get(id).and_then(|record| record.pending.as_ref());
            let after = record.as_ref().and_then(|record| record.pending.as_ref());
            if let Some(before) = before.filter(|before| after.is_none_or(|after| after.id != before.id)) {
                let stage = self.batches[&before.id].stage;
                must(stage != Stage::Decided, || format!("{} is forgotten before it is visible", before.id))?;
            }
            if let Some(pending) = after.filter(|after| before.is_none_or(|before| before.id != after.id)) {
                self.open_batch(scene, pending, transaction)?;
            }
        }
        decision.letters.iter().try_for_each(|letters| self.send(letters))?;
        for (id, record) in &transaction.lanes {
            self.check_rejected(record.as_ref())?;
            self.check_record(scene, *id)?;
        }
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
                let fates = self.fates.get(key).map_or(&[][..], Vec::as_slice);
                let decided = fates.iter().rposition(|fate| *fate != Fate::Open);
                must(decided.is_none_or(|decided| (decided as i64) < start.0), || {
                    format!("{:?} routes {key:?} from {} on, where {decided:?} was decided", record.revision, start.0)
                })?;
            }
        }
        Ok(())
    }

    fn close_batches(&mut self, transaction: &Transaction) -> Verdict {
        for row in &transaction.ledger {
            let id = row.batch;
            let batch = self.batches.get_mut(&id);
            match row.event {
                LedgerEvent::Decided { .. } => must(batch.is_none(), || format!("{id} is decided twice"))?,
                LedgerEvent::Revealed => must(batch.is_some_and(|batch| batch.stage == Stage::Visible), || {
                    format!("the ledger says that {id} is visible, and it is not")
                })?,
                LedgerEvent::Lost => {
                    let batch = batch.ok_or_else(|| format!("{id} is lost and was never decided"))?;
                    must(batch.stage == Stage::Decided, || format!("{id} is {:?} and called lost", batch.stage))?;
                    batch.stage = Stage::Lost;
                    let rows = batch.rows.iter().filter(|row| !batch.letters.contains(row));
                    let rows: Vec<RowId> = rows.copied().collect();
                    rows.into_iter().for_each(|row| self.set(row, Fate::Open));
                }
            }
        }
        Ok(())
    }

    fn open_batch(&mut self, scene: &Scene, pending: &Pending, transaction: &Transaction) -> Verdict {
        let id = pending.id;
        must(!self.batches.contains_key(&id), || format!("{id} is decided twice"))?;
        let decided =
            |row: &outflow_api::LedgerRow| row.batch == id && matches!(row.event, LedgerEvent::Decided { .. });
        must(transaction.ledger.iter().filter(|row| decided(row)).count() == 1, || {
            format!("{id} is decided, and the ledger does not say so once")
        })?;
        let (mut rows, mut letters) = (Vec::new(), BTreeSet::new());
        for (key, range) in &pending.covers {
            must(range.next <= scene.log.end(*key), || format!("{id} covers {range:?}, which is not there yet"))?;
            for (offset, version) in self.rows_of(scene, id.lane, *key, *range) {
                let row = (*key, offset);
                match self.fate(row) {
                    Fate::Open => self.set(row, Fate::Decided),
                    Fate::Letter => {
                        letters.insert(row);
                    }
                    fate => return Err(format!("{row:?} is {fate:?} already, and {id} takes it again")),
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
        self.batches.insert(id, Batch { rows, letters, stage: Stage::Decided, expired: false });
        Ok(())
    }

    fn send(&mut self, letters: &Letters) -> Verdict {
        let id = letters.batch;
        for (key, offsets) in &letters.rows {
            for row in offsets.iter().map(|offset| (*key, *offset)) {
                let fate = self.fate(row);
                must(fate == Fate::Decided, || format!("the dead letter of {row:?} goes out, and it is {fate:?}"))?;
                let batch = self.batches.get_mut(&id).filter(|batch| batch.rows.contains(&row));
                batch.ok_or_else(|| format!("{row:?} is not of {id}"))?.letters.insert(row);
                self.set(row, Fate::Letter);
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

    /// No row leaves the record undecided, neither from what is owed nor from below `next`.
    fn check_record(&self, scene: &Scene, id: LaneId) -> Verdict {
        let nothing = LaneRecord::default();
        let before = scene.before.lanes.get(&id).unwrap_or(&nothing);
        let after = scene.after.lanes.get(&id).unwrap_or(&nothing);
        for (key, rows) in &scene.log.partitions {
            let floor = scene.after.floors.get(key).copied().unwrap_or(Offset::ZERO);
            let live_from = after.next.get(key).copied().unwrap_or(floor).max(floor);
            let left_to_do = |offset: Offset| after.owes(*key, offset) || offset >= live_from;
            let all = OffsetRange::new(Offset::ZERO, Offset(rows.len() as i64));
            for (offset, _) in self.rows_of(scene, id, *key, all) {
                let was_to_do = before.owes(*key, offset) || before.next.get(key).is_none_or(|next| offset >= *next);
                let open = self.fate((*key, offset)) == Fate::Open;
                must(!(open && was_to_do && !left_to_do(offset)), || {
                    format!("{id:?} forgets {key:?}@{}: {before:?} becomes {after:?}, floor {}", offset.0, floor.0)
                })?;
            }
        }
        Ok(())
    }

    /// P14.
    fn check_floors(&self, scene: &Scene) -> Verdict {
        for (key, floor) in &scene.after.floors {
            let before = scene.before.floors.get(key).copied().unwrap_or(Offset::ZERO);
            must(before <= *floor, || format!("the floor of {key:?} falls from {} to {}", before.0, floor.0))?;
            must(*floor <= scene.log.end(*key), || format!("the floor of {key:?} is {}, past the log", floor.0))?;
            for (offset, row) in scene.log.rows(*key, OffsetRange::new(before, *floor)) {
                if self.fate((*key, offset)) != Fate::Open {
                    continue;
                }
                let revision = self.revision_at(scene.journal, *key, offset);
                let lane = revision.map(|revision| scene.catalogue.lane(revision, row.key));
                let record = lane.and_then(|lane| scene.after.lanes.get(&lane));
                must(record.is_some_and(|record| record.owes(*key, offset)), || {
                    format!("the floor of {key:?} passes {}, which {lane:?} has not and does not owe", offset.0)
                })?;
            }
        }
        Ok(())
    }

    pub fn reveal(&mut self, id: BatchId, rows: &[RowId]) -> Verdict {
        self.taken_for(id, rows)?;
        let batch = self.batches.get_mut(&id).expect("just seen");
        must(batch.stage == Stage::Decided, || format!("{id} becomes visible, and is {:?}", batch.stage))?;
        batch.stage = Stage::Visible;
        for row in rows {
            let fate = self.fate(*row);
            must(fate == Fate::Decided, || format!("{row:?} becomes visible in {id}, and is {fate:?}"))?;
            self.set(*row, Fate::Visible);
        }
        Ok(())
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

    pub fn expired(&mut self, id: BatchId) {
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.expired = true;
        }
    }

    /// Rows that are neither visible nor a dead letter.
    pub fn unfinished(&self, log: &Log) -> Vec<RowId> {
        let all = |key: &TopicPartition| OffsetRange::new(Offset::ZERO, log.end(*key));
        let rows = log.partitions.keys().flat_map(|key| log.rows(*key, all(key)).map(|(offset, _)| (*key, offset)));
        rows.filter(|row| !matches!(self.fate(*row), Fate::Visible | Fate::Letter)).collect()
    }
}
