use crate::{
    cluster::Shared,
    disk::{failed, lock, open, random},
    frame,
    ledger::Ledger,
    log::{self, Decided, Head, Live},
    outbox,
    record::Decision,
};
use outflow_api::{AppendOutcome, Fault, Generation, Incarnation, Journal, Recovered, Shard, Transaction};
use outflow_journal::{Replay, barrier, check, encode, encode_ledger, incarnation, ledger_began};
use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    sync::Arc,
};

/// The log is written anew when it is this many times larger than the live state: `acquire` then reads at most that,
/// and each byte that is decided costs at most a third of a byte of rewriting.
const GARBAGE_FACTOR: u64 = 4;
/// Below this a log is read faster than it is written anew.
const SMALL_BYTES: u64 = 4 << 20;

/// Decisions of one shard.
pub struct LocalJournal {
    shared: Arc<Shared>,
    shard: Shard,
    folder: PathBuf,
    owned: Option<Owned>,
}

/// What an owner knows: as long as the file is this one and ends here, nobody else wrote.
struct Owned {
    log: File,
    bytes: u64,
    sequence: u64,
    incarnation: Incarnation,
    live: Live,
    ledger: Ledger,
}

impl LocalJournal {
    pub(crate) fn new(shared: Arc<Shared>, shard: Shard) -> LocalJournal {
        let folder = shared.journal_folder(shard);
        LocalJournal { shared, shard, folder, owned: None }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("journal.log")
    }

    fn decision(&self, incarnation: Incarnation, sequence: u64) -> Decision {
        Decision { incarnation: incarnation.0, shard: self.shard.0, sequence }
    }

    fn read(&self) -> Result<log::Read, Fault> {
        if let Some(read) = log::read(&self.path())? {
            return Ok(read);
        }
        let ledger = self.folder.join("ledger.log");
        if fs::metadata(&ledger).is_ok_and(|found| found.len() > 0) {
            let hint = format!(
                "{} is missing, but {} shows decisions; an empty journal would deliver everything again: \
                 restore it, or move the folder of the shard away to begin anew, or to `outflow restore` a backup",
                self.path().display(),
                ledger.display()
            );
            return Err(Fault::halt("journal-missing", hint));
        }
        Ok(log::Read::default())
    }

    /// What the log says, while nobody writes into it.
    pub(crate) fn peek(&self) -> Result<Option<Recovered>, Fault> {
        if !self.path().exists() {
            return Ok(None);
        }
        let path = self.folder.join("lock");
        let file = open(&path)?;
        let _locked = lock(&file, &path)?;
        let log::Read { head, live, bytes, .. } = self.read()?;
        let mut known = Replay::new();
        for (key, value) in live.iter() {
            known.apply(key, Some(value), 0)?;
        }
        Ok(known.incarnation().map(|_| known.finish(Generation(head.sequence), bytes)))
    }

    fn own(&self) -> Result<(Owned, Recovered), Fault> {
        let log::Read { head, mut live, sequence, ledger: rows, letters, bytes } = self.read()?;
        let mut known = Replay::new();
        for (key, value) in live.iter() {
            known.apply(key, Some(value), 0)?;
        }
        let incarnation_now = match known.incarnation() {
            Some(incarnation) => incarnation,
            None => Incarnation(u64::from_be_bytes(random()?)),
        };
        outbox::send_missing(&self.shared, self.decision(incarnation_now, sequence), &letters)?;
        let (mut ledger, copied) = Ledger::open(&self.folder.join("ledger.log"), head.ledger_bytes)?;
        let ledger_read = ledger.bytes() - head.ledger_bytes;
        for (of, rows) in rows.iter().filter(|(of, _)| *of > copied) {
            ledger.append(*of, rows)?;
        }
        ledger.sync()?;

        let sequence = sequence + 1;
        let nonce = u128::from_be_bytes(random()?);
        for entry in [incarnation(incarnation_now), barrier(nonce)] {
            let offset = i64::try_from(sequence).expect("a decision per nanosecond for 292 years");
            known.apply(&entry.key, entry.value.as_deref(), offset)?;
            live.apply(entry);
        }
        let new_head = Head { sequence, ledger_bytes: ledger.bytes() };
        let (log, new_bytes) = log::replace(&self.path(), new_head, &live)?;
        let generation = Generation(sequence);
        if ledger.bytes() == 0 {
            // Nothing was ever decided. A power loss must not take this row alone: decisions behind it are copied out
            // again, and this one is nobody's.
            ledger.append(sequence, &[ledger_began(incarnation_now, self.shard, generation)])?;
            ledger.sync()?;
        }
        let recovered = known.finish(generation, bytes + ledger_read);
        Ok((Owned { log, bytes: new_bytes, sequence, incarnation: incarnation_now, live, ledger }, recovered))
    }

    /// Everything that may fail without a byte being written.
    fn decide(&self, transaction: &Transaction, sequence: u64) -> Result<Decided, Fault> {
        check(transaction)?;
        let letters = outbox::address(&self.shared, self.shard, &transaction.dead_letters)?;
        let ledger = transaction.ledger.iter().map(encode_ledger).collect();
        Ok(Decided { sequence, entries: encode(transaction), ledger, letters })
    }

    /// Under the lock.
    fn is_ours(&self, owned: &Owned) -> Result<bool, Fault> {
        let path = self.path();
        let look = || {
            let (ours, there) = (owned.log.metadata()?, fs::metadata(&path)?);
            Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()) && there.len() == owned.bytes)
        };
        look().map_err(failed("look at", &path))
    }

    fn write(&self, owned: &mut Owned, decided: Decided) -> Result<(), Fault> {
        let mut out = Vec::new();
        frame::push(&mut out, owned.bytes, |out| log::put_decided(out, &decided));
        let written = owned.log.write_all_at(&out, owned.bytes).and_then(|()| owned.log.sync_data());
        written.map_err(failed("append to", &self.path()))?;
        let Decided { sequence, entries, ledger, letters } = decided;
        owned.bytes += out.len() as u64;
        owned.sequence = sequence;
        entries.into_iter().for_each(|entry| owned.live.apply(entry));
        owned.ledger.append(sequence, &ledger)?;
        outbox::send(&self.shared, self.decision(owned.incarnation, sequence), &letters)
    }

    fn compact(&self, owned: &mut Owned) -> Result<(), Fault> {
        if owned.bytes < SMALL_BYTES + GARBAGE_FACTOR * owned.live.bytes() {
            return Ok(());
        }
        owned.ledger.sync()?;
        let head = Head { sequence: owned.sequence, ledger_bytes: owned.ledger.bytes() };
        (owned.log, owned.bytes) = log::replace(&self.path(), head, &owned.live)?;
        Ok(())
    }
}

impl Journal for LocalJournal {
    fn acquire(&mut self) -> Result<Recovered, Fault> {
        self.owned = None;
        let path = self.folder.join("lock");
        let file = open(&path)?;
        let _locked = lock(&file, &path)?;
        let (owned, recovered) = self.own()?;
        self.owned = Some(owned);
        Ok(recovered)
    }

    fn append(&mut self, transaction: &Transaction) -> AppendOutcome {
        let Some(mut owned) = self.owned.take() else { return AppendOutcome::Fenced };
        let decided = match self.decide(transaction, owned.sequence + 1) {
            Ok(decided) => decided,
            Err(fault) => {
                self.owned = Some(owned);
                return AppendOutcome::Refused(fault);
            }
        };
        let path = self.folder.join("lock");
        let file = match open(&path) {
            Ok(file) => file,
            Err(fault) => return AppendOutcome::Unknown(fault),
        };
        let locked = match lock(&file, &path).and_then(|locked| Ok((locked, self.is_ours(&owned)?))) {
            Ok((locked, true)) => locked,
            Ok((_, false)) => return AppendOutcome::Fenced,
            Err(fault) => return AppendOutcome::Unknown(fault),
        };
        if let Err(fault) = self.write(&mut owned, decided) {
            return AppendOutcome::Unknown(fault);
        }
        // The decision is durable either way. If the new file could not be made, which of the two has the name after
        // a power loss is open: this owner decides nothing more, and the next one finds out.
        if self.compact(&mut owned).is_ok() {
            self.owned = Some(owned);
        }
        drop(locked);
        AppendOutcome::Done
    }
}
