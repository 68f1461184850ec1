use super::{Batch, Destination, Size, cut_off, is_gone, refusals, settled};
use outflow_api::{
    CommitOutcome, CommitPermit, Delivered, Encoded, Fault, Generation, Incarnation, PrepareOutcome, Prepared,
    RECEIPT_BYTES_MAX, Shard, Sink, SweepScope, Verdict,
};
use std::sync::Arc;

const CALLS_MAX: usize = 20;
const AWAITS: usize = 12;

/// Every law, one after the other.
///
/// # Panics
/// If one is broken.
pub async fn all(destination: &dyn Destination) {
    whom_it_calls_is_named_alike_by_every_instance_and_without_secrets(destination);
    laws(destination).await;
    examining_leaves_nothing_behind(destination).await;
}

/// Those that need no more of the destination than the sink's own calls do.
///
/// # Panics
/// If one is broken.
pub async fn laws(destination: &dyn Destination) {
    for size in [Size::Small, Size::Large] {
        encoding_is_pure(destination, size).await;
        a_prepared_batch_is_invisible(destination, size).await;
        a_commit_is_visible_whole_and_may_be_repeated(destination, size).await;
        commits_at_once_reveal_a_batch_once(destination, size).await;
        after_a_crash_a_commit_finds_out_what_is_missing(destination, size).await;
        a_repeated_prepare_changes_nothing(destination, size).await;
        an_aborted_batch_never_appears(destination, size).await;
        sweeping_spares_what_is_pending_and_what_is_anothers(destination, size).await;
        a_token_of_another_destination_parks(destination, size).await;
        a_broken_token_parks(destination, size).await;
        rows_of_another_batch_are_refused(destination, size).await;
        a_call_may_be_cut_off_at_any_await(destination, size).await;
        a_removed_batch_has_no_row_and_never_comes_back(destination, size).await;
        a_removal_takes_nothing_but_its_batch(destination, size).await;
        a_receipt_of_another_destination_or_a_broken_one_parks(destination, size).await;
        refusals::refused_rows_are_named_and_the_others_are_there_once(destination, size).await;
    }
}

/// Until it is done: rows are given when they are asked for.
///
/// # Panics
/// If it parks, or is not done after some calls.
pub async fn commit_until_done(sink: &dyn Sink, batch: &Batch, prepared: &Prepared) -> CommitOutcome {
    let permit = CommitPermit::mint(prepared.clone());
    let mut rows: Option<Encoded> = None;
    for _ in 0..CALLS_MAX {
        match sink.commit(&permit, rows.as_ref()).await {
            Ok(CommitOutcome::NeedsRows) => rows = Some(encoded(sink, batch)),
            Ok(outcome) => return outcome,
            Err(fault) => assert!(matches!(fault.verdict, Verdict::Retry { .. }), "commit of {}: {fault}", batch.id),
        }
    }
    panic!("{} is not committed after {CALLS_MAX} calls", batch.id);
}

pub fn encoded(sink: &dyn Sink, batch: &Batch) -> Encoded {
    sink.encode(&batch.sealed()).expect("the rows of a test can be encoded")
}

async fn prepared(sink: &dyn Sink, batch: &Batch) -> Prepared {
    taken(sink.prepare(batch.id, &encoded(sink, batch)).await)
}

fn taken(outcome: Result<PrepareOutcome, Fault>) -> Prepared {
    outcome.expect("a calm destination takes a batch").prepared().expect("no row is refused")
}

pub fn is_done(outcome: &CommitOutcome) -> bool {
    matches!(outcome, CommitOutcome::Committed | CommitOutcome::AlreadyCommitted)
}

/// By these names calls are bounded and troubles counted together, and people see them.
fn whom_it_calls_is_named_alike_by_every_instance_and_without_secrets(destination: &dyn Destination) {
    let (one, other, elsewhere) = (destination.open(), destination.open(), destination.open_elsewhere());
    assert_eq!(one.remote(), other.remote());
    for remote in [&one, &elsewhere].into_iter().filter_map(|sink| sink.remote()) {
        let shown = remote.to_string();
        assert!(!remote.host.is_empty() && !remote.credential.is_empty(), "{shown:?} is no name");
        let told = destination.secrets().into_iter().find(|secret| shown.contains(secret.as_str()));
        assert!(told.is_none(), "a secret stands in {shown:?}");
    }
}

async fn encoding_is_pure(destination: &dyn Destination, size: Size) {
    let batch = Batch::new(size, 1);
    let one = encoded(&*destination.open(), &batch);
    let other = encoded(&*destination.open(), &batch);
    assert_eq!(one.pieces.len(), other.pieces.len());
    for (one, other) in one.pieces.iter().zip(&other.pieces) {
        assert_eq!((&one.name, one.rows), (&other.name, other.rows));
        assert_eq!(one.bytes.concat(), other.bytes.concat(), "the same rows came to other bytes in {}", one.name);
        assert!(one.name.contains(&batch.id.to_string()), "{} does not name its batch", one.name);
    }
    assert_eq!(one.pieces.iter().map(|piece| piece.rows).sum::<u64>(), batch.sealed().row_count() as u64);
}

async fn a_prepared_batch_is_invisible(destination: &dyn Destination, size: Size) {
    let batch = Batch::new(size, 1);
    let prepared = prepared(&*destination.open(), &batch).await;
    assert_eq!(prepared.id, batch.id);
    assert!(prepared.token.len() <= outflow_api::TOKEN_BYTES_MAX);
    assert!(!settled(&destination.visible().await, &batch));
}

async fn a_commit_is_visible_whole_and_may_be_repeated(destination: &dyn Destination, size: Size) {
    let (sink, batch) = (destination.open(), Batch::new(size, 1));
    let prepared = prepared(&*sink, &batch).await;
    let rows = encoded(&*sink, &batch);
    let permit = CommitPermit::mint(prepared);
    let first = sink.commit(&permit, Some(&rows)).await.expect("a calm destination reveals a batch");
    assert_eq!(first, CommitOutcome::Committed);
    assert!(settled(&destination.visible().await, &batch));
    for sink in [sink, destination.open()] {
        for rows in [None, Some(&rows)] {
            let again = sink.commit(&permit, rows).await.expect("a calm destination answers");
            // `Committed` again, too, where the destination itself takes a repeated request for the first one.
            let asks = again == CommitOutcome::NeedsRows && rows.is_none() && !destination.remembers();
            assert!(is_done(&again) || asks, "{again:?}");
        }
    }
    assert!(settled(&destination.visible().await, &batch));
}

async fn commits_at_once_reveal_a_batch_once(destination: &dyn Destination, size: Size) {
    for _ in 0..5 {
        let (one, other, batch) = (destination.open(), destination.open(), Batch::new(size, 1));
        let prepared = prepared(&*one, &batch).await;
        let permit = CommitPermit::mint(prepared.clone());
        let rows = encoded(&*one, &batch);
        let outcomes = tokio::join!(
            one.commit(&permit, Some(&rows)),
            other.commit(&permit, Some(&rows)),
            other.commit(&permit, None),
            one.commit(&permit, None),
        );
        let outcomes: [Result<CommitOutcome, Fault>; 4] = outcomes.into();
        for outcome in &outcomes {
            match outcome {
                Ok(outcome) => assert!(is_done(outcome) || *outcome == CommitOutcome::NeedsRows, "{outcome:?}"),
                Err(fault) => assert!(matches!(fault.verdict, Verdict::Retry { .. }), "{fault}"),
            }
        }
        assert!(is_done(&commit_until_done(&*other, &batch, &prepared).await));
        assert!(settled(&destination.visible().await, &batch));
    }
}

async fn after_a_crash_a_commit_finds_out_what_is_missing(destination: &dyn Destination, size: Size) {
    let batch = Batch::new(size, 1);
    let prepared = prepared(&*destination.open(), &batch).await;
    let heir = destination.open();
    let outcome = commit_until_done(&*heir, &batch, &prepared).await;
    assert!(is_done(&outcome), "{outcome:?}");
    assert!(settled(&destination.visible().await, &batch));
}

async fn a_repeated_prepare_changes_nothing(destination: &dyn Destination, size: Size) {
    let (sink, batch) = (destination.open(), Batch::new(size, 1));
    let first = prepared(&*sink, &batch).await;
    let second = prepared(&*sink, &batch).await;
    assert!(!settled(&destination.visible().await, &batch));
    assert!(is_done(&commit_until_done(&*sink, &batch, &second).await));
    if destination.knows_batches() {
        assert!(is_done(&commit_until_done(&*sink, &batch, &first).await));
    }
    assert!(settled(&destination.visible().await, &batch));
}

async fn an_aborted_batch_never_appears(destination: &dyn Destination, size: Size) {
    let (sink, batch) = (destination.open(), Batch::new(size, 1));
    let prepared = prepared(&*sink, &batch).await;
    for _ in 0..2 {
        sink.abort(&prepared).await.expect("an abort may be repeated");
    }
    if destination.can_abort() {
        let outcome = sink.commit(&CommitPermit::mint(prepared), None).await;
        let revealed = outcome.as_ref().is_ok_and(is_done);
        assert!(!revealed, "an aborted batch was revealed: {outcome:?}");
    }
    assert!(!settled(&destination.visible().await, &batch));
}

async fn sweeping_spares_what_is_pending_and_what_is_anothers(destination: &dyn Destination, size: Size) {
    let sink = destination.open();
    let [kept, own, mut other_shard, mut other_life, swept] = [5, 9, 5, 5, 5].map(|age| Batch::new(size, age));
    other_shard.id.shard = Shard(4);
    other_life.id.incarnation = Incarnation(1);
    let mut spared: Vec<(Batch, Prepared)> = Vec::new();
    for batch in [kept, own, other_shard, other_life] {
        spared.push((batch.clone(), prepared(&*sink, &batch).await));
    }
    let gone = prepared(&*sink, &swept).await;
    let before = without_rows(&sink, &Batch::new(size, 5)).await;
    let scope = SweepScope {
        incarnation: swept.id.incarnation,
        shard: swept.id.shard,
        below: Generation(9),
        keep: vec![spared[0].1.clone()],
    };
    let report = sink.sweep(&scope).await.expect("a calm destination can be swept");
    if report.removed > 0 {
        let outcome = sink.commit(&CommitPermit::mint(gone), None).await;
        assert!(!outcome.as_ref().is_ok_and(is_done), "a swept batch was revealed: {outcome:?}");
        assert_eq!(sink.sweep(&scope).await.expect("may be repeated").removed, 0);
    }
    assert!(!settled(&destination.visible().await, &swept));
    for (batch, prepared) in &spared {
        let outcome = sink.commit(&CommitPermit::mint(prepared.clone()), None).await.expect("a calm destination");
        assert_eq!(outcome, before, "{} did not survive a sweep that spares it", batch.id);
        assert!(is_done(&commit_until_done(&*sink, batch, prepared).await));
        assert!(settled(&destination.visible().await, batch));
    }
}

/// What a commit of a freshly prepared batch answers when no rows are given.
async fn without_rows(sink: &Arc<dyn Sink>, batch: &Batch) -> CommitOutcome {
    let prepared = prepared(&**sink, batch).await;
    sink.commit(&CommitPermit::mint(prepared), None).await.expect("a calm destination answers")
}

async fn a_token_of_another_destination_parks(destination: &dyn Destination, size: Size) {
    let (sink, batch) = (destination.open(), Batch::new(size, 1));
    let prepared = prepared(&*destination.open_elsewhere(), &batch).await;
    let rows = encoded(&*sink, &batch);
    for rows in [None, Some(&rows)] {
        let outcome = sink.commit(&CommitPermit::mint(prepared.clone()), rows).await;
        let fault = outcome.expect_err("another destination says nothing about this one");
        assert_eq!(fault.verdict, Verdict::Park, "{fault}");
    }
    assert_eq!(sink.abort(&prepared).await.expect_err("nor can it be aborted here").verdict, Verdict::Park);
    assert!(!settled(&destination.visible().await, &batch));
}

async fn a_broken_token_parks(destination: &dyn Destination, size: Size) {
    let (sink, batch) = (destination.open(), Batch::new(size, 1));
    let prepared = prepared(&*sink, &batch).await;
    let cut = prepared.token.slice(..prepared.token.len() / 2);
    for token in [cut, Vec::new().into(), vec![255, 1, 2].into()] {
        let permit = CommitPermit::mint(Prepared { id: batch.id, token });
        let fault = sink.commit(&permit, None).await.expect_err("it cannot be read");
        assert_eq!(fault.verdict, Verdict::Park, "{fault}");
    }
}

async fn rows_of_another_batch_are_refused(destination: &dyn Destination, size: Size) {
    let (sink, batch, other) = (destination.open(), Batch::new(size, 1), Batch::new(size, 1));
    let prepared = prepared(&*sink, &batch).await;
    let rows = encoded(&*sink, &other);
    let fault = sink.commit(&CommitPermit::mint(prepared), Some(&rows)).await.expect_err("rows of another batch");
    assert_eq!(fault.verdict, Verdict::Park, "{fault}");
    assert!(!settled(&destination.visible().await, &other));
}

async fn a_call_may_be_cut_off_at_any_await(destination: &dyn Destination, size: Size) {
    for awaits in 0..AWAITS {
        let (sink, batch) = (destination.open(), Batch::new(size, 1));
        let rows = encoded(&*sink, &batch);
        let first = cut_off(sink.prepare(batch.id, &rows), awaits).await;
        let prepared = match first {
            Some(outcome) => taken(outcome),
            None => prepared(&*sink, &batch).await,
        };
        assert!(!settled(&destination.visible().await, &batch));
        let permit = CommitPermit::mint(prepared.clone());
        cut_off(sink.commit(&permit, Some(&rows)), awaits).await;
        cut_off(sink.commit(&permit, None), awaits).await;
        assert!(is_done(&commit_until_done(&*sink, &batch, &prepared).await));
        assert!(settled(&destination.visible().await, &batch));
    }
}

/// Visible, and by what it is removed.
async fn delivered(sink: &dyn Sink, batch: &Batch) -> (Prepared, Delivered) {
    let prepared = prepared(sink, batch).await;
    let receipt = sink.receipt(&prepared);
    assert!(is_done(&commit_until_done(sink, batch, &prepared).await));
    (prepared, Delivered { id: batch.id, receipt })
}

/// Not even by a commit that comes late, with the rows and all.
async fn a_removed_batch_has_no_row_and_never_comes_back(destination: &dyn Destination, size: Size) {
    for awaits in 0..AWAITS {
        let (sink, other, batch) = (destination.open(), destination.open(), Batch::new(size, 1));
        let (prepared, old) = delivered(&*sink, &batch).await;
        if old.receipt.is_empty() {
            let fault = sink.remove(&old).await.expect_err("it does not say by what it could be removed");
            return assert_eq!(fault.verdict, Verdict::Park, "{fault}");
        }
        assert!(old.receipt.len() <= RECEIPT_BYTES_MAX);
        assert_eq!(other.receipt(&prepared), old.receipt, "it is made of the token alone");
        cut_off(other.remove(&old), awaits).await;
        for sink in [&other, &sink, &other] {
            sink.remove(&old).await.expect("a removal may be repeated, by anybody");
            assert!(is_gone(&destination.visible().await, &batch));
        }
        let rows = encoded(&*sink, &batch);
        for rows in [None, Some(&rows)] {
            // Whatever it answers.
            let _ = sink.commit(&CommitPermit::mint(prepared.clone()), rows).await;
            assert!(is_gone(&destination.visible().await, &batch), "a late commit brings a removed batch back");
        }
    }
}

async fn a_removal_takes_nothing_but_its_batch(destination: &dyn Destination, size: Size) {
    let (sink, batches) = (destination.open(), [1, 1, 1].map(|age| Batch::new(size, age)));
    let [(_, first), (_, old), _] = [
        delivered(&*sink, &batches[0]).await,
        delivered(&*sink, &batches[1]).await,
        delivered(&*sink, &batches[2]).await,
    ];
    if old.receipt.is_empty() {
        return;
    }
    let (one, other) = tokio::join!(sink.remove(&old), sink.remove(&old));
    one.and(other).expect("at once, too");
    let visible = destination.visible().await;
    assert!(settled(&visible, &batches[0]) && is_gone(&visible, &batches[1]) && settled(&visible, &batches[2]));
    sink.remove(&first).await.expect("a calm destination");
    assert!(settled(&destination.visible().await, &batches[2]));
}

async fn a_receipt_of_another_destination_or_a_broken_one_parks(destination: &dyn Destination, size: Size) {
    let (sink, batch) = (destination.open(), Batch::new(size, 1));
    let (_, old) = delivered(&*sink, &batch).await;
    let elsewhere = destination.open_elsewhere();
    let foreign = Delivered { id: batch.id, receipt: elsewhere.receipt(&prepared(&*elsewhere, &batch).await) };
    let cut = Delivered { id: batch.id, receipt: old.receipt.slice(..old.receipt.len() / 2) };
    let empty = Delivered { id: batch.id, receipt: Vec::new().into() };
    for wrong in [foreign, cut, empty] {
        let fault = sink.remove(&wrong).await.expect_err("it names nothing that is here");
        assert_eq!(fault.verdict, Verdict::Park, "{fault}");
        assert!(settled(&destination.visible().await, &batch));
    }
}

async fn examining_leaves_nothing_behind(destination: &dyn Destination) {
    let before: Vec<String> = destination.visible().await.into_keys().collect();
    let findings = destination.open().examine().await;
    assert!(!findings.is_empty());
    for finding in findings {
        if let Err(fault) = finding.result {
            panic!("{}: {fault}", finding.subject);
        }
    }
    let after: Vec<String> = destination.visible().await.into_keys().collect();
    assert_eq!(before, after);
}
