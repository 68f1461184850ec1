use crate::shops::{BRISK, DELIVERED, FIRST, key};
use outflow_e2e::{Connector, Daemon, Merchant, Producer, Record, Site, Warehouse, alone, each_record};
use outflow_rig::{Kafka, Postgres, wait_until};
use serde_json::Value;
use std::collections::BTreeMap;

const TOPIC: &str = "warehouses";
const MERCHANTS: u32 = 8;
const PER_SECOND: u64 = 600;
const KILLS: usize = 6;
/// Of one user at once.
const CALLS: i64 = 2;

/// The platform's own tables, all rows and the newest of each shop, and each merchant's.
struct World {
    server: Postgres,
    site: Site,
    own: Warehouse,
    newest: Warehouse,
    shops: BTreeMap<String, Warehouse>,
}

impl World {
    fn new(kafka: &Kafka, server: Postgres) -> World {
        kafka.create_topic(TOPIC, 4, &[]);
        let site = Site::new(TOPIC, kafka);
        let [own, newest] = ["platform", "newest"].map(|name| Warehouse::make(&server, &site, name));
        let brisk = |connector: Connector| Connector { flush: BRISK.into(), ..connector };
        site.configure(&brisk(Connector::into("own", TOPIC, own.sink())));
        let upsert = format!("{}, mode: upsert, key: [ store_id ], version: number", newest.sink());
        let mut connector = brisk(Connector::into("newest", TOPIC, upsert));
        connector.columns.push("{ name: store_id, type: BIGINT }".into());
        site.configure(&connector);
        site.configure(&brisk(Connector::routed("shops", TOPIC, "{ key: true }")));
        let shops = (FIRST..FIRST + MERCHANTS).map(|id| {
            let shop = Warehouse::make(&server, &site, &format!("shop {id}"));
            let merchant = Merchant::new(id).delivered_into("shops", &shop.sink(), "start: earliest");
            site.merchant(&id.to_string(), &merchant);
            (id.to_string(), shop)
        });
        World { shops: shops.collect(), server, site, own, newest }
    }

    fn start(&self) -> Daemon {
        let calls = format!("calls: {{ per_host: {}, per_credential: {CALLS} }}", 3 * CALLS);
        self.site.start("worker", &["instance_id: first", &calls])
    }

    fn set_password(&self, shop: &Warehouse, password: &str) {
        self.server.rows(Postgres::DATABASE, &format!("ALTER ROLE \"{}\" PASSWORD '{password}'", shop.name));
    }

    /// Until the platform and this shop have more rows than now; answers how many connections one user had at most.
    fn wait_flowing(&self, shop: &Warehouse) -> i64 {
        const CONNECTIONS: &str = "SELECT coalesce(max(count), 0) FROM (SELECT count(*) FROM pg_stat_activity \
                                   WHERE application_name = 'outflow' GROUP BY usename) AS users";
        let rows = || [&self.own, shop].map(|one| one.offsets(&self.server).len());
        let (before, mut connections) = (rows(), 0);
        wait_until("rows", DELIVERED, || {
            connections = connections.max(self.server.number(Postgres::DATABASE, CONNECTIONS));
            let now = rows();
            now[0] > before[0] && now[1] > before[1]
        });
        connections
    }

    /// By the databases' own SQL: each record once, and nowhere else.
    fn assert_settled(&self, records: &[Record]) {
        let due = |of: &dyn Fn(&&Record) -> bool| {
            let due = records.iter().filter(of).map(|record| (i64::from(record.partition), record.offset));
            let mut due: Vec<(i64, i64)> = due.collect();
            due.sort_unstable();
            due
        };
        assert!(self.own.offsets(&self.server) == due(&|_| true), "the platform's rows are others than the topic's");
        for (id, shop) in &self.shops {
            assert!(
                shop.offsets(&self.server) == due(&|record| key(record) == *id),
                "{id} has other rows than his own"
            );
        }
        let mut newest: BTreeMap<i64, i64> = BTreeMap::new();
        for record in records {
            let event: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("our own");
            let (store, number) = (event["store_id"].as_i64(), event["number"].as_i64());
            let newest = newest.entry(store.expect("each has a shop")).or_default();
            *newest = number.expect("each has a number").max(*newest);
        }
        let expected = newest.iter().map(|(id, number)| vec![Some(id.to_string()), Some(number.to_string())]);
        assert_eq!(self.newest.rows(&self.server, "store_id, number"), expected.collect::<Vec<_>>());
    }
}

#[test]
fn whatever_dies_every_table_of_platform_and_merchants_has_its_rows_once() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let mut world = World::new(kafka, Postgres::start(folder.path()));
    let [first, .., locked_out] = &world.shops.keys().cloned().collect::<Vec<_>>()[..] else { panic!("few shops") };
    world.set_password(&world.shops[locked_out], "another one");
    let producer = Producer::start_with(kafka, TOPIC, PER_SECOND, MERCHANTS);
    let mut worker = world.start();
    let connections = world.wait_flowing(&world.shops[first]);
    assert!(connections <= CALLS, "{connections} connections of one user");
    for kill in 1..=KILLS {
        worker.kill();
        if kill == KILLS / 2 {
            world.server.restart();
        }
        worker = world.start();
        world.wait_flowing(&world.shops[first]);
        if kill == KILLS / 2 {
            world.server.restart();
            world.wait_flowing(&world.shops[first]);
        }
    }
    let mut parked = Vec::new();
    wait_until("the lane to park", DELIVERED, || {
        parked = worker.parked("shops");
        !parked.is_empty()
    });
    println!("while one is locked out: {parked:?}");
    assert!(parked.iter().all(|(code, hint)| code == "not-accepted" && !hint.contains("secret of")), "{parked:?}");
    assert!(!worker.log().contains("secret of"), "a password is logged");
    assert_eq!(world.shops[locked_out].offsets(&world.server), []);
    world.wait_flowing(&world.shops[first]);
    world.set_password(&world.shops[locked_out], &format!("secret of shop {locked_out}"));
    let produced = producer.stop();
    let mut records = Vec::new();
    each_record(kafka, TOPIC, |record| records.push(record));
    assert_eq!(records.len() as u64, produced);
    let lag = |connector: &str| worker.status().map(|status| status["connectors"][connector]["lag_records"].clone());
    wait_until("lag 0", DELIVERED, || ["own", "newest", "shops"].iter().all(|one| lag(one) == Some(0.into())));
    world.assert_settled(&records);
    worker.drain();
    world.assert_settled(&records);
    println!("{produced} events, {KILLS} kills of the worker, 2 of the server, {connections} connections of one user");
}
