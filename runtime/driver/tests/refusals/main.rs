//! Rows that a destination refuses when they are sent: the worker on the cluster of a folder, before a real sink that
//! is made to refuse some, and killed.

mod fussy;
mod site;
mod worker;

use fussy::Manner;
use outflow_rig::wait_until;
use site::{Letter, Site};
use std::{collections::BTreeMap, path::Path, time::Duration};

/// The test that is a worker when it is started with these.
const CHILD: &str = "a_worker_runs_where_it_is_told_to";
const FOLDER: &str = "REFUSALS_FOLDER";
const MANNER: &str = "REFUSALS_MANNER";
const LIMIT: Duration = Duration::from_secs(60);
const KILLS: usize = 6;
const NUMBERS: u64 = 2_000;

#[test]
fn a_worker_runs_where_it_is_told_to() {
    let (Ok(folder), Ok(named)) = (std::env::var(FOLDER), std::env::var(MANNER)) else { return };
    let manner = Manner::ALL.into_iter().find(|manner| format!("{manner:?}") == named).expect("one of them");
    worker::work(Path::new(&folder), manner);
}

/// Each refused number once, with what the destination said.
fn letters(manner: Manner, numbers: u64) -> Vec<Letter> {
    let refused = (0..numbers).filter(|number| manner.refuses(*number));
    let letter = |number| Letter {
        number,
        code: "refused-by-destination".to_owned(),
        message: format!("{number} is out of range"),
    };
    refused.map(letter).collect()
}

fn good(manner: Manner, numbers: u64) -> BTreeMap<u64, u64> {
    (0..numbers).filter(|number| !manner.refuses(*number)).map(|number| (number, 1)).collect()
}

fn refused_rows_are_dead_letters_once(manner: Manner) {
    let mut site = Site::new(manner);
    let mut produced = 0;
    for kill in 0..KILLS {
        let worker = site.start();
        site.produce(produced..produced + NUMBERS);
        produced += NUMBERS;
        // At another place each time: when the first letters are out, when rows are visible, or when most are.
        let (before, letters) = (site.delivered().len(), site.letters().len());
        wait_until("something to happen", LIMIT, || {
            assert!(worker.is_alive(), "{}", worker.log());
            match kill % 3 {
                0 => site.letters().len() > letters,
                1 => site.delivered().len() > before,
                _ => site.delivered().len() > before + NUMBERS as usize / 2,
            }
        });
        worker.kill();
    }
    let worker = site.start();
    wait_until("all good rows, and all letters", LIMIT, || {
        assert!(worker.is_alive(), "{}", worker.log());
        site.delivered() == good(manner, produced) && site.letters() == letters(manner, produced)
    });
    site.produce(produced..produced + NUMBERS);
    produced += NUMBERS;
    wait_until("it to go on", LIMIT, || site.delivered() == good(manner, produced));
    worker.kill();
    assert_eq!(site.letters(), letters(manner, produced));
    assert!(!worker.log().contains("parked"), "{}", worker.log());
}

#[test]
fn rows_that_are_refused_when_they_are_prepared_are_dead_letters_and_the_others_are_there_once() {
    refused_rows_are_dead_letters_once(Manner::Prepared);
}

#[test]
fn rows_that_are_refused_when_they_are_committed_are_dead_letters_and_the_others_are_there_once() {
    refused_rows_are_dead_letters_once(Manner::Committed);
}

/// More than the share that may go to the dead letters: a person looks at it before the topic is emptied.
#[test]
fn a_destination_that_refuses_everything_parks_its_lane() {
    let mut site = Site::new(Manner::Everything);
    site.produce(0..10_000);
    let worker = site.start();
    wait_until("the lane to park", LIMIT, || {
        assert!(worker.is_alive(), "{}", worker.log());
        worker.log().contains("parked for too-many-rejects")
    });
    worker.kill();
    assert_eq!(site.letters(), []);
    assert!(site.delivered().is_empty());
}
