//! What a backup says of a shard, on its way into the shard's journal.

use super::Failure;
use outflow_api::{
    AppendOutcome, Applied, Cluster, Journal, LaneId, LaneRecord, Recovered, Revision, RevisionRecord, Shard,
    Transaction,
};
use outflow_journal::{LANES_MAX, TRANSACTION_BYTES_MAX};

/// A shard waits for the revision that its journal names, and there is none of this number: an owner that comes before
/// the journal is whole decides nothing.
const UNFINISHED: Applied = Applied { revision: Revision(u64::MAX), commands: 0 };

/// What is there before anything is restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nothing was ever decided.
    Empty,
    /// A restore that did not come to its end.
    Unfinished,
    /// As the backup says.
    Same,
    Other,
}

impl Found {
    pub fn of(there: Option<&Recovered>, wanted: Option<&Recovered>) -> Found {
        let Some(there) = there else { return if wanted.is_none() { Found::Same } else { Found::Empty } };
        let content = |journal: &Recovered| {
            let Recovered { floors, lanes, revisions, applied, .. } = journal.clone();
            (floors, lanes, revisions, applied)
        };
        if there.applied == UNFINISHED {
            return Found::Unfinished;
        }
        if wanted.is_some_and(|wanted| content(wanted) == content(there)) {
            return Found::Same;
        }
        let is_empty = there.floors.is_empty() && there.lanes.is_empty() && there.revisions.is_empty();
        if is_empty && there.applied == Applied::default() { Found::Empty } else { Found::Other }
    }
}

/// Fences whoever owned it, draws the journal's own incarnation (P3), and lets nobody begin.
pub fn begin(cluster: &dyn Cluster, shard: Shard) -> Result<(), Failure> {
    let mut journal = cluster.journal(shard)?;
    journal.acquire()?;
    append(journal.as_mut(), shard, &Transaction { applied: Some(UNFINISHED), ..Transaction::default() })
}

/// Behind `begin`. The last transaction is the one that lets an owner begin.
pub fn fill(cluster: &dyn Cluster, shard: Shard, wanted: &Recovered) -> Result<(), Failure> {
    let mut journal = cluster.journal(shard)?;
    let there = journal.acquire()?;
    pieces(&there, wanted).iter().try_for_each(|piece| append(journal.as_mut(), shard, piece))
}

fn append(journal: &mut dyn Journal, shard: Shard, transaction: &Transaction) -> Result<(), Failure> {
    match journal.append(transaction) {
        AppendOutcome::Done => Ok(()),
        AppendOutcome::Fenced => {
            Err(format!("shard {} has another owner: stop all workers, and restore again", shard.0).into())
        }
        AppendOutcome::Refused(fault) | AppendOutcome::Unknown(fault) => {
            Err(format!("shard {} is not whole: {fault}; restore again: it goes on", shard.0).into())
        }
    }
}

/// Also without what a restore of another backup left half done.
fn pieces(there: &Recovered, wanted: &Recovered) -> Vec<Transaction> {
    enum Part<'r> {
        Lane(LaneId, Option<&'r LaneRecord>),
        Revision(&'r RevisionRecord),
        NoRevision(Revision),
    }
    let gone = there.lanes.keys().filter(|lane| !wanted.lanes.contains_key(lane)).map(|lane| Part::Lane(*lane, None));
    let is_wanted = |revision: &Revision| wanted.revisions.iter().any(|record| record.revision == *revision);
    let old = there.revisions.iter().map(|record| record.revision).filter(|revision| !is_wanted(revision));
    let lanes = wanted.lanes.iter().map(|(lane, record)| Part::Lane(*lane, Some(record)));
    let revisions = wanted.revisions.iter().map(Part::Revision);
    let (mut pieces, mut piece, mut parts, mut bytes) = (Vec::new(), Transaction::default(), 0, 0);
    for part in gone.chain(old.map(Part::NoRevision)).chain(lanes).chain(revisions) {
        let mut one = Transaction::default();
        match part {
            Part::Lane(lane, record) => one.lanes.push((lane, record.cloned())),
            Part::Revision(record) => one.revisions.push(record.clone()),
            Part::NoRevision(revision) => one.revisions_gone.push(revision),
        }
        let records = outflow_journal::encode(&one);
        let size: usize =
            records.iter().map(|record| record.key.len() + record.value.as_ref().map_or(0, Vec::len)).sum();
        if parts == LANES_MAX || bytes + size > TRANSACTION_BYTES_MAX {
            pieces.push(std::mem::take(&mut piece));
            (parts, bytes) = (0, 0);
        }
        piece.lanes.extend(one.lanes);
        piece.revisions.extend(one.revisions);
        piece.revisions_gone.extend(one.revisions_gone);
        (parts, bytes) = (parts + 1, bytes + size);
    }
    pieces.push(piece);
    pieces.push(Transaction { floors: wanted.floors.clone(), applied: Some(wanted.applied), ..Transaction::default() });
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{Generation, Incarnation, Parked};
    use std::collections::BTreeMap;

    fn journal(lanes: impl Iterator<Item = u32>, hint: &str) -> Recovered {
        let parked = Parked { code: "c".to_owned(), hint: hint.to_owned(), held: true };
        let record = LaneRecord { parked: Some(parked), ..LaneRecord::default() };
        Recovered {
            incarnation: Incarnation(1),
            generation: Generation(1),
            floors: BTreeMap::new(),
            lanes: lanes.map(|lane| (LaneId(lane), record.clone())).collect(),
            revisions: vec![],
            applied: Applied { revision: Revision(7), commands: 0 },
            bytes_read: 0,
        }
    }

    #[test]
    fn pieces_keep_the_limits_say_all_and_let_an_owner_begin_with_the_last_one() {
        let (there, wanted) = (journal(0..10, "old"), journal(5..5_000, &"x".repeat(5_000)));
        let pieces = pieces(&there, &wanted);
        let mut lanes = there.lanes.clone();
        for (at, piece) in pieces.iter().enumerate() {
            outflow_journal::check(piece).expect("small enough");
            assert_eq!(piece.applied.is_some(), at + 1 == pieces.len());
            piece.lanes.iter().for_each(|(lane, record)| match record {
                Some(record) => drop(lanes.insert(*lane, record.clone())),
                None => drop(lanes.remove(lane)),
            });
        }
        assert_eq!(lanes, wanted.lanes);
        assert!(pieces.len() > 6, "{}", pieces.len());
    }

    #[test]
    fn only_an_empty_journal_a_half_restored_one_and_the_same_one_are_taken() {
        let wanted = journal(0..3, "a");
        let unfinished = Recovered { applied: UNFINISHED, ..journal(0..1, "a") };
        let empty = Recovered { applied: Applied::default(), ..journal(0..0, "a") };
        let found = |there: Option<&Recovered>| Found::of(there, Some(&wanted));
        assert_eq!((found(None), found(Some(&empty))), (Found::Empty, Found::Empty));
        assert_eq!((found(Some(&unfinished)), found(Some(&wanted))), (Found::Unfinished, Found::Same));
        assert_eq!(found(Some(&journal(0..4, "a"))), Found::Other);
        assert_eq!((Found::of(Some(&wanted), None), Found::of(None, None)), (Found::Other, Found::Same));
    }
}
