//! The simulator's journal keeps the laws that Kafka and the local folder keep: what the simulator proves of the engine
//! rests on it.

use outflow_api::{AppendOutcome, Fault, Incarnation, Journal, Ledger, LedgerRow, Recovered, Shard, Transaction};
use outflow_conformance::journal::{Harness, laws};
use outflow_simulation::Journal as Simulated;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

#[derive(Default)]
struct InMemory {
    shards: AtomicU32,
    owners: Arc<AtomicU64>,
    journals: Mutex<BTreeMap<Shard, Arc<Mutex<Simulated>>>>,
}

/// One process's hold on a journal, as the world gives it to its processes.
struct Held {
    journal: Arc<Mutex<Simulated>>,
    owners: Arc<AtomicU64>,
    owner: u64,
}

fn locked(journal: &Mutex<Simulated>) -> MutexGuard<'_, Simulated> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal for Held {
    fn acquire(&mut self) -> Result<Recovered, Fault> {
        self.owner = self.owners.fetch_add(1, Ordering::Relaxed) + 1;
        let mut journal = locked(&self.journal);
        let doubtful = journal.fence(self.owner);
        assert!(doubtful.is_none(), "nobody leaves a doubt here");
        Ok(journal.recover())
    }

    /// Every decision is hidden until the next one or a new owner's barrier: the worst that a broker was seen to do.
    fn append(&mut self, transaction: &Transaction) -> AppendOutcome {
        if let Err(fault) = outflow_journal::check(transaction) {
            return AppendOutcome::Refused(fault);
        }
        let mut journal = locked(&self.journal);
        if !journal.is_owned_by(self.owner) {
            return AppendOutcome::Fenced;
        }
        journal.append(transaction, true);
        AppendOutcome::Done
    }
}

struct Seen(Arc<Mutex<Simulated>>);

impl Ledger for Seen {
    fn read(&mut self, each: &mut dyn FnMut(LedgerRow)) -> Result<(), Fault> {
        locked(&self.0).ledger().cloned().for_each(each);
        Ok(())
    }
}

impl Harness for InMemory {
    fn fresh_shard(&self) -> Shard {
        Shard(self.shards.fetch_add(1, Ordering::Relaxed))
    }

    fn journal(&self, shard: Shard) -> Box<dyn Journal> {
        let mut journals = self.journals.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(Mutex::new(Simulated::new(Incarnation(u64::from(shard.0) + 1), shard)));
        let journal = Arc::clone(journals.entry(shard).or_insert_with(fresh));
        Box::new(Held { journal, owners: Arc::clone(&self.owners), owner: 0 })
    }

    fn ledger(&self, shard: Shard) -> Box<dyn Ledger> {
        let journals = self.journals.lock().unwrap_or_else(PoisonError::into_inner);
        Box::new(Seen(Arc::clone(journals.get(&shard).expect("somebody acquired it"))))
    }
}

#[test]
fn the_simulators_journal_keeps_the_laws_of_a_journal() {
    let harness = InMemory::default();
    for (name, law) in laws() {
        println!("{name}");
        law(&harness);
    }
}
