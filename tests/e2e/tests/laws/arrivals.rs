//! Merchants who come, move, go and come back while everything runs.

use crate::shops::{
    Chunks, DELIVERED, FIRST, LOOK_EVERY, key, numbers_of, place, publish, site, wait_logged, wait_settled,
};
use outflow_e2e::{Census, Lake, Merchant, Producer, Record, alone, dues, ends, produce};
use outflow_rig::{Kafka, S3, wait_until};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, thread,
    time::{Duration, Instant},
};

/// The first row of each partition tells where the merchant began; from there on he gets everything.
fn begins(lake: &Lake) -> BTreeMap<i32, i64> {
    let mut begins = BTreeMap::new();
    for (partition, offset) in lake.offsets() {
        begins.entry(partition).and_modify(|first: &mut i64| *first = offset.min(*first)).or_insert(offset);
    }
    begins
}

#[test]
fn a_new_merchant_is_live_within_5_seconds_and_disturbs_nobody() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let (site, root) = site("coming", kafka);
    let new = FIRST + 1;
    publish(&site, "coming", &root, (FIRST..FIRST + 40).filter(|id| *id != new));
    let worker = site.start("worker", &[]);
    let producer = Producer::start(kafka, "coming", 1_000);
    let (first, late) = (place(&root, FIRST), place(&root, new));
    wait_until("the first merchant's rows", DELIVERED, || first.files() > 2);
    let mut neighbour = Neighbour::new(&first);
    let before = ends(kafka, "coming");
    publish(&site, "coming", &root, [new]);
    let live = neighbour.wait("the new merchant's rows", || late.files() > 0);
    let after = ends(kafka, "coming");
    println!("a new merchant is live after {live:?}");
    assert!(live < Duration::from_secs(5), "{live:?}");
    for (partition, offset) in begins(&late) {
        let bounds = before[partition as usize]..after[partition as usize];
        assert!(bounds.contains(&offset), "he begins at {partition}/{offset}, not within {bounds:?}");
    }
    let began = begins(&late);
    let moved = place(&root, format!("{new}+moved"));
    site.merchant(&new.to_string(), &Merchant::new(new).delivered("coming", &moved, ""));
    let took = neighbour.wait("rows at the new place", || moved.files() > 1);
    println!("a changed merchant's rows are at the new place after {took:?}");
    let wrong = site.merchant("wrong", &Merchant::new(9_999).delivered("coming", &place(&root, 9_999), "shedule: 1m"));
    wait_logged(&worker, "shedule");
    assert!(worker.log().contains(wrong.to_str().expect("a plain path")), "the file is not named: {}", worker.log());
    let count = first.files();
    neighbour.wait("others to go on beside a wrong file", || first.files() > count + 2);
    fs::remove_file(site.folder().join(format!("merchants/{new}.yaml"))).expect("it was written");
    let gone = ends(kafka, "coming");
    thread::sleep(Duration::from_secs(5));
    let stopped = ends(kafka, "coming");
    let count = first.files();
    neighbour.wait("others to go on beside a removed one", || first.files() > count + 2);
    let produced = producer.stop();
    let settled = |record: &Record, last: &BTreeMap<i32, i64>| {
        let id: u32 = key(record).parse().expect("merchants are numbers");
        let is_his = began.get(&record.partition).is_some_and(|begin| record.offset >= *begin)
            && last.get(&record.partition).is_some_and(|last| record.offset <= *last);
        (id != new && id < FIRST + 40 || id == new && is_his).then(|| id.to_string())
    };
    let others = dues(kafka, "coming", |record| settled(record, &BTreeMap::new()));
    wait_until("all rows of the others", DELIVERED, || {
        thread::sleep(LOOK_EVERY);
        Census::take(&root, &others).missing == 0
    });
    worker.drain();
    let last: BTreeMap<i32, i64> =
        moved.offsets().into_iter().fold(BTreeMap::new(), |mut last, (partition, offset)| {
            last.entry(partition).and_modify(|known: &mut i64| *known = offset.max(*known)).or_insert(offset);
            last
        });
    let all = dues(kafka, "coming", |record| settled(record, &last));
    Census::take(&root, &all).assert_settled();
    for (partition, offset) in &last {
        let bounds = gone[*partition as usize] - 2_000..stopped[*partition as usize];
        assert!(bounds.contains(offset), "he ends at {partition}/{offset}, not within {bounds:?}");
    }
    let oldest = begins(&moved);
    assert!(late.offsets().iter().all(|(partition, offset)| oldest.get(partition).is_none_or(|from| offset < from)));
    println!("{produced} events; the neighbour's longest pause was {:?}", neighbour.longest);
    assert!(neighbour.longest < Duration::from_secs(5), "the neighbour was disturbed for {:?}", neighbour.longest);
}

/// A merchant who is always selling: how long do his files keep us waiting?
struct Neighbour {
    lake: Lake,
    files: usize,
    seen: Instant,
    longest: Duration,
}

impl Neighbour {
    fn new(lake: &Lake) -> Neighbour {
        Neighbour { lake: lake.clone(), files: lake.files(), seen: Instant::now(), longest: Duration::ZERO }
    }

    fn wait(&mut self, what: &str, mut done: impl FnMut() -> bool) -> Duration {
        let started = Instant::now();
        self.seen = started;
        wait_until(what, Duration::from_secs(30), || {
            let files = self.lake.files();
            if files > self.files {
                (self.files, self.seen) = (files, Instant::now());
            }
            self.longest = self.longest.max(self.seen.elapsed());
            done()
        });
        started.elapsed()
    }
}

#[test]
fn a_new_merchant_with_history_gets_all_its_rows_from_the_start_of_the_topic_once() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let (site, root) = site("history", kafka);
    publish(&site, "history", &root, FIRST + 10..FIRST + 20);
    produce(kafka, "history", 0..40_000);
    let worker = site.start("worker", &["instance_id: first"]);
    let neighbour = place(&root, FIRST + 10);
    wait_until("the first rows", DELIVERED, || neighbour.files() > 0);
    let late: Vec<u32> = (FIRST..FIRST + 4).collect();
    for id in &late {
        let more = "start: earliest, flush: { rows: 200 }";
        site.merchant(&id.to_string(), &Merchant::new(id).delivered("history", &place(&root, id), more));
    }
    let started = Instant::now();
    wait_until("some history", DELIVERED, || place(&root, FIRST).files() > 2);
    let first = started.elapsed();
    worker.kill();
    produce(kafka, "history", 40_000..42_000);
    let worker = site.start("worker", &["instance_id: first"]);
    let dues = dues(kafka, "history", |record| {
        let id: u32 = key(record).parse().expect("merchants are numbers");
        (late.contains(&id) || (FIRST + 10..FIRST + 20).contains(&id)).then(|| id.to_string())
    });
    let took = wait_settled(&root, &dues);
    worker.drain();
    let census = Census::take(&root, &dues);
    census.assert_settled();
    println!("history began after {first:?}, all of it was there {took:?} after a kill: {census:?}");
}

/// His history is read while his store is away; others' buckets are on the same server.
#[test]
fn merchants_with_buckets_of_their_own_get_every_row_once_though_the_store_dies() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let mut s3 = S3::start(folder.path());
    s3.create_bucket("shops");
    let (site, _) = site("buckets", kafka);
    let root = Lake::bucket(&s3, "shops");
    publish(&site, "buckets", &root, FIRST + 1..FIRST + 6);
    produce(kafka, "buckets", 0..5_000);
    let worker = site.start("worker", &["instance_id: first"]);
    wait_until("the first rows", DELIVERED, || !place(&root, FIRST + 1).offsets().is_empty());
    s3.kill();
    let first = Merchant::new(FIRST).delivered("buckets", &place(&root, FIRST), "start: earliest");
    site.merchant("first", &first);
    produce(kafka, "buckets", 5_000..8_000);
    wait_logged(&worker, "configuration published revision=2");
    worker.kill();
    let worker = site.start("worker", &["instance_id: first"]);
    worker.wait_owning();
    s3.restart();
    let dues = dues(kafka, "buckets", |record| {
        let id: u32 = key(record).parse().expect("merchants are numbers");
        (FIRST..FIRST + 6).contains(&id).then(|| id.to_string())
    });
    let took = wait_settled(&root, &dues);
    worker.drain();
    let census = Census::take(&root, &dues);
    census.assert_settled();
    println!("all of it was there {took:?} after the store came back: {census:?}");
}

/// The files are again what they were before he came: that is no old news.
#[test]
fn a_merchant_who_goes_and_comes_back_gets_no_row_twice_and_none_of_the_time_between() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let (site, root) = site("returning", kafka);
    publish(&site, "returning", &root, [FIRST]);
    let mut chunks = Chunks { kafka, topic: "returning", next: 0 };
    let [steady, his] = [FIRST, FIRST + 1].map(|id| place(&root, id));
    chunks.produce(4_000);
    let worker = site.start("worker", &[]);
    chunks.wait_all(FIRST, &steady);
    let own = Merchant::new(FIRST + 1).delivered("returning", &his, "start: earliest");
    let file = site.merchant("his", &own);
    chunks.wait_all(FIRST + 1, &his);
    let history = his.numbers().len();
    fs::remove_file(file).expect("it was written");
    wait_until("him to be gone", DELIVERED, || {
        let chunk = chunks.produce(300);
        chunks.wait_all(FIRST, &steady);
        !his.numbers().iter().any(|number| chunk.contains(number))
    });
    let between = chunks.produce(2_000);
    chunks.wait_all(FIRST, &steady);
    site.merchant("his", &own);
    wait_until("him to be back", DELIVERED, || {
        let chunk = chunks.produce(300);
        chunks.wait_all(FIRST, &steady);
        his.numbers().iter().any(|number| chunk.contains(number))
    });
    let after = chunks.produce(2_000);
    let expected = numbers_of(kafka, "returning", FIRST + 1).range(after.clone()).count();
    let held = |range: &std::ops::Range<i64>| his.numbers().iter().filter(|number| range.contains(number)).count();
    wait_until("his new rows", DELIVERED, || held(&after) >= expected);
    worker.drain();
    let numbers = his.numbers();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len(), "he has rows twice");
    assert_eq!((held(&(0..4_000)), held(&between), held(&after)), (history, 0, expected));
    chunks.wait_all(FIRST, &steady);
}
