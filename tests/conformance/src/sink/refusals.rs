use super::{
    Batch, Destination, Size, is_gone,
    laws::{encoded, is_done},
    settled,
};
use outflow_api::{CommitOutcome, CommitPermit, PrepareOutcome, Prepared, Sink};
use std::collections::BTreeSet;

/// What was left was refused again so often.
const ROUNDS_MAX: usize = 20;

/// By a destination that refuses some rows for good, when they are prepared or when they are committed.
pub async fn refused_rows_are_named_and_the_others_are_there_once(destination: &dyn Destination, size: Size) {
    let batch = Batch::new(size, 1);
    let last = batch.rows.end - 1;
    let refused = [batch.rows.start + 3, batch.rows.start + (last - batch.rows.start) / 2, last];
    if !refused.iter().all(|row| destination.refuse(*row)) {
        return;
    }
    let refused = BTreeSet::from(refused);
    let sink = destination.open();
    let (left, prepared) = prepare_what_is_taken(destination, &*sink, batch, &refused).await;
    let left = commit_what_is_taken(destination, &*destination.open(), left, &prepared, &refused).await;
    assert_eq!(left.without, refused, "each is named once");
    assert!(settled(&destination.visible().await, &left));
}

/// An id stands for its rows: what is left is another batch.
async fn prepare_what_is_taken(
    destination: &dyn Destination,
    sink: &dyn Sink,
    mut batch: Batch,
    refused: &BTreeSet<i64>,
) -> (Batch, Prepared) {
    for _ in 0..ROUNDS_MAX {
        let outcome = sink.prepare(batch.id, &encoded(sink, &batch)).await;
        match outcome.expect("a calm destination takes a batch, or says which rows it does not") {
            PrepareOutcome::Prepared(prepared) => return (batch, prepared),
            PrepareOutcome::Refused { rows } => leave_out(&mut batch, &rows, refused),
        }
        assert!(is_gone(&destination.visible().await, &batch), "rows of a batch are visible that was not prepared");
        batch = batch.anew();
    }
    panic!("{} is refused without end", batch.id);
}

/// It is decided, and keeps its id.
async fn commit_what_is_taken(
    destination: &dyn Destination,
    sink: &dyn Sink,
    mut batch: Batch,
    prepared: &Prepared,
    refused: &BTreeSet<i64>,
) -> Batch {
    let permit = CommitPermit::mint(prepared.clone());
    let mut is_asked = false;
    for _ in 0..ROUNDS_MAX {
        let rows = is_asked.then(|| encoded(sink, &batch));
        match sink.commit(&permit, rows.as_ref()).await.expect("a calm destination answers") {
            CommitOutcome::NeedsRows => is_asked = true,
            CommitOutcome::Rejected { rows } => {
                leave_out(&mut batch, &rows, refused);
                assert!(is_gone(&destination.visible().await, &batch), "the others wait");
            }
            outcome => {
                assert!(is_done(&outcome), "{outcome:?}");
                return batch;
            }
        }
    }
    panic!("{} is refused without end", batch.id);
}

fn leave_out(batch: &mut Batch, rows: &[(usize, String)], refused: &BTreeSet<i64>) {
    let numbers = batch.numbers();
    assert!(!rows.is_empty(), "a refusal names rows");
    assert!(rows.windows(2).all(|two| two[0].0 < two[1].0), "{rows:?} do not rise");
    for (index, why) in rows {
        let row = numbers.get(*index).unwrap_or_else(|| panic!("row {index} was not given"));
        assert!(refused.contains(row), "{row} is a good row: {why}");
        assert!(!why.is_empty(), "nobody can mend what has no reason");
        batch.without.insert(*row);
    }
}
