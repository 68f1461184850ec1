use outflow_e2e::{Connector, Daemon, Lake, Site, alone, committed_offsets, produce};
use outflow_rig::{Kafka, wait_until};
use std::{collections::BTreeMap, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);

/// Waits until it has ended by itself; answers its log.
fn ended(command: Daemon) -> String {
    wait_until("the program to end", LIMIT, || !command.is_alive());
    command.log()
}

fn delivered(lake: &Lake) -> BTreeMap<i64, u64> {
    let mut numbers = BTreeMap::new();
    lake.numbers().into_iter().for_each(|number| *numbers.entry(number).or_default() += 1);
    numbers
}

#[test]
fn a_lost_journal_is_refused_and_a_backup_lets_the_group_go_on_with_what_came_since_delivered_again() {
    let _turn = alone();
    let kafka = Kafka::shared();
    kafka.create_topic("saved", 4, &[]);
    produce(kafka, "saved", 0..1_000);
    let site = Site::new("saved", kafka);
    let lake = Lake::Folder(site.folder().join("lake"));
    site.configure(&Connector::new("saved", "saved", &lake));
    let saved = site.folder().join("saved.backup").display().to_string();
    let worker = site.start("worker", &[]);
    wait_until("the first thousand", LIMIT, || lake.count(1_000).rows >= 1_000);
    // By which it is known later that the journal was lost.
    wait_until("positions for people", LIMIT, || {
        committed_offsets(kafka, "connect-saved", "saved").iter().any(|offset| *offset > 0)
    });
    let log = ended(site.command(&["backup", &saved]));
    assert!(log.contains("journals of 4 of 4 shards"), "{log}");
    produce(kafka, "saved", 1_000..1_500);
    wait_until("what comes behind the backup", LIMIT, || lake.count(1_500).rows >= 1_500);
    let log = ended(site.command(&["restore", &saved]));
    assert!(log.contains("is in the group"), "{log}");
    worker.drain();
    let mut log = String::new();
    wait_until("the group to forget its worker", LIMIT, || {
        log = ended(site.command(&["restore", &saved]));
        !log.contains("is in the group")
    });
    assert!(log.contains("not empty"), "{log}");
    ["saved-journal", "saved-config"].iter().for_each(|topic| kafka.delete_topic(topic));
    let log = ended(site.start("lost", &[]));
    assert!(log.contains("journal-lost") && log.contains("outflow restore"), "{log}");
    let log = ended(site.command(&["restore", &saved]));
    assert!(log.contains("start the workers"), "{log}");
    produce(kafka, "saved", 1_500..2_000);
    let worker = site.start("again", &[]);
    let wanted = (0..2_000).map(|number| (number, if (1_000..1_500).contains(&number) { 2 } else { 1 })).collect();
    wait_until("each once, and what came since twice", LIMIT, || delivered(&lake) == wanted);
    worker.drain();
    assert_eq!(delivered(&lake), wanted);
}
