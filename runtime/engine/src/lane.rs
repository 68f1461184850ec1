use crate::{FlushLimits, Taken};
use bytes::Bytes;
use outflow_api::{
    BatchId, FeedId, LaneRecord, LedgerRow, Offset, OffsetRange, Pending, Pins, Prepared, Ranges, Revision, Run,
    TopicPartition,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is known of a lane beyond "it takes what comes". A lane without any of this is not in memory at all.
#[derive(Default)]
pub(crate) struct Lane {
    /// As it should be in the journal.
    pub record: LaneRecord,
    /// As it is there.
    pub journaled: Option<LaneRecord>,
    /// The record differs from the journal's.
    pub is_dirty: bool,
    /// Rows of the live stream not yet sealed, by version of the lane, oldest first.
    pub open: VecDeque<Open>,
    /// At most one batch is between being read and being decided.
    pub slot: Option<Batch>,
    pub ledger: Vec<LedgerRow>,
    /// Old batches whose removal is under way.
    pub removing: BTreeSet<BatchId>,
    /// Refused by the destination after the decision, until their dead letters went out with the record's next write:
    /// only then is the rest revealed.
    pub refused: BTreeMap<TopicPartition, Vec<Offset>>,
    /// What is open is to be sealed, however little it is.
    pub seal_now: bool,
    pub reveal_since_ms: u64,
    pub reveal_stalled: bool,
    pub park_ms: u64,
    pub resume_at_ms: u64,
    /// Sealing and reading debt take turns, so that neither starves.
    pub debt_was_last: bool,
}

pub(crate) struct Open {
    pub version: Revision,
    pub since_ms: u64,
    pub limits: FlushLimits,
    pub parts: BTreeMap<TopicPartition, Part>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub first: Offset,
    pub rows: u64,
    pub bytes: u64,
}

/// Which of the lane's rows a batch delivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rows {
    /// As they come.
    Live,
    /// What is owed of the live stream, each row by the definitions of its own offset.
    Debt,
    /// Of a run, or (`None`) owed of the live stream and mended.
    Run { id: Option<Revision>, by: Pins },
}

impl Rows {
    /// Those of a decided batch, should they have to be delivered by another one.
    pub fn of(pending: &Pending) -> Rows {
        match (pending.run, pending.by) {
            (None, Pins::OWN_OFFSETS) => Rows::Debt,
            (id, by) => Rows::Run { id, by },
        }
    }

    pub fn run(self) -> Option<Revision> {
        match self {
            Rows::Live | Rows::Debt => None,
            Rows::Run { id, .. } => id,
        }
    }

    pub fn by(self) -> Pins {
        match self {
            Rows::Live | Rows::Debt => Pins::OWN_OFFSETS,
            Rows::Run { by, .. } => by,
        }
    }
}

pub(crate) struct Batch {
    /// Named when its rows are known.
    pub stage: Stage,
    pub rows: Rows,
    pub version: Revision,
    pub covers: BTreeMap<TopicPartition, OffsetRange>,
}

pub(crate) enum Stage {
    Reading(BatchId),
    Preparing(BatchId),
    Prepared(Ready),
    /// In the transaction that is under way; what was spent within it, should the journal refuse.
    Deciding {
        ready: Ready,
        spent: BTreeMap<TopicPartition, Vec<Offset>>,
    },
}

pub(crate) struct Ready {
    pub prepared: Prepared,
    pub rows: u64,
    pub receipt: Bytes,
    pub rejected: BTreeMap<TopicPartition, Vec<Offset>>,
    pub rows_hash: u64,
    pub letter_bytes: usize,
}

impl Open {
    fn add(&mut self, partition: TopicPartition, taken: &Taken) {
        let new = Part { first: taken.first, rows: taken.rows, bytes: taken.bytes };
        let part = self.parts.entry(partition).or_insert(Part { rows: 0, bytes: 0, ..new });
        part.first = part.first.min(new.first);
        part.rows += new.rows;
        part.bytes += new.bytes;
    }

    pub fn rows(&self) -> u64 {
        self.parts.values().map(|part| part.rows).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.parts.values().map(|part| part.bytes).sum()
    }
}

impl Lane {
    pub fn new(feed: FeedId) -> Lane {
        Lane { record: LaneRecord { feed, ..LaneRecord::default() }, ..Lane::default() }
    }

    pub fn recovered(record: LaneRecord) -> Lane {
        Lane { journaled: Some(record.clone()), record, ..Lane::default() }
    }

    /// The live stream passes by a lane that is behind: what comes is owed already.
    pub fn is_behind(&self) -> bool {
        self.record.owed.values().any(Ranges::is_open_ended)
    }

    /// Whatever partition comes, the lane owes it.
    pub fn passes_by(&self) -> bool {
        self.is_behind() || self.record.parked.is_some()
    }

    /// What of `range` the live stream should keep for this lane.
    pub fn wanted(&self, partition: TopicPartition, range: OffsetRange) -> Ranges {
        let start = self.record.next.get(&partition).copied().unwrap_or(range.start).clamp(range.start, range.next);
        let wanted = Ranges::of(OffsetRange::new(start, range.next));
        match self.record.owed.get(&partition) {
            Some(owed) => wanted.minus(owed),
            None => wanted,
        }
    }

    /// Answers whether anything about the lane changed but its counts.
    pub fn take(&mut self, partition: TopicPartition, taken: &Taken, now_ms: u64) -> bool {
        let known = self.open.iter().position(|open| open.version == taken.version);
        let at = known.unwrap_or_else(|| {
            let at = self.open.partition_point(|open| open.version < taken.version);
            let (version, limits) = (taken.version, taken.flush);
            self.open.insert(at, Open { version, since_ms: now_ms, limits, parts: BTreeMap::new() });
            at
        });
        let open = &mut self.open[at];
        let lower = open.parts.get(&partition).is_none_or(|part| taken.first < part.first);
        open.add(partition, taken);
        open.limits = taken.flush;
        known.is_none() || lower || self.is_full()
    }

    /// Over the limits, all its versions together, not merely old: more of it cannot wait.
    pub fn is_full(&self) -> bool {
        let Some(newest) = self.open.back() else { return false };
        let rows: u64 = self.open.iter().map(Open::rows).sum();
        let bytes: u64 = self.open.iter().map(Open::bytes).sum();
        rows >= newest.limits.rows_max || bytes >= newest.limits.bytes_max
    }

    /// The lowest row of the live stream in this partition that no decision holds. A batch that is being decided
    /// right now counts as decided: it stands or falls with the same transaction as whoever asks.
    pub fn first_undecided(&self) -> BTreeMap<TopicPartition, Offset> {
        let mut first: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
        let mut see = |key: TopicPartition, offset: Offset| {
            first.entry(key).and_modify(|known| *known = offset.min(*known)).or_insert(offset);
        };
        self.open.iter().flat_map(|open| &open.parts).for_each(|(key, part)| see(*key, part.first));
        let live = |batch: &&Batch| batch.rows == Rows::Live && !matches!(batch.stage, Stage::Deciding { .. });
        for (key, covers) in self.slot.iter().filter(live).flat_map(|batch| &batch.covers) {
            see(*key, covers.start);
        }
        first
    }

    /// The lowest row in each partition that is owed in memory alone.
    pub fn first_unwritten(&self) -> Vec<(TopicPartition, Offset)> {
        if !self.is_dirty {
            return Vec::new();
        }
        let written = |key| self.journaled.as_ref().and_then(|record| record.owed.get(key));
        let unwritten = self.record.owed.iter().filter_map(|(key, owed)| {
            let unwritten = match written(key) {
                Some(written) => owed.minus(written).first(),
                None => owed.first(),
            };
            Some((*key, unwritten?.start))
        });
        unwritten.collect()
    }

    /// The lowest row in each partition that may be read again by the definitions of its own offset, wherever the floor
    /// is: of debts and batches, as they are here and in the journal. Batches count before they are decided: one that
    /// was sealed at a lower floor covers what is below today's.
    pub fn first_read_again(&self) -> BTreeMap<TopicPartition, Offset> {
        let mut first: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
        let mut see = |key: TopicPartition, offset: Offset| {
            first.entry(key).and_modify(|known| *known = offset.min(*known)).or_insert(offset);
        };
        let records = || self.journaled.iter().chain([&self.record]);
        // Rows that were mended are still whose they are at their own offsets.
        let mended = records().flat_map(|record| &record.runs).filter(|run| run.by.whose.is_none());
        let owed = records().flat_map(|record| &record.owed).chain(mended.flat_map(|run| &run.owed));
        owed.filter_map(|(key, owed)| Some((*key, owed.first()?.start))).for_each(|(key, start)| see(key, start));
        let pending = records().filter_map(|record| record.pending.as_ref()).map(|pending| &pending.covers);
        let covers = pending.chain(self.slot.iter().map(|batch| &batch.covers)).flatten();
        covers.for_each(|(key, range)| see(*key, range.start));
        first
    }

    /// The oldest revision that rows are read by, wherever they are: of runs and batches, here and in the journal.
    pub fn oldest_named(&self) -> Option<Revision> {
        let records = self.journaled.iter().chain([&self.record]);
        let by = records.flat_map(|record| {
            let pending = record.pending.as_ref().map(|pending| pending.by);
            record.runs.iter().map(|run| run.by).chain(pending).filter_map(Pins::oldest)
        });
        by.min()
    }

    pub fn is_ready(&self) -> bool {
        let prepared = matches!(self.slot, Some(Batch { stage: Stage::Prepared(_), .. }));
        prepared && self.record.pending.is_none()
    }

    /// The destination is what it waits for, not we.
    pub fn is_ready_but_blocked(&self) -> bool {
        let prepared = matches!(self.slot, Some(Batch { stage: Stage::Prepared(_), .. }));
        prepared && self.record.pending.is_some()
    }

    pub fn is_live_batch(&self) -> bool {
        self.slot.as_ref().is_some_and(|batch| batch.rows == Rows::Live)
    }

    pub fn has_debt(&self) -> bool {
        !self.record.owed.is_empty() || !self.record.runs.is_empty()
    }

    /// Nothing but the record is left.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty() && self.slot.is_none() && self.ledger.is_empty() && self.refused.is_empty()
    }

    pub fn owe(&mut self, partition: TopicPartition, range: OffsetRange) {
        self.record.owed.entry(partition).or_default().insert(range);
    }

    /// These rows are still to be delivered, by the run that they belong to.
    pub fn owe_again(&mut self, rows: Rows, covers: &BTreeMap<TopicPartition, OffsetRange>) {
        let owed = match rows {
            Rows::Live | Rows::Debt => &mut self.record.owed,
            Rows::Run { id, by } => &mut self.run(id, by).owed,
        };
        for (partition, range) in covers {
            owed.entry(*partition).or_default().insert(*range);
        }
    }

    /// The dead letters of these rows are out, whatever becomes of the rest of their batch.
    pub fn spend(&mut self, rows: Rows, spent: BTreeMap<TopicPartition, Vec<Offset>>) {
        let known = match rows {
            Rows::Live | Rows::Debt => &mut self.record.spent,
            Rows::Run { id, by } => &mut self.run(id, by).spent,
        };
        for (partition, offsets) in spent {
            let known = known.entry(partition).or_default();
            known.extend(offsets);
            known.sort_unstable();
        }
    }

    pub fn spent(&self, rows: Rows) -> Option<&BTreeMap<TopicPartition, Vec<Offset>>> {
        match rows {
            Rows::Live | Rows::Debt => Some(&self.record.spent),
            Rows::Run { id, by } => {
                self.record.runs.iter().find(|run| (run.id, run.by) == (id, by)).map(|run| &run.spent)
            }
        }
    }

    /// P21: what is owed is of another shape from here on. Whose it is stays as it is.
    pub fn reshape(&mut self, revision: Revision) {
        let record = &mut self.record;
        let (owed, spent) = (std::mem::take(&mut record.owed), std::mem::take(&mut record.spent));
        let own = Run { id: None, by: Pins::OWN_OFFSETS, owed, spent };
        let runs = std::mem::take(&mut record.runs);
        for Run { id, by, owed, spent } in runs.into_iter().chain([own]).filter(|run| !run.owed.is_empty()) {
            let by = by.reshaped(revision);
            let reshaped = self.run(id, by);
            for (partition, ranges) in owed {
                let owed = reshaped.owed.entry(partition).or_default();
                ranges.as_slice().iter().for_each(|range| owed.insert(*range));
            }
            self.spend(Rows::Run { id, by }, spent);
        }
    }

    /// Made anew if it was thought to be over. One entry of the config log may ask for several, by different revisions.
    pub fn run(&mut self, id: Option<Revision>, by: Pins) -> &mut Run {
        let runs = &mut self.record.runs;
        let at = runs.binary_search_by_key(&(id, by), |run| (run.id, run.by)).unwrap_or_else(|at| {
            runs.insert(at, Run { id, by, owed: BTreeMap::new(), spent: BTreeMap::new() });
            at
        });
        &mut runs[at]
    }

    /// Rows of `covers` are decided: the debt shrinks, and the live stream never comes back to them.
    pub fn decided(&mut self, rows: Rows, covers: &BTreeMap<TopicPartition, OffsetRange>) {
        let record = &mut self.record;
        if let Rows::Run { id, by } = rows {
            for run in record.runs.iter_mut().filter(|run| (run.id, run.by) == (id, by)) {
                settle(&mut run.owed, &mut run.spent, covers);
            }
            return record.runs.retain(|run| !run.owed.is_empty());
        }
        settle(&mut record.owed, &mut record.spent, covers);
        for (partition, range) in covers {
            let next = record.next.entry(*partition).or_insert(range.next);
            *next = range.next.max(*next);
        }
    }
}

fn settle(
    owed: &mut BTreeMap<TopicPartition, Ranges>,
    spent: &mut BTreeMap<TopicPartition, Vec<Offset>>,
    covers: &BTreeMap<TopicPartition, OffsetRange>,
) {
    for (partition, range) in covers {
        if let Some(owed) = owed.get_mut(partition) {
            owed.remove(*range);
        }
        if let Some(spent) = spent.get_mut(partition) {
            spent.retain(|offset| !range.contains(*offset));
        }
    }
    owed.retain(|_, owed| !owed.is_empty());
    spent.retain(|_, spent| !spent.is_empty());
}
