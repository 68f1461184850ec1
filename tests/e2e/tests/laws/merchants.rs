use crate::{
    fleet::Fleet,
    shops::{DELIVERED, FIRST, key, place, site, wait_settled},
};
use outflow_e2e::{Census, Due, Lake, Merchant, Producer, alone, dues};
use outflow_rig::{Kafka, wait_until};
use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

fn number_of(name: &str, default: u32) -> u32 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn wait_lag_zero(fleet: &mut Fleet, connector: &str) -> Duration {
    let started = Instant::now();
    wait_until("lag 0", DELIVERED, || {
        fleet.revive();
        fleet.lag(connector) == (4, 0)
    });
    started.elapsed()
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
