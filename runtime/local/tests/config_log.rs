//! The config log's laws, against a folder.

use outflow_api::{Cluster, ConfigLog, ConfigRevision, Forgotten, Publication, Revision};
use outflow_conformance::config_log::{self, Harness, done, entry, read_until_current, read_up_to, revision, sample};
use outflow_local::LocalCluster;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("config/log")
    }
}

/// By a cluster of its own, so that nothing is shared in memory.
fn open(folder: &Path) -> Box<dyn ConfigLog> {
    LocalCluster::open(folder, 1).expect("opens").config_log().expect("opens")
}

impl Harness for Folder {
    fn open(&self) -> Box<dyn ConfigLog> {
        open(self.0.path())
    }

    /// Written elsewhere, then put here without its last bytes.
    fn die_within(&self, revision: &ConfigRevision) -> bool {
        let elsewhere = Folder::new();
        let mut log = elsewhere.open();
        fs::copy(self.log(), elsewhere.log()).expect("copied");
        done(&mut *log, revision);
        let bytes = fs::read(elsewhere.log()).expect("readable");
        fs::write(self.log(), &bytes[..bytes.len() - 1_000]).expect("writable");
        true
    }
}

#[test]
fn a_folder_keeps_every_law_of_a_config_log() {
    for (name, law) in config_log::laws() {
        println!("{name}");
        law(&Folder::new());
    }
}

/// Threads of one process wake one another.
struct OneProcess(LocalCluster);

impl Harness for OneProcess {
    fn open(&self) -> Box<dyn ConfigLog> {
        self.0.config_log().expect("opens")
    }
}

#[test]
fn threads_of_one_process_keep_every_law() {
    for (name, law) in config_log::laws() {
        println!("{name}");
        let folder = tempfile::tempdir().expect("a folder");
        law(&OneProcess(LocalCluster::open(folder.path(), 1).expect("opens")));
    }
}

#[test]
fn a_torn_end_is_cut_off_and_damage_is_not() {
    let folder = Folder::new();
    let mut log = folder.open();
    (1..=3).for_each(|number| done(&mut *log, &sample(number, "a")));
    let whole = fs::read(folder.log()).expect("readable");
    let last = whole.len() - 20;
    for cut in last..whole.len() {
        fs::write(folder.log(), &whole[..cut]).expect("written");
        let mut reader = folder.open();
        assert_eq!(read_until_current(&mut *reader), [sample(1, "a"), sample(2, "a")]);
        assert_eq!(reader.read(Duration::ZERO).expect("readable"), []);
        done(&mut *folder.open(), &sample(3, "b"));
        assert_eq!(read_up_to(&mut *reader, 3), [sample(3, "b")]);
    }
    for at in [0, 5, 30, whole.len() / 2] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(folder.log(), &damaged).expect("written");
        let fault = folder.open().read(Duration::ZERO).expect_err("damage is told");
        assert_eq!(fault.code, "config-damaged", "{fault}");
        let answer = folder.open().publish(&sample(2, "b"));
        assert!(matches!(&answer, Publication::Refused(fault) if fault.code == "config-damaged"), "{answer:?}");
        assert!(fs::read(folder.log()).expect("readable") == damaged, "nothing is cut off");
    }
}

#[test]
fn a_log_that_lost_what_was_read_is_told_with_numbers() {
    let folder = Folder::new();
    let mut log = folder.open();
    done(&mut *log, &sample(1, "a"));
    let first = fs::read(folder.log()).expect("readable");
    done(&mut *log, &sample(2, "a"));
    read_up_to(&mut *log, 2);
    fs::write(folder.log(), &first).expect("written");
    let fault = log.read(Duration::ZERO).expect_err("revision 2 was read already");
    assert_eq!(fault.code, "config-damaged");
    assert!(fault.hint.contains(&format!("at byte {}: it ended at byte", first.len())), "{fault}");
}

/// Whoever reads or publishes meanwhile holds the old file.
#[test]
fn the_file_shrinks_by_what_is_forgotten_and_who_had_it_open_goes_on() {
    let folder = Folder::new();
    let (mut log, mut other, mut reader) = (folder.open(), folder.open(), folder.open());
    let large = |number: u64| revision(number, vec![entry("lane/1", vec![number as u8; 10_000])]);
    (1..=20).for_each(|number| done(&mut *log, &large(number)));
    assert_eq!(read_up_to(&mut *reader, 20).len(), 20);
    read_up_to(&mut *other, 20);
    let before = fs::metadata(folder.log()).expect("it is there").len();
    let entries = (1..20).map(|number| (Revision(number), "lane/1".to_owned())).collect();
    let answer = log.forget(&Forgotten { until: Revision(20), entries });
    assert!(matches!(answer, Publication::Done), "{answer:?}");
    let after = fs::metadata(folder.log()).expect("it is there").len();
    assert!(after < before / 15, "{before} bytes became {after}");
    done(&mut *other, &large(21));
    done(&mut *log, &large(22));
    for log in [&mut reader, &mut other, &mut log] {
        assert!(read_up_to(&mut **log, 22).ends_with(&[large(21), large(22)]));
    }
    let left: Vec<usize> = config_log::published(&folder).iter().map(|revision| revision.entries.len()).collect();
    assert_eq!(left, [&[0; 19][..], &[1; 3][..]].concat());
}
