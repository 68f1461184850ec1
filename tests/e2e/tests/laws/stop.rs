use outflow_e2e::{Connector, Lake, Site, alone};
use outflow_rig::Kafka;
use std::{thread, time::Duration};

#[test]
fn a_worker_that_is_told_to_stop_while_it_starts_stops() {
    let _turn = alone();
    let kafka = Kafka::shared();
    kafka.create_topic("stopped", 4, &[]);
    let site = Site::new("stop", kafka);
    site.configure(&Connector::new("stopped", "stopped", &Lake::Folder(site.folder().join("lake"))));
    let other = site.start("other", &[]);
    other.wait_owning();
    for step in 0..12 {
        let lines: &[&str] = if step % 2 == 0 { &["instance_id: first"] } else { &[] };
        let worker = site.start("worker", lines);
        outflow_rig::wait_until("it to listen", Duration::from_secs(30), || worker.log().contains("listening"));
        thread::sleep(Duration::from_millis(step * 100));
        let log = worker.drain();
        assert!(!log.contains("ERROR"), "{log}");
    }
    other.drain();
}
