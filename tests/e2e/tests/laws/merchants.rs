use crate::fleet::Fleet;
use outflow_e2e::{
    Census, Connector, Daemon, Due, Lake, Merchant, Producer, Record, Site, alone, dues, ends, produce, produce_with,
    records,
};
use outflow_rig::{Kafka, wait_until};
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const DELIVERED: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(300);
const BRISK: &str = "{ rows: 5000, bytes: 4MiB, age: 1s }";
/// The largest merchant of the demo, and some of the next ones.
const FIRST: u32 = 1001;

fn number_of(name: &str, default: u32) -> u32 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn key(record: &Record) -> String {
    String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned()
}

/// One connector whose records' keys are merchants, and the place below which each of them has his own.
fn site(name: &str, kafka: &Kafka) -> (Site, Lake) {
    kafka.create_topic(name, 8, &[]);
    let site = Site::new(name, kafka);
    let root = Lake::Folder(site.folder().join("lake"));
    site.configure(&Connector { flush: BRISK.into(), ..Connector::routed(name, name, "{ key: true }") });
    (site, root)
}

fn place(root: &Lake, merchant: impl ToString) -> Lake {
    root.below(&merchant.to_string())
}

/// Each in a file of his own, and delivered below `root`.
fn publish(site: &Site, connector: &str, root: &Lake, merchants: impl IntoIterator<Item = u32>) {
    for merchant in merchants {
        let own = Merchant::new(merchant).delivered(connector, &place(root, merchant), "");
        site.merchant(&merchant.to_string(), &own);
    }
}

/// Until all of this is there; answers how long that took. Looks once more for what is there too much.
fn wait_settled(root: &Lake, dues: &[Due]) -> Duration {
    let started = Instant::now();
    loop {
        let census = Census::take(root, dues);
        if census.missing == 0 || started.elapsed() > DELIVERED {
            census.assert_settled();
            return started.elapsed();
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn wait_lag_zero(fleet: &mut Fleet, connector: &str) -> Duration {
    let started = Instant::now();
    wait_until("lag 0", DELIVERED, || {
        fleet.revive();
        fleet.lag(connector) == (4, 0)
    });
    started.elapsed()
}

fn wait_logged(worker: &Daemon, words: &str) {
    wait_until(&format!("{words:?} in the log"), Duration::from_secs(20), || worker.log().contains(words));
}

/// Merchants whose destination cannot be made: a file stands where a folder must be.
struct Dead<'a> {
    root: &'a Lake,
    merchants: Vec<u32>,
}

impl Dead<'_> {
    fn kill(&self) {
        let Lake::Folder(root) = self.root else { return };
        fs::create_dir_all(root).expect("our own folder can be written");
        for merchant in &self.merchants {
            fs::write(root.join(merchant.to_string()), "in the way").expect("our own folder can be written");
        }
    }

    fn mend(&self) {
        let Lake::Folder(root) = self.root else { return };
        for merchant in &self.merchants {
            fs::remove_file(root.join(merchant.to_string())).expect("nobody else takes it away");
        }
    }
}

/// `OUTFLOW_MERCHANTS` says how many there are: ten thousand, where there is time.
#[test]
fn every_merchant_gets_its_own_rows_once_over_kills_of_workers_and_dead_destinations() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let merchants = number_of("OUTFLOW_MERCHANTS", 1_000);
    let events = u64::from(number_of("OUTFLOW_EVENTS", 100_000));
    let per_second = u64::from(number_of("OUTFLOW_RATE", 5_000));
    let (site, root) = site("many", kafka);
    let list: String = (FIRST..FIRST + merchants).map(|id| format!("{id},shop {id}\n")).collect();
    site.write("merchants/list.csv", &format!("id,name\n{list}"));
    let own = place(&root, "${row:id}").below("lake");
    site.merchant("all", &Merchant::each_of("list.csv", "${row:id}").delivered("many", &own, "flush: { age: 2s }"));
    let dead = Dead { root: &root, merchants: (FIRST..FIRST + merchants).skip(3).step_by(10).collect() };
    dead.kill();
    let started = Instant::now();
    let mut fleet = Fleet::of(site, root.clone(), 2);
    let producer = Producer::start_with(kafka, "many", per_second, merchants);
    let flowing = fleet.wait_flowing(|| ());
    for kill in 1..=4 {
        wait_until("events", DELIVERED, || producer.sent() >= events * kill / 5);
        fleet.kill(kill as usize % 2);
        fleet.start(kill as usize % 2);
        if kill == 2 {
            dead.mend();
        }
    }
    wait_until("events", DELIVERED, || producer.sent() >= events);
    let produced = producer.stop();
    println!("flowing after {flowing:?}, produced {produced} after {:?}", started.elapsed());
    let took = wait_lag_zero(&mut fleet, "many");
    println!("caught up {took:?} after the last event");
    let dues = dues(kafka, "many", |record| Some(key(record)));
    assert_eq!(dues.len() as u64, produced);
    let settled = wait_settled(&root, &dues);
    fleet.drain_all();
    let census = Census::take(&root, &dues);
    census.assert_settled();
    println!("{merchants} merchants, {} dead for half of the time, {census:?}, {settled:?}", dead.merchants.len());
    a_restart_finds_everything_settled(&mut fleet, &dues, &census);
    println!("{:?} in all", started.elapsed());
}

/// Nothing is owed, nothing is delivered again, and what an owner has to read is small.
fn a_restart_finds_everything_settled(fleet: &mut Fleet, dues: &[Due], before: &Census) {
    fleet.add();
    let started = Instant::now();
    let took = wait_lag_zero(fleet, "many");
    let settled = started.elapsed();
    thread::sleep(Duration::from_secs(2));
    let log = fleet.logs().concat();
    let read: Vec<u64> = log.split("recovery_bytes=").skip(1).filter_map(number_in_front).collect();
    println!("a restart was settled after {settled:?} ({took:?}) and read {read:?} bytes");
    assert!(read.iter().sum::<u64>() < 8 << 20, "an owner reads {read:?} bytes");
    let rows = fleet.visible("many");
    fleet.drain_all();
    let after = Census::take(&fleet.lake, dues);
    after.assert_settled();
    assert_eq!((after.files, rows), (before.files, 0), "something was delivered again");
}

fn number_in_front(text: &str) -> Option<u64> {
    text.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

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
    let begins = begins(&late);
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
        let is_his = begins.get(&record.partition).is_some_and(|begin| record.offset >= *begin)
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
    let oldest = begins_of(&moved);
    assert!(late.offsets().iter().all(|(partition, offset)| oldest.get(partition).is_none_or(|from| offset < from)));
    println!("{produced} events; the neighbour's longest pause was {:?}", neighbour.longest);
    assert!(neighbour.longest < Duration::from_secs(5), "the neighbour was disturbed for {:?}", neighbour.longest);
}

use begins as begins_of;

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

/// Where a dead letter came from.
fn origin(letter: &Record) -> (i32, i64) {
    let number = |name: &str| letter.headers.get(name).and_then(|text| text.parse::<i64>().ok());
    let partition = number("__connect.errors.partition").expect("Connect's header");
    (partition as i32, number("__connect.errors.offset").expect("Connect's header"))
}

#[test]
fn rows_of_unknown_merchants_are_dropped_dead_lettered_or_sent_to_the_default_lane() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let topic = "unknown";
    kafka.create_topic(topic, 4, &[]);
    let site = Site::new(topic, kafka);
    let roots = ["drop", "dead_letter", "default"].map(|name| (name, Lake::Folder(site.folder().join(name))));
    for (unknown, root) in &roots {
        let mut connector = Connector::routed(unknown, topic, "{ key: true }");
        (connector.flush, connector.dead_letters) = (BRISK.into(), Some(format!("unknown.{unknown}.dead")));
        connector.more.push(format!("unknown_merchants: {unknown}"));
        connector.sink = (*unknown == "default").then(|| root.below("default").sink());
        site.configure(&connector);
    }
    let known = FIRST..FIRST + 20;
    for id in known.clone() {
        let deliver = |own: Merchant, (name, root): &(&str, Lake)| own.delivered(name, &place(root, id), "");
        site.merchant(&id.to_string(), &roots.iter().fold(Merchant::new(id), deliver));
    }
    produce(kafka, topic, 0..10_000);
    let worker = site.start("worker", &["instance_id: first"]);
    wait_until("some rows", DELIVERED, || roots[2].1.files() > 10);
    worker.kill();
    produce(kafka, topic, 10_000..15_000);
    let worker = site.start("worker", &["instance_id: first"]);
    let is_known = |record: &Record| known.contains(&key(record).parse().expect("merchants are numbers"));
    let mine = dues(kafka, topic, |record| is_known(record).then(|| key(record)));
    let all = dues(kafka, topic, |record| Some(if is_known(record) { key(record) } else { "default".into() }));
    let unknown: BTreeSet<(i32, i64)> =
        all.iter().filter(|due| due.place == "default").map(|due| (due.partition, due.offset)).collect();
    for (name, root) in &roots {
        wait_settled(root, if *name == "default" { &all } else { &mine });
    }
    wait_until("all dead letters", DELIVERED, || records(kafka, "unknown.dead_letter.dead").len() >= unknown.len());
    worker.drain();
    for (name, root) in &roots {
        Census::take(root, if *name == "default" { &all } else { &mine }).assert_settled();
    }
    let letters: Vec<(i32, i64)> = records(kafka, "unknown.dead_letter.dead").iter().map(origin).collect();
    assert_eq!(letters.len(), unknown.len(), "a dead letter came twice or not at all");
    assert_eq!(letters.into_iter().collect::<BTreeSet<_>>(), unknown);
    assert!(records(kafka, "unknown.drop.dead").is_empty() && records(kafka, "unknown.default.dead").is_empty());
    println!("{} rows of merchants, {} of nobody", mine.len(), unknown.len());
}

fn second_of_minute() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() % 60)
}

#[test]
fn a_scheduled_merchant_is_delivered_in_passes() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let (site, root) = site("passes", kafka);
    publish(&site, "passes", &root, [FIRST]);
    let [slow, live] = [FIRST + 1, FIRST].map(|id| place(&root, id));
    site.merchant("slow", &Merchant::new(FIRST + 1).delivered("passes", &slow, "schedule: 1m"));
    // There must be time to see that nothing comes before the minute is full.
    wait_until("a minute that is not nearly over", DELIVERED, || second_of_minute() < 40);
    produce(kafka, "passes", 0..5_000);
    let worker = site.start("worker", &[]);
    let dues = |id: u32| move |record: &Record| (key(record) == id.to_string()).then(|| key(record));
    let own = outflow_e2e::dues(kafka, "passes", dues(FIRST));
    wait_settled(&root, &own);
    if second_of_minute() > 40 {
        assert_eq!(slow.files(), 0, "a scheduled merchant's rows came before the minute was full");
    }
    let started = Instant::now();
    wait_until("the pass", DELIVERED, || slow.files() > 0);
    let second = second_of_minute();
    println!("the pass came after {:?}, in second {second} of the minute", started.elapsed());
    let both = |record: &Record| dues(FIRST)(record).or_else(|| dues(FIRST + 1)(record));
    let all = outflow_e2e::dues(kafka, "passes", both);
    wait_settled(&root, &all);
    produce(kafka, "passes", 5_000..6_000);
    let more = outflow_e2e::dues(kafka, "passes", dues(FIRST));
    wait_until("live rows", DELIVERED, || live.offsets().len() >= more.len());
    worker.drain();
    // What came after the pass waits for the next one.
    let more: Vec<Due> = more.into_iter().chain(all.into_iter().filter(|due| due.place != FIRST.to_string())).collect();
    Census::take(&root, &more).assert_settled();
}

/// A column of every row, as text.
fn column(lake: &Lake, name: &str) -> Vec<String> {
    lake.texts(name)
}

#[test]
fn a_merchant_by_header_or_by_json_path_and_only_some_event_types() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let topic = "shapes";
    kafka.create_topic(topic, 4, &[]);
    let site = Site::new(topic, kafka);
    let roots = [("header", "{ header: shop }"), ("path", "{ path: store_id }")];
    let roots = roots.map(|(name, key)| (name, key, Lake::Folder(site.folder().join(name))));
    for (name, key, _) in &roots {
        let mut connector = Connector::routed(name, topic, key);
        connector.flush = BRISK.into();
        connector.columns.push("{ name: event_type, type: VARCHAR }".into());
        connector.columns.push("{ name: geo, type: \"STRUCT<country VARCHAR, city VARCHAR>\" }".into());
        site.configure(&connector);
    }
    let more = "only: { path: event_type, in: [order_created, page_view] }, without: [created_at, geo.city], \
                hash: [event_id]";
    for (id, more) in [(FIRST, more), (FIRST + 1, "")] {
        let deliver = |own: Merchant, (name, _, root): &(&str, &str, Lake)| own.delivered(name, &place(root, id), more);
        site.merchant(&id.to_string(), &roots.iter().fold(Merchant::new(id), deliver));
    }
    // The header names the next merchant: who looks at the key or into the record gets another one.
    produce_with(kafka, topic, 0..6_000, |key| {
        let next: u32 = String::from_utf8_lossy(key).parse().expect("merchants are numbers");
        OwnedHeaders::new().insert(Header { key: "shop", value: Some(&(next + 1).to_string()) })
    });
    let worker = site.start("worker", &[]);
    let event = |record: &Record| -> Value {
        serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("our own")
    };
    let is_wanted = |id: &str, record: &Record| {
        id == (FIRST + 1).to_string()
            || id == FIRST.to_string()
                && ["order_created", "page_view"].iter().any(|kind| event(record)["event_type"] == *kind)
    };
    let by_path = dues(kafka, topic, |record| Some(key(record)).filter(|id| is_wanted(id, record)));
    let by_header = dues(kafka, topic, |record| {
        let id = record.headers.get("shop").cloned();
        id.filter(|id| is_wanted(id, record))
    });
    assert!(!by_header.is_empty() && by_path.len() > 500);
    let [(_, _, header), (_, _, path)] = &roots;
    wait_settled(path, &by_path);
    wait_strangers(header, &by_header);
    worker.drain();
    Census::take(path, &by_path).assert_settled();
    let [chosen, whole] = [FIRST, FIRST + 1].map(|id| place(path, id));
    let ids = column(&chosen, "event_id");
    assert!(
        ids.iter().all(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())),
        "{:?}",
        ids.first()
    );
    assert!(column(&whole, "event_id").iter().all(|id| id.contains('-')), "nobody asked for this to be hashed");
    let (less, more) = (chosen.columns(), whole.columns());
    println!("{less:?} of {more:?}");
    assert!(more.contains(&"created_at".to_owned()) && !less.contains(&"created_at".to_owned()));
    let geo = column(&chosen, "geo");
    assert!(geo.iter().any(|geo| geo.contains("country")) && geo.iter().all(|geo| !geo.contains("city")));
    // What was left out is not unknown either.
    assert!(column(&chosen, "_unknown").iter().all(|rest| !rest.contains("created_at") && !rest.contains("\"geo\"")));
}

/// By a header that names somebody else than the record itself does: the place is the header's.
fn wait_strangers(root: &Lake, dues: &[Due]) {
    let mut census = Census::take(root, dues);
    let started = Instant::now();
    while census.missing > 0 && started.elapsed() < DELIVERED {
        thread::sleep(LOOK_EVERY);
        census = Census::take(root, dues);
    }
    assert_eq!([census.missing, census.doubled, census.foreign], [0; 3], "{census:?}");
    assert_eq!(census.strange, census.rows, "the record's own merchant was asked: {census:?}");
}

/// Numbers of this merchant's events.
fn numbers_of(kafka: &Kafka, topic: &str, merchant: u32) -> BTreeSet<i64> {
    let mut numbers = BTreeSet::new();
    outflow_e2e::each_record(kafka, topic, |record| {
        if key(&record) == merchant.to_string() {
            let event: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("our own");
            numbers.extend(event["number"].as_i64());
        }
    });
    numbers
}

/// Events, chunk by chunk, and merchants' rows of them.
struct Chunks<'a> {
    kafka: &'a Kafka,
    topic: &'a str,
    next: u64,
}

impl Chunks<'_> {
    /// Answers the numbers of the chunk.
    fn produce(&mut self, count: u64) -> std::ops::Range<i64> {
        let from = self.next;
        self.next += count;
        produce(self.kafka, self.topic, from..self.next);
        from as i64..self.next as i64
    }

    /// Waits until all of this merchant's rows of everything are there.
    fn wait_all(&self, merchant: u32, lake: &Lake) {
        let expected = numbers_of(self.kafka, self.topic, merchant);
        wait_until("all rows of a merchant", DELIVERED, || lake.numbers().len() >= expected.len());
        let mut numbers = lake.numbers();
        numbers.sort_unstable();
        assert_eq!(numbers, expected.into_iter().collect::<Vec<_>>(), "{merchant} has other rows");
    }
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

#[test]
fn a_schedule_that_changes_loses_and_doubles_nothing() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let (site, root) = site("schedules", kafka);
    let mut chunks = Chunks { kafka, topic: "schedules", next: 0 };
    let [steady, his] = [FIRST, FIRST + 1].map(|id| place(&root, id));
    let schedule = |more: &str| site.merchant("his", &Merchant::new(FIRST + 1).delivered("schedules", &his, more));
    publish(&site, "schedules", &root, [FIRST]);
    schedule("start: earliest");
    chunks.produce(3_000);
    let worker = site.start("worker", &[]);
    chunks.wait_all(FIRST + 1, &his);
    schedule("start: earliest, schedule: 1m");
    let published = |count| worker.log().matches("configuration published").count() >= count;
    wait_until("the schedule", DELIVERED, || published(2));
    wait_until("rows to wait for a pass", DELIVERED, || {
        let chunk = chunks.produce(300);
        chunks.wait_all(FIRST, &steady);
        !his.numbers().iter().any(|number| chunk.contains(number))
    });
    chunks.produce(1_000);
    chunks.wait_all(FIRST + 1, &his);
    chunks.produce(1_000);
    // Rows of before the change are the old schedule's still, and come with its next pass.
    schedule("start: earliest");
    wait_until("live rows", DELIVERED, || published(3));
    chunks.produce(1_000);
    worker.kill();
    let worker = site.start("worker", &[]);
    chunks.wait_all(FIRST + 1, &his);
    worker.drain();
    [(FIRST, &steady), (FIRST + 1, &his)].iter().for_each(|(id, lake)| chunks.wait_all(*id, lake));
}
