//! The laws of a [`Journal`], for every implementation: the simulator's, the local one, Kafka.
//!
//! ```no_run
//! fn keeps_the_laws(harness: &dyn outflow_conformance::journal::Harness) {
//!     for (name, law) in outflow_conformance::journal::laws() {
//!         println!("{name}");
//!         law(harness);
//!     }
//! }
//! ```
//! A law that does not hold panics. Each takes a shard of its own, so they may run at the same time.

pub mod content;
pub mod ledger;
pub mod limits;
mod million;
pub mod model;
pub mod owner;
pub mod sample;

pub use million::{Recovery, after_a_million_decisions};

use outflow_api::{AppendOutcome, Journal, Ledger, LedgerEvent, LedgerRow, Recovered, Shard, Transaction};

pub trait Harness: Sync {
    /// A shard whose journal nobody has ever acquired.
    fn fresh_shard(&self) -> Shard;

    /// Another instance of the shard's journal, as another process would have it.
    fn journal(&self, shard: Shard) -> Box<dyn Journal>;

    /// An owner begins to write this and dies before the end. False: it can't be brought about here.
    fn die_within(&self, _shard: Shard, _transaction: &Transaction) -> bool {
        false
    }

    /// As another process, which owns nothing, would have it.
    fn ledger(&self, shard: Shard) -> Box<dyn Ledger>;

    /// Values of the dead letters that this shard's decisions sent to [`sample::DEAD_LETTER_TOPIC`]; the laws begin
    /// each value with `<shard>/`. `None`: they can't be read here.
    fn dead_letters(&self, _shard: Shard) -> Option<Vec<Vec<u8>>> {
        None
    }
}

pub type Law = (&'static str, fn(&dyn Harness));

pub fn laws() -> Vec<Law> {
    vec![
        ("a_new_journal_is_empty", content::a_new_journal_is_empty),
        ("a_decision_answered_done_is_recovered", content::a_decision_answered_done_is_recovered),
        ("every_part_of_a_lane_survives_unchanged", content::every_part_of_a_lane_survives_unchanged),
        ("floors_and_revisions_survive_unchanged", content::floors_and_revisions_survive_unchanged),
        (
            "the_mark_of_what_is_applied_comes_with_its_effects",
            content::the_mark_of_what_is_applied_comes_with_its_effects,
        ),
        ("the_last_value_wins", content::the_last_value_wins),
        ("a_tombstone_forgets", content::a_tombstone_forgets),
        ("idle_lanes_leave_nothing", content::idle_lanes_leave_nothing),
        ("the_ledger_begins_before_anything_is_decided", ledger::the_ledger_begins_before_anything_is_decided),
        ("the_ledger_shows_every_decision_at_once", ledger::the_ledger_shows_every_decision_at_once),
        ("the_ledger_remembers_what_the_journal_forgets", ledger::the_ledger_remembers_what_the_journal_forgets),
        ("ledger_and_dead_letters_come_with_the_decision", content::ledger_and_dead_letters_come_with_the_decision),
        ("each_acquire_raises_the_generation", owner::each_acquire_raises_the_generation),
        ("the_incarnation_is_stable", owner::the_incarnation_is_stable),
        ("shards_have_incarnations_of_their_own", owner::shards_have_incarnations_of_their_own),
        ("an_older_owner_is_fenced_and_leaves_nothing", owner::an_older_owner_is_fenced_and_leaves_nothing),
        ("a_fenced_owner_can_acquire_again", owner::a_fenced_owner_can_acquire_again),
        ("two_owners_at_once_lose_and_mix_nothing", owner::two_owners_at_once_lose_and_mix_nothing),
        ("a_transaction_cut_short_is_invisible", owner::a_transaction_cut_short_is_invisible),
        ("a_thousand_lanes_fit", limits::a_thousand_lanes_fit),
        ("four_mebibytes_fit", limits::four_mebibytes_fit),
        (
            "what_is_too_large_is_refused_and_the_owner_goes_on",
            limits::what_is_too_large_is_refused_and_the_owner_goes_on,
        ),
        ("many_transactions_equal_a_model", model::many_transactions_equal_a_model),
    ]
}

/// # Panics
/// If the journal cannot be acquired.
pub fn acquired(harness: &dyn Harness, shard: Shard) -> (Box<dyn Journal>, Recovered) {
    let mut journal = harness.journal(shard);
    let recovered = journal.acquire().expect("nothing hinders the acquire");
    (journal, recovered)
}

/// What a new owner finds.
pub fn recovered(harness: &dyn Harness, shard: Shard) -> Recovered {
    acquired(harness, shard).1
}

/// # Panics
/// If the ledger cannot be read, or does not begin with the row that says so.
pub fn ledger(harness: &dyn Harness, shard: Shard) -> Vec<LedgerRow> {
    let mut rows = Vec::new();
    harness.ledger(shard).read(&mut |row| rows.push(row)).expect("nothing hinders the reading");
    assert_eq!(rows.first().map(|row| &row.event), Some(&LedgerEvent::Began), "{rows:?}");
    rows.split_off(1)
}

/// # Panics
/// If the answer is anything but Done.
pub fn done(journal: &mut dyn Journal, transaction: &Transaction) {
    let outcome = journal.append(transaction);
    assert!(matches!(outcome, AppendOutcome::Done), "expected Done, got {outcome:?}");
}
