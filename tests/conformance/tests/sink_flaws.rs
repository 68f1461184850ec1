//! Do the laws find a sink that breaks them? One in memory, sound or with one flaw.

use arrow_array::{cast::AsArray, types::Int64Type};
use async_trait::async_trait;
use bytes::Bytes;
use outflow_api::{
    BatchId, Blame, CommitOutcome, CommitPermit, Delivered, Encoded, Fault, Finding, Piece, PrepareOutcome, Prepared,
    Remote, SealedBatch, Sink, SweepReport, SweepScope,
};
use outflow_conformance::sink::{self, Destination};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    None,
    ShowsWhatIsPrepared,
    WritesAgain,
    AcceptsAnyToken,
    NeverLooks,
    SweepsWhatIsPending,
    NamesItsSecret,
    RemovesTheName,
    RemovesNothing,
    RemovesOthers,
    RemovesByAnyReceipt,
    ShowsWhatItRefuses,
    NamesOtherRows,
    LeavesOutWhatItRefuses,
    RefusesWithoutEnd,
}

/// When rows are refused for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refuses {
    WhenPrepared,
    WhenCommitted,
}

const SECRET: &str = "hunter2";

#[derive(Default)]
struct Store {
    staged: BTreeMap<String, Vec<i64>>,
    visible: BTreeMap<String, Vec<i64>>,
    refused: BTreeSet<i64>,
}

#[derive(Clone)]
struct Memory {
    store: Arc<Mutex<Store>>,
    place: u8,
    flaw: Flaw,
    refuses: Refuses,
    remote: Option<Remote>,
}

impl Memory {
    fn new(place: u8, flaw: Flaw) -> Memory {
        let credential = if flaw == Flaw::NamesItsSecret { SECRET } else { "the test's own" };
        let (store, refuses) = (Arc::default(), Refuses::WhenPrepared);
        Memory { store, place, flaw, refuses, remote: Some(Remote::new("memory", credential)) }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, prepared: &Prepared) -> Result<String, Fault> {
        let id = prepared.id.to_string();
        if self.flaw == Flaw::AcceptsAnyToken || prepared.token == [&[self.place], id.as_bytes()].concat() {
            return Ok(id);
        }
        Err(Fault::park(Blame::Us, "other-destination", "not prepared here"))
    }

    /// By their places.
    fn refused(&self, rows: &[i64]) -> Vec<(usize, String)> {
        let store = self.store();
        let is_refused = |row: &i64| store.refused.contains(row) || self.flaw == Flaw::RefusesWithoutEnd;
        let refused = rows.iter().enumerate().filter(|(_, row)| !store.refused.is_empty() && is_refused(row));
        let place = |index: usize| if self.flaw == Flaw::NamesOtherRows { index.saturating_sub(1) } else { index };
        refused.map(|(index, row)| (place(index), format!("{row} is refused"))).collect()
    }
}

fn rows_of(encoded: &Encoded) -> Vec<i64> {
    let bytes = encoded.pieces[0].bytes.concat();
    bytes.chunks(8).map(|chunk| i64::from_le_bytes(chunk.try_into().expect("eight bytes"))).collect()
}

#[async_trait]
impl Sink for Memory {
    fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    fn encode(&self, batch: &SealedBatch) -> Result<Encoded, Fault> {
        let rows = batch.batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().iter());
        let bytes: Vec<u8> = rows.flat_map(|row| row.to_le_bytes()).collect();
        let piece = Piece { name: batch.id.to_string(), rows: batch.row_count() as u64, bytes: vec![bytes.into()] };
        Ok(Encoded { pieces: vec![piece], rejected: Vec::new() })
    }

    async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<PrepareOutcome, Fault> {
        let mut rows = rows_of(encoded);
        let refused = if self.refuses == Refuses::WhenPrepared { self.refused(&rows) } else { Vec::new() };
        let mut store = self.store();
        if self.flaw == Flaw::LeavesOutWhatItRefuses {
            rows.retain(|row| !store.refused.contains(row));
        } else if !refused.is_empty() {
            if self.flaw == Flaw::ShowsWhatItRefuses {
                store.visible.insert(id.to_string(), rows);
            }
            return Ok(PrepareOutcome::Refused { rows: refused });
        }
        if self.refuses == Refuses::WhenPrepared {
            store.staged.insert(id.to_string(), rows);
        }
        if self.flaw == Flaw::ShowsWhatIsPrepared {
            store.visible.insert(id.to_string(), rows_of(encoded));
        }
        Ok(Prepared { id, token: [&[self.place], id.to_string().as_bytes()].concat().into() }.into())
    }

    async fn commit(&self, permit: &CommitPermit, encoded: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
        let id = self.check(permit.prepared())?;
        if encoded.is_some_and(|encoded| encoded.pieces[0].name != id) {
            return Err(Fault::park(Blame::Us, "rows-differ", "another batch"));
        }
        let refused = encoded.map(|encoded| self.refused(&rows_of(encoded))).unwrap_or_default();
        let mut store = self.store();
        let again = self.flaw == Flaw::WritesAgain && encoded.is_some();
        if store.visible.contains_key(&id) && !again {
            return Ok(CommitOutcome::AlreadyCommitted);
        }
        let Some(rows) = store.staged.get(&id).cloned().or_else(|| encoded.map(rows_of)) else {
            let blind = self.flaw == Flaw::NeverLooks;
            return Ok(if blind { CommitOutcome::AlreadyCommitted } else { CommitOutcome::NeedsRows });
        };
        if !refused.is_empty() && self.refuses == Refuses::WhenCommitted {
            if self.flaw == Flaw::ShowsWhatItRefuses {
                store.visible.insert(id, rows);
            }
            return Ok(CommitOutcome::Rejected { rows: refused });
        }
        let name = if store.visible.contains_key(&id) { format!("{id}-again") } else { id };
        store.visible.insert(name, rows);
        Ok(CommitOutcome::Committed)
    }

    async fn abort(&self, prepared: &Prepared) -> Result<(), Fault> {
        let id = self.check(prepared)?;
        self.store().staged.remove(&id);
        Ok(())
    }

    async fn sweep(&self, scope: &SweepScope) -> Result<SweepReport, Fault> {
        let begins = format!("{:016x}-{:04x}-", scope.incarnation.0, scope.shard.0);
        let limit = format!("{begins}{:012x}", scope.below.0);
        let kept = |id: &str| scope.keep.iter().any(|kept| kept.id.to_string() == id);
        let spares = self.flaw != Flaw::SweepsWhatIsPending;
        let mut store = self.store();
        let before = store.staged.len();
        store.staged.retain(|id, _| !id.starts_with(&begins) || *id >= limit || (spares && kept(id)));
        Ok(SweepReport { removed: (before - store.staged.len()) as u64 })
    }

    fn receipt(&self, prepared: &Prepared) -> Bytes {
        prepared.token.clone()
    }

    async fn remove(&self, old: &Delivered) -> Result<(), Fault> {
        let prepared = Prepared { id: old.id, token: old.receipt.clone() };
        let id = if self.flaw == Flaw::RemovesByAnyReceipt { old.id.to_string() } else { self.check(&prepared)? };
        let mut store = self.store();
        match self.flaw {
            Flaw::RemovesNothing => {}
            Flaw::RemovesOthers => store.visible.values_mut().for_each(Vec::clear),
            Flaw::RemovesTheName => drop(store.visible.remove(&id)),
            _ => drop(store.visible.insert(id, Vec::new())),
        }
        Ok(())
    }

    async fn examine(&self) -> Vec<Finding> {
        vec![Finding { subject: "memory".to_owned(), result: Ok("it is there".to_owned()) }]
    }
}

#[async_trait]
impl Destination for Memory {
    fn open(&self) -> Arc<dyn Sink> {
        Arc::new(self.clone())
    }

    fn open_elsewhere(&self) -> Arc<dyn Sink> {
        Arc::new(Memory::new(2, self.flaw))
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned()]
    }

    async fn visible(&self) -> BTreeMap<String, Vec<i64>> {
        self.store().visible.clone()
    }

    fn refuse(&self, row: i64) -> bool {
        self.store().refused.insert(row)
    }
}

/// Whether a law is broken.
async fn is_found(flaw: Flaw, refuses: Refuses) -> bool {
    let sink = Memory { refuses, ..Memory::new(1, flaw) };
    let laws = tokio::spawn(async move { sink::all(&sink).await });
    laws.await.is_err()
}

#[tokio::test]
async fn a_sound_sink_keeps_every_law_and_each_flaw_breaks_one() {
    for refuses in [Refuses::WhenPrepared, Refuses::WhenCommitted] {
        assert!(!is_found(Flaw::None, refuses).await, "{refuses:?}");
        for flaw in [Flaw::ShowsWhatItRefuses, Flaw::NamesOtherRows, Flaw::RefusesWithoutEnd] {
            assert!(is_found(flaw, refuses).await, "{flaw:?} {refuses:?} was not found");
        }
    }
    let flaws = [Flaw::ShowsWhatIsPrepared, Flaw::WritesAgain, Flaw::AcceptsAnyToken, Flaw::NeverLooks];
    let flaws = flaws.into_iter().chain([Flaw::SweepsWhatIsPending, Flaw::NamesItsSecret]);
    let removals = [Flaw::RemovesTheName, Flaw::RemovesNothing, Flaw::RemovesOthers, Flaw::RemovesByAnyReceipt];
    for flaw in flaws.chain(removals).chain([Flaw::LeavesOutWhatItRefuses]) {
        assert!(is_found(flaw, Refuses::WhenPrepared).await, "{flaw:?} was not found");
    }
}

#[tokio::test]
async fn a_sound_sink_survives_every_sequence() {
    for seed in 0..6 {
        sink::chaos(Arc::new(Memory::new(1, Flaw::None)), seed, 200).await;
    }
}
