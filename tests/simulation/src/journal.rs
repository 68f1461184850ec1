use outflow_api::{
    Applied, BatchId, Generation, Incarnation, LaneId, LaneRecord, LedgerEvent, LedgerRow, Offset, Recovered, Revision,
    RevisionRecord, Shard, Track, Transaction,
};
use outflow_engine::Decision;
use std::collections::BTreeMap;

/// What the journal says: the last value under each key.
#[derive(Clone, Default)]
pub struct State {
    pub floors: BTreeMap<Track, Offset>,
    pub lanes: BTreeMap<LaneId, LaneRecord>,
    pub revisions: BTreeMap<Revision, RevisionRecord>,
    pub applied: Applied,
}

/// A fenced journal of one shard.
pub struct Journal {
    incarnation: Incarnation,
    end: u64,
    /// Only the owner that came last may write.
    owner: u64,
    /// As a reader sees it.
    seen: State,
    ledger: Vec<LedgerRow>,
    /// Written, and not to be seen before the same producer's next transaction, whose fate they share: the broker died
    /// between its answer and the markers.
    hidden: Vec<Transaction>,
    /// Sent, and nobody knows; settled when the next owner fences.
    doubtful: Option<Decision>,
}

impl State {
    pub fn apply(&mut self, transaction: &Transaction) {
        if !transaction.floors.is_empty() {
            self.floors.clone_from(&transaction.floors);
        }
        self.applied = transaction.applied.unwrap_or(self.applied);
        for (id, record) in &transaction.lanes {
            match record {
                Some(record) => self.lanes.insert(*id, record.clone()),
                None => self.lanes.remove(id),
            };
        }
        self.revisions.extend(transaction.revisions.iter().map(|record| (record.revision, record.clone())));
        transaction.revisions_gone.iter().for_each(|gone| {
            self.revisions.remove(gone);
        });
    }
}

impl Journal {
    pub fn new(incarnation: Incarnation, shard: Shard) -> Journal {
        let batch = BatchId { incarnation, shard, generation: Generation(0), lane: LaneId(0), seq: 0 };
        let ledger = vec![LedgerRow { batch, event: LedgerEvent::Began }];
        Journal { incarnation, end: 0, owner: 0, seen: State::default(), ledger, hidden: Vec::new(), doubtful: None }
    }

    pub fn is_owned_by(&self, owner: u64) -> bool {
        self.owner == owner
    }

    /// First step of a new owner: nobody older writes from here on. Answers what its predecessor left in doubt, for
    /// the broker to commit or to abort.
    pub fn fence(&mut self, owner: u64) -> Option<Decision> {
        self.owner = owner;
        self.doubtful.take()
    }

    /// Second and third step: a barrier that brings every decision to light, then the reading.
    pub fn recover(&mut self) -> Recovered {
        let generation = self.barrier();
        self.read(generation)
    }

    /// Without disturbing its owner. What is hidden may still be taken back.
    pub fn peek(&self) -> Option<Recovered> {
        (self.owner > 0).then(|| self.read(Generation(self.end)))
    }

    fn read(&self, generation: Generation) -> Recovered {
        let State { floors, lanes, revisions, applied } = self.seen.clone();
        let revisions = revisions.into_values().collect();
        Recovered { incarnation: self.incarnation, generation, floors, lanes, revisions, applied, bytes_read: 0 }
    }

    fn barrier(&mut self) -> Generation {
        self.show();
        self.end += 1;
        Generation(self.end)
    }

    fn show(&mut self) {
        for transaction in std::mem::take(&mut self.hidden) {
            self.take_in(&transaction);
        }
    }

    fn take_in(&mut self, transaction: &Transaction) {
        self.seen.apply(transaction);
        self.ledger.extend_from_slice(&transaction.ledger);
    }

    /// The transaction in doubt is aborted, and all that still waits for a marker of its producer with it.
    pub fn abort(&mut self) {
        self.hidden.clear();
    }

    pub fn doubt(&mut self, decision: Decision) {
        self.doubtful = Some(decision);
    }

    pub fn append(&mut self, transaction: &Transaction, hidden: bool) {
        self.show();
        self.end += 2;
        match hidden {
            true => self.hidden.push(transaction.clone()),
            false => self.take_in(transaction),
        }
    }

    /// What is decided, seen or not, one event after the other.
    pub fn ledger(&self) -> impl Iterator<Item = &LedgerRow> {
        self.ledger.iter().chain(self.hidden.iter().flat_map(|transaction| &transaction.ledger))
    }

    /// Somebody set a retention, and the oldest rows are gone.
    pub fn trim_ledger(&mut self, rows: usize) {
        self.ledger.drain(..rows.min(self.ledger.len()));
    }

    /// What is decided, seen or not.
    pub fn truth(&self) -> State {
        let mut state = self.seen.clone();
        self.hidden.iter().for_each(|transaction| state.apply(transaction));
        state
    }
}
