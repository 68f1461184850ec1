//! What is left after kill -9, a torn write, and damage.

use bytes::Bytes;
use outflow_api::{
    AppendOutcome, BatchId, Cluster, DeadLetter, FeedId, Generation, Incarnation, Journal, LaneId, LaneRecord,
    LedgerEvent, LedgerRow, Offset, Parked, Recovered, Shard, SourceEvent, TopicId, TopicPartition, Track, Transaction,
};
use outflow_local::{LocalCluster, RecordToWrite};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const SHARD: Shard = Shard(1);
const CHILD: &str = "OUTFLOW_LOCAL_TEST_CHILD";
const KILLS: u64 = 15;

fn open(folder: &Path) -> LocalCluster {
    LocalCluster::open(folder, 2).expect("the folder opens")
}

/// Lanes 1 and 2 always say the same, one row of the ledger, one dead letter.
fn transaction(number: i64) -> Transaction {
    let partition = TopicPartition { topic: TopicId(7), partition: 0 };
    let next = BTreeMap::from([(partition, Offset(number))]);
    let record = Some(LaneRecord { next, ..LaneRecord::default() });
    let batch = BatchId {
        incarnation: Incarnation(1),
        shard: SHARD,
        generation: Generation(1),
        lane: LaneId(1),
        seq: u32::try_from(number).expect("small"),
    };
    let letter = DeadLetter {
        topic: "dead".to_owned(),
        timestamp_ms: 0,
        key: None,
        value: Some(Bytes::from(number.to_string())),
        headers: Vec::new(),
    };
    Transaction {
        lanes: vec![(LaneId(1), record.clone()), (LaneId(2), record)],
        floors: BTreeMap::from([(Track { feed: FeedId(0), partition }, Offset(number))]),
        ledger: vec![LedgerRow { batch, event: LedgerEvent::Revealed }],
        dead_letters: vec![letter],
        ..Transaction::default()
    }
}

fn number_of(found: &Recovered) -> i64 {
    let number = |lane| found.lanes.get(&LaneId(lane)).map(|record| record.next.values().next().expect("one").0);
    let floor = found.floors.values().next().map(|floor| floor.0);
    assert!(number(1) == number(2) && number(1) == floor, "half a transaction: {found:?}");
    floor.unwrap_or(0)
}

fn append(journal: &mut dyn Journal, number: i64) {
    let outcome = journal.append(&transaction(number));
    assert!(matches!(outcome, AppendOutcome::Done), "{outcome:?}");
}

fn values(cluster: &LocalCluster, topic: &str, partition: u32) -> Vec<i64> {
    let Ok(topic) = cluster.topic(topic) else { return Vec::new() };
    let mut source = cluster.source().expect("a source");
    let at = TopicPartition { topic: topic.info().id, partition };
    source.assign(&[(at, Offset::ZERO)]).expect("assigned");
    let mut values = Vec::new();
    loop {
        let mut events = Vec::new();
        source.poll(Duration::from_secs(10), &mut events).expect("polled");
        for event in events {
            match event {
                SourceEvent::Fetched { block, .. } => values.extend((0..block.len()).map(|row| {
                    let value = block.get(row).value.expect("a value");
                    std::str::from_utf8(value).expect("text").parse::<i64>().expect("a number")
                })),
                SourceEvent::AtEnd { .. } => return values,
                SourceEvent::Failed { fault, .. } => panic!("{fault}"),
            }
        }
    }
}

fn ledger(cluster: &LocalCluster) -> Vec<i64> {
    let mut numbers = Vec::new();
    let mut reader = cluster.ledger(SHARD).expect("the shard exists");
    reader.read(&mut |row| numbers.push(i64::from(row.batch.seq))).expect("readable");
    // One says where the ledger begins.
    numbers.retain(|number| *number > 0);
    numbers
}

/// Not a law: the process that the next test kills. It says each number that was answered Done.
#[test]
fn child_of_the_killer() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let cluster = open(Path::new(&folder));
    let _membership = cluster.membership().expect("the one before is dead");
    let topic = cluster.topic("events").expect("made by the parent");
    let mut journal = cluster.journal(SHARD).expect("the shard exists");
    let found = number_of(&journal.acquire().expect("acquired"));
    let mut out = std::io::stdout().lock();
    for number in found + 1.. {
        // Large enough that the log is written anew every few decisions.
        let hint = number.to_string().repeat(1 << 20)[..250 * 1024].to_owned();
        let parked = Some(Parked { code: "large".to_owned(), hint, held: false });
        let large = LaneRecord { parked, ..LaneRecord::default() };
        let mut transaction = transaction(number);
        transaction.lanes.extend((10..14).map(|lane| (LaneId(lane), Some(large.clone()))));
        let outcome = journal.append(&transaction);
        assert!(matches!(outcome, AppendOutcome::Done), "{outcome:?}");
        writeln!(out, "done {number}").expect("the parent listens");
        let text = number.to_string();
        let record = RecordToWrite { value: Some(text.as_bytes()), ..RecordToWrite::default() };
        topic.append(0, &[record]).expect("appended");
        writeln!(out, "appended {number}").expect("the parent listens");
    }
}

fn start_child(folder: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child_of_the_killer", "--nocapture"])
        .env(CHILD, folder)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts")
}

#[test]
fn whatever_a_killed_process_was_answered_is_there_once() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).create_topic("events", 1).expect("created");
    let (mut decided, mut appended) = (0, Vec::new());
    for kill in 1..=KILLS {
        let mut child = start_child(folder.path());
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut seen = 0;
        while let Some(Ok(line)) = lines.next() {
            let number = |what| line.split_once(what).and_then(|(_, number)| number.parse::<i64>().ok());
            decided = number("done ").unwrap_or(decided);
            appended.extend(number("appended "));
            seen += 1;
            if seen == kill * 7 % 41 + 4 {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("dead");
        let cluster = open(folder.path());
        drop(cluster.membership().expect("a dead process holds nothing"));
        let found = number_of(&cluster.journal(SHARD).expect("the shard").acquire().expect("acquired"));
        assert!(found == decided || found == decided + 1, "kill {kill}: {decided} was answered, {found} is there");
        decided = found;
        let all: Vec<i64> = (1..=found).collect();
        assert_eq!(ledger(&cluster), all, "the ledger after kill {kill}");
        assert_eq!(values(&cluster, "dead", SHARD.0), all, "the dead letters after kill {kill}");
        let events = values(&cluster, "events", 0);
        assert!(appended.iter().all(|number| events.contains(number)), "an answered record is gone after kill {kill}");
        appended = events;
    }
    assert!(decided > 60, "the child did next to nothing");
}

/// A folder with five decisions, and what each file was after each.
fn five_decisions(folder: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let cluster = open(folder);
    let mut journal = cluster.journal(SHARD).expect("the shard");
    journal.acquire().expect("acquired");
    let read =
        || ["journal.log", "ledger.log"].map(|name| fs::read(folder.join("journal/1").join(name)).expect("there"));
    let mut states = vec![read().into()];
    for number in 1..=5 {
        append(&mut *journal, number);
        states.push(read().into());
    }
    states
}

fn recover_from(folder: &Path, log: &[u8], ledger_file: &[u8]) -> Result<(i64, LocalCluster), outflow_api::Fault> {
    fs::write(folder.join("journal/1/journal.log"), log).expect("written");
    fs::write(folder.join("journal/1/ledger.log"), ledger_file).expect("written");
    let cluster = open(folder);
    let found = cluster.journal(SHARD)?.acquire()?;
    Ok((number_of(&found), cluster))
}

#[test]
fn a_log_cut_at_any_byte_loses_only_what_was_never_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let states = five_decisions(folder.path());
    let sizes: Vec<usize> = states.iter().map(|(log, _)| log.len()).collect();
    let (log, ledger_file) = states.last().expect("six");
    for cut in sizes[0]..=log.len() {
        let whole = sizes.iter().filter(|size| **size <= cut).count() as i64 - 1;
        // The ledger was not synced: any part of it may be left.
        let left = if cut % 2 == 0 { &ledger_file[..0] } else { &states[whole as usize].1[..] };
        let (found, cluster) = recover_from(folder.path(), &log[..cut], left).expect("a torn end is no damage");
        assert_eq!(found, whole, "cut at {cut}");
        assert_eq!(ledger(&cluster), (1..=whole).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[test]
fn dead_letters_that_were_decided_and_not_sent_are_sent_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let states = five_decisions(folder.path());
    let cluster = open(folder.path());
    let topic = cluster.topic("dead").expect("made by the decisions");
    let dead = fs::read_dir(folder.path().join("topics/dead/1")).expect("a partition");
    let segment = dead.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some()).expect("a segment");
    let all = fs::read(&segment).expect("readable");
    let last_frame = all.len() / 5;
    assert_eq!(topic.bounds(1).expect("readable").next, Offset(5));
    drop((topic, cluster));
    let (log, ledger_file) = states.last().expect("six");
    for left in [all.len(), all.len() - 1, all.len() - last_frame / 2, all.len() - last_frame] {
        fs::write(&segment, &all[..left]).expect("written");
        for _ in 0..2 {
            let (_, cluster) = recover_from(folder.path(), log, ledger_file).expect("recovers");
            assert_eq!(values(&cluster, "dead", 1), [1, 2, 3, 4, 5], "{left} of {} bytes were left", all.len());
        }
    }
}

#[test]
fn damage_before_the_last_write_halts_and_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let states = five_decisions(folder.path());
    let (log, ledger_file) = states.last().expect("six");
    let before_last = states[4].0.len();
    for at in (0..before_last).step_by(3) {
        let mut damaged = log.clone();
        damaged[at] ^= 0x10;
        let fault = recover_from(folder.path(), &damaged, ledger_file).err().expect("damage is never passed over");
        assert_eq!((fault.code, fault.verdict), ("journal-damaged", outflow_api::Verdict::Halt), "byte {at}: {fault}");
        assert!(fault.hint.contains("journal.log") && fault.hint.contains("byte"), "{fault}");
    }
}

#[test]
fn a_process_whose_shard_was_taken_is_fenced() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = open(folder.path());
    cluster.create_topic("events", 1).expect("created");
    let mut child = start_child(folder.path());
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let decided = lines.by_ref().flatten().find(|line| line.contains("done 5")).expect("five decisions");
    assert!(decided.ends_with("done 5"));

    let fault = cluster.membership().err().expect("the child holds the folder");
    assert_eq!(fault.code, "folder-in-use");
    assert!(fault.hint.contains(&format!("process {} ", child.id())), "{fault}");

    let mut journal = cluster.journal(SHARD).expect("the shard");
    let found = number_of(&journal.acquire().expect("acquired"));
    lines.for_each(drop);
    let ended = child.wait_with_output().expect("it ends by itself");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && said.contains("Fenced"), "{said}");
    append(&mut *journal, found + 1);
    assert_eq!(number_of(&open(folder.path()).journal(SHARD).expect("it").acquire().expect("acquired")), found + 1);
    assert_eq!(ledger(&cluster), (1..=found + 1).collect::<Vec<_>>());
}

#[test]
fn a_journal_that_vanished_beside_its_ledger_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    five_decisions(folder.path());
    fs::remove_file(folder.path().join("journal/1/journal.log")).expect("removed");
    let fault = open(folder.path()).journal(SHARD).expect("the shard").acquire().expect_err("nothing is known");
    assert_eq!(fault.code, "journal-missing");
}
