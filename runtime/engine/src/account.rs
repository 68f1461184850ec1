//! What a lane never got, as the shard's ledger shows it (P32).

use crate::Reason;
use outflow_api::{
    BatchId, Incarnation, LaneId, LedgerEvent, LedgerRow, Offset, OffsetRange, Ranges, Revision, TopicPartition,
};
use std::collections::BTreeMap;

type Covers = BTreeMap<TopicPartition, Ranges>;

/// A lane whose rows lie far apart has a piece for each of its batches.
const PIECES_MAX: usize = 1_000_000;

/// Told every row of a ledger, oldest first, it knows which of the ranges that were asked for one lane has missed:
/// what was skipped, and what lies before its live stream began, without whatever any batch has taken. A batch is taken
/// for delivered unless it was proven lost: one that was abandoned is perhaps visible.
///
/// Between its batches the live stream passed by rows of others: there is nothing to be missed.
///
/// Of rows whose dead letters are out ([`of_letters`](Account::of_letters)), each batch that took the row either has it
/// or made a letter of it: a row that more batches took than there are letters is delivered, and no other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    lane: LaneId,
    asked: Covers,
    /// Whose decisions are all here.
    began: Option<Incarnation>,
    /// Rows of another journal lie within what was asked: its lanes may have been others.
    is_mixed: bool,
    /// Dead letters of each row that was asked for; 0: it was asked for rows that nobody ever took.
    letters: u32,
    /// What was taken once, twice and so on; the last is delivered.
    taken: Vec<Covers>,
    skipped: Covers,
    /// Decided, and no outcome yet: one, as a lane has no more at a time.
    undecided: BTreeMap<BatchId, BTreeMap<TopicPartition, OffsetRange>>,
    live_since: BTreeMap<TopicPartition, Offset>,
}

impl Account {
    pub fn new(lane: LaneId, asked: BTreeMap<TopicPartition, Ranges>) -> Account {
        Account::of_letters(lane, asked, 0)
    }

    /// Each of these rows has so many dead letters, one of this lane for each of its batches that could not take it.
    pub fn of_letters(lane: LaneId, asked: BTreeMap<TopicPartition, Ranges>, letters: u32) -> Account {
        Account {
            lane,
            asked,
            began: None,
            is_mixed: false,
            letters,
            taken: vec![Covers::new(); letters as usize + 1],
            skipped: Covers::new(),
            undecided: BTreeMap::new(),
            live_since: BTreeMap::new(),
        }
    }

    pub fn see(&mut self, row: &LedgerRow) {
        if row.event == LedgerEvent::Began {
            self.began = Some(row.batch.incarnation);
        }
        if row.batch.lane != self.lane {
            return;
        }
        match &row.event {
            // Whatever it covered, the run that took its place has.
            LedgerEvent::Began | LedgerEvent::Removed { .. } => {}
            LedgerEvent::Decided { covers, run, .. } => {
                self.look_at(row.batch, *run, covers);
                self.undecided.insert(row.batch, covers.clone());
            }
            LedgerEvent::Revealed | LedgerEvent::Abandoned => {
                let covers = self.undecided.remove(&row.batch).unwrap_or_default();
                covers.iter().for_each(|(key, range)| self.take(*key, *range));
            }
            LedgerEvent::Lost { spent } => {
                self.undecided.remove(&row.batch);
                if self.letters > 0 {
                    return; // a letter without a delivery: who takes the row next makes no other one
                }
                for (key, offset) in spent.iter().flat_map(|(key, spent)| spent.iter().map(|offset| (*key, *offset))) {
                    self.take(key, OffsetRange::new(offset, offset.after()));
                }
            }
            LedgerEvent::Skipped { run, covers } => {
                self.look_at(row.batch, *run, covers);
                for (key, range) in covers {
                    self.asked_of(*key, *range).into_iter().for_each(|own| insert(&mut self.skipped, *key, own));
                }
            }
        }
    }

    /// Once more.
    fn take(&mut self, key: TopicPartition, range: OffsetRange) {
        let mut again = self.asked_of(key, range);
        for taken in &mut self.taken {
            let known = taken.get(&key).cloned().unwrap_or_default();
            let own = std::mem::take(&mut again);
            again = own.iter().flat_map(|own| within(&known, *own)).collect();
            own.into_iter().for_each(|own| insert(taken, key, own));
        }
    }

    /// Memory follows the question, not the ledger.
    fn asked_of(&self, key: TopicPartition, range: OffsetRange) -> Vec<OffsetRange> {
        self.asked.get(&key).map(|asked| within(asked, range).collect()).unwrap_or_default()
    }

    fn look_at(&mut self, batch: BatchId, run: Option<Revision>, covers: &BTreeMap<TopicPartition, OffsetRange>) {
        for (key, range) in covers {
            let Some(asked) = self.asked.get(key) else { continue };
            let touches = |asked: &OffsetRange| asked.start < range.next && range.start < asked.next;
            self.is_mixed |= self.began != Some(batch.incarnation) && asked.as_slice().iter().any(touches);
            if run.is_none() {
                let since = self.live_since.entry(*key).or_insert(range.start);
                *since = range.start.min(*since);
            }
        }
    }

    pub fn asks(&self) -> bool {
        self.asked.values().any(|asked| !asked.is_empty())
    }

    /// Of the journal whose decisions are all here.
    pub fn began(&self) -> Option<Incarnation> {
        self.began
    }

    /// Never more than was asked. Refused where the ledger does not know enough to say.
    pub fn missing(&self) -> Result<BTreeMap<TopicPartition, Ranges>, Reason> {
        if self.began.is_none() {
            return Err(no_beginning());
        }
        if self.is_mixed {
            let hint = "the ledger has deliveries of an older journal within these offsets, and nobody knows whether \
                        its lanes were the same: ask for later offsets, or replay with `again`, which doubles rows";
            return Err(reason("ledger-mixed", hint));
        }
        let all = self.taken.iter().chain([&self.skipped]).flat_map(BTreeMap::values);
        let pieces: usize = all.map(|all| all.as_slice().len()).sum();
        if pieces > PIECES_MAX {
            let hint = format!("more than {PIECES_MAX} batches lie within these offsets: ask for fewer at once");
            return Err(reason("ledger-too-long", &hint));
        }
        let missing = self.asked.iter().map(|(key, asked)| (*key, self.missing_of(*key, asked)));
        Ok(missing.filter(|(_, missing)| !missing.is_empty()).collect())
    }

    fn missing_of(&self, key: TopicPartition, asked: &Ranges) -> Ranges {
        let mut missing = asked.clone();
        if self.letters == 0 {
            let since = self.live_since.get(&key).copied().unwrap_or(Offset::OPEN);
            missing.remove(OffsetRange::new(since, Offset::OPEN));
            self.skipped.get(&key).into_iter().for_each(|skipped| missing.insert_all(skipped));
        }
        if let Some(delivered) = self.taken.last().and_then(|delivered| delivered.get(&key)) {
            missing = missing.minus(delivered);
        }
        self.undecided.values().filter_map(|covers| covers.get(&key)).for_each(|range| missing.remove(*range));
        missing
    }
}

fn within(ranges: &Ranges, range: OffsetRange) -> impl Iterator<Item = OffsetRange> {
    let parts = ranges.as_slice().iter().map(move |own| (range.start.max(own.start), range.next.min(own.next)));
    parts.filter(|(start, next)| start < next).map(|(start, next)| OffsetRange::new(start, next))
}

fn insert(into: &mut Covers, key: TopicPartition, range: OffsetRange) {
    into.entry(key).or_default().insert(range);
}

pub(crate) fn no_beginning() -> Reason {
    let hint = "the ledger does not go back to where its journal begins (an older build began it, it was made anew, or \
                its oldest records were removed), so what it does not show may be delivered all the same: nothing is \
                sent. Replay with `again`, which doubles rows";
    reason("ledger-incomplete", hint)
}

pub(crate) fn reason(code: &str, hint: &str) -> Reason {
    Reason { code: code.to_owned(), hint: hint.to_owned() }
}
