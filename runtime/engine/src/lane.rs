use crate::Taken;
use outflow_api::{BatchId, LaneRecord, LedgerRow, Offset, OffsetRange, Prepared, Ranges, Revision, TopicPartition};
use std::collections::{BTreeMap, VecDeque};

/// What is known of a lane beyond "it takes what comes". A lane without any of this is not in memory at all.
#[derive(Default)]
pub(crate) struct Lane {
    /// As it should be in the journal.
    pub record: LaneRecord,
    /// As it is there.
    pub journaled: Option<LaneRecord>,
    /// Rows of the live stream not yet sealed, by version of the lane, oldest first.
    pub open: VecDeque<Open>,
    /// At most one batch is between being read and being decided.
    pub slot: Option<Batch>,
    pub ledger: Vec<LedgerRow>,
    /// Refused by the destination after the decision, until their dead letters went out with the record's next write:
    /// only then is the rest revealed.
    pub refused: BTreeMap<TopicPartition, Vec<Offset>>,
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
    pub parts: BTreeMap<TopicPartition, Part>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub first: Offset,
    pub rows: u64,
    pub bytes: u64,
}

pub(crate) struct Batch {
    /// Named when its rows are known.
    pub stage: Stage,
    pub debt: bool,
    pub version: Revision,
    pub covers: BTreeMap<TopicPartition, OffsetRange>,
    pub since_ms: u64,
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
    pub rejected: BTreeMap<TopicPartition, Vec<Offset>>,
    pub rows_hash: u64,
    pub letter_bytes: usize,
}

impl Open {
    fn new(version: Revision, since_ms: u64) -> Open {
        Open { version, since_ms, parts: BTreeMap::new() }
    }

    fn add(&mut self, taken: &Taken) {
        let new = Part { first: taken.first, rows: taken.rows, bytes: taken.bytes };
        let part = self.parts.entry(taken.partition).or_insert(Part { rows: 0, bytes: 0, ..new });
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
    pub fn recovered(record: LaneRecord) -> Lane {
        Lane { journaled: Some(record.clone()), record, ..Lane::default() }
    }

    /// The live stream passes by a lane that is behind: what comes is owed already.
    pub fn is_behind(&self) -> bool {
        self.record.owed.values().any(Ranges::is_open_ended)
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

    pub fn take(&mut self, taken: &Taken, now_ms: u64) {
        let at = self.open.iter().position(|open| open.version == taken.version).unwrap_or_else(|| {
            let at = self.open.partition_point(|open| open.version < taken.version);
            self.open.insert(at, Open::new(taken.version, now_ms));
            at
        });
        self.open[at].add(taken);
    }

    /// The lowest row of the live stream in this partition that no decision holds. A batch that is being decided
    /// right now counts as decided: it stands or falls with the same transaction as whoever asks.
    pub fn first_undecided(&self, partition: TopicPartition) -> Option<Offset> {
        let open = self.open.iter().filter_map(|open| open.parts.get(&partition)).map(|part| part.first);
        let slot = self.slot.iter().filter(|batch| !batch.debt && !matches!(batch.stage, Stage::Deciding { .. }));
        open.chain(slot.filter_map(|batch| batch.covers.get(&partition)).map(|covers| covers.start)).min()
    }

    pub fn is_ready(&self) -> bool {
        let prepared = matches!(self.slot, Some(Batch { stage: Stage::Prepared(_), .. }));
        prepared && self.record.pending.is_none()
    }

    /// Nothing but the record is left.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty() && self.slot.is_none() && self.ledger.is_empty() && self.refused.is_empty()
    }

    pub fn owe(&mut self, partition: TopicPartition, range: OffsetRange) {
        self.record.owed.entry(partition).or_default().insert(range);
    }

    /// The dead letters of these rows are out, whatever becomes of the rest of their batch.
    pub fn spend(&mut self, partition: TopicPartition, offsets: Vec<Offset>) {
        let spent = self.record.spent.entry(partition).or_default();
        spent.extend(offsets);
        spent.sort_unstable();
    }

    /// Rows of `covers` are decided: the debt shrinks, and the live stream never comes back to them.
    pub fn decided(&mut self, covers: &BTreeMap<TopicPartition, OffsetRange>) {
        for (partition, range) in covers {
            if let Some(owed) = self.record.owed.get_mut(partition) {
                owed.remove(*range);
            }
            let next = self.record.next.entry(*partition).or_insert(range.next);
            *next = range.next.max(*next);
            if let Some(spent) = self.record.spent.get_mut(partition) {
                spent.retain(|offset| !range.contains(*offset));
            }
        }
        self.record.owed.retain(|_, owed| !owed.is_empty());
        self.record.spent.retain(|_, spent| !spent.is_empty());
    }
}
