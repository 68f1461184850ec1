//! Journal and config log are lost, and a backup brings them back.

use crate::{ALL, site::Site};
use std::{fs, path::Path};

fn taken(site: &Site, args: &[&str]) -> String {
    let (is_done, told) = site.outflow(args);
    assert!(is_done, "{args:?}: {told}");
    told
}

fn refused(site: &Site, args: &[&str], words: &[&str]) {
    let (is_done, told) = site.outflow(args);
    assert!(!is_done, "{args:?} is taken: {told}");
    words.iter().for_each(|word| assert!(told.contains(word), "{word:?} is not in: {told}"));
}

fn lose(site: &Site, folders: &[&str]) {
    for folder in folders {
        fs::remove_dir_all(site.path().join("cluster").join(folder)).expect("it is there");
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).expect("a backup is text").lines().map(str::to_owned).collect()
}

#[test]
fn a_group_goes_on_from_a_backup_that_was_taken_while_it_ran_and_delivers_each_record_once() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    daemon.told(&["merchants", "pause", "1002"]);
    daemon.wait_state("1002", "paused");
    site.produce(&ALL, 0..10);
    ["1001", "1003"].iter().for_each(|id| site.wait_for(id, 0..10, 1));
    taken(&site, &["backup", "saved"]);
    daemon.kill();
    lose(&site, &["journal", "config"]);
    let told = taken(&site, &["restore", "saved"]);
    assert!(told.contains("delivered again") && told.contains("start the workers"), "{told}");
    site.produce(&ALL, 10..20);
    let daemon = site.start();
    ["1001", "1003"].iter().for_each(|id| site.wait_for(id, 0..20, 1));
    daemon.wait_state("1002", "paused");
    daemon.told(&["merchants", "resume", "1002"]);
    site.wait_for("1002", 0..20, 1);
    daemon.drain();
    ALL.iter().for_each(|id| site.wait_for(id, 0..20, 1));
}

#[test]
fn what_was_delivered_behind_the_backup_comes_again_and_nothing_before_it() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    site.produce(&ALL, 0..10);
    ALL.iter().for_each(|id| site.wait_for(id, 0..10, 1));
    daemon.drain();
    taken(&site, &["backup", "saved"]);
    let daemon = site.start();
    site.produce(&ALL, 10..20);
    ALL.iter().for_each(|id| site.wait_for(id, 0..20, 1));
    daemon.kill();
    lose(&site, &["journal", "config"]);
    taken(&site, &["restore", "saved"]);
    let daemon = site.start();
    site.produce(&ALL, 20..30);
    let wanted = (0..30).map(|number| (number, if (10..20).contains(&number) { 2 } else { 1 })).collect();
    outflow_rig::wait_until("what was delivered since", crate::site::LIMIT, || site.delivered("1001") == wanted);
    let missing = daemon.told(&["merchants", "replay", "1001", "--from", "earliest", "--mode", "repair"]);
    assert!(missing.contains("taken") || missing.contains("missing"), "{missing}");
    daemon.drain();
    ALL.iter().for_each(|id| assert_eq!(site.delivered(id), wanted, "{id}"));
}

#[test]
fn a_killed_workers_folder_goes_on_in_another_folder_with_copies_of_the_topics_by_name() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    site.produce(&ALL, 0..10);
    ALL.iter().for_each(|id| site.wait_for(id, 0..10, 1));
    daemon.kill();
    taken(&site, &["backup", "saved"]);
    site.produce(&ALL, 10..20);
    site.copy_journal("cluster/topics", "other/topics");
    site.write("outflow.yaml", &Site::worker().replace("folder: cluster", "folder: other"));
    // A copy has an id of its own.
    let info = site.path().join("other/topics/orders/topic");
    let text = fs::read_to_string(&info).expect("a topic says its id");
    let (id, rest) = text.split_once('\n').expect("lines");
    let last = if id.ends_with('0') { '1' } else { '0' };
    let other = format!("{}{last}", &id[..id.len() - 1]);
    fs::write(&info, format!("{other}\n{rest}")).expect("our own folder can be written");
    refused(&site, &["restore", "saved"], &["topic orders", "--topics-by-name"]);
    taken(&site, &["restore", "saved", "--topics-by-name"]);
    let daemon = site.start();
    ALL.iter().for_each(|id| site.wait_for(id, 0..20, 1));
    daemon.drain();
    ALL.iter().for_each(|id| site.wait_for(id, 0..20, 1));
}

#[test]
fn a_lost_config_log_alone_comes_back_beside_its_journals_without_doubles() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    taken(&site, &["backup", "early"]);
    daemon.told(&["merchants", "pause", "1003"]);
    daemon.wait_state("1003", "paused");
    site.produce(&ALL, 0..10);
    ["1001", "1002"].iter().for_each(|id| site.wait_for(id, 0..10, 1));
    taken(&site, &["backup", "saved"]);
    site.produce(&ALL, 10..20);
    ["1001", "1002"].iter().for_each(|id| site.wait_for(id, 0..20, 1));
    daemon.kill();
    lose(&site, &["config"]);
    refused(&site, &["restore", "saved"], &["not empty", "--config-log-only"]);
    refused(&site, &["restore", "early", "--config-log-only"], &["names revisions"]);
    taken(&site, &["restore", "saved", "--config-log-only"]);
    let daemon = site.start();
    site.produce(&ALL, 20..30);
    ["1001", "1002"].iter().for_each(|id| site.wait_for(id, 0..30, 1));
    daemon.wait_state("1003", "paused");
    daemon.drain();
}

#[test]
fn a_restore_is_refused_beside_a_worker_over_another_state_and_from_a_torn_or_foreign_file() {
    let site = Site::new(&ALL);
    refused(&site, &["backup", "saved"], &["neither journal nor config log"]);
    let daemon = site.start();
    site.produce(&ALL, 0..10);
    ALL.iter().for_each(|id| site.wait_for(id, 0..10, 1));
    taken(&site, &["backup", "saved"]);
    refused(&site, &["restore", "saved"], &["runs on the folder"]);
    site.produce(&ALL, 10..20);
    ALL.iter().for_each(|id| site.wait_for(id, 0..20, 1));
    daemon.told(&["merchants", "pause", "1001"]);
    daemon.wait_state("1001", "paused");
    daemon.drain();
    refused(&site, &["restore", "saved"], &["not empty", "delete journal and config"]);
    lose(&site, &["journal"]);
    let whole = lines(&site.path().join("saved"));
    site.write("torn", &whole[..whole.len() - 1].join("\n"));
    refused(&site, &["restore", "torn"], &["torn", "take another"]);
    site.write("changed", &(whole.join("\n").replace("1003", "1004") + "\n"));
    refused(&site, &["restore", "changed"], &["checksum"]);
    refused(&site, &["restore", "outflow.yaml"], &["no backup"]);
    refused(&site, &["restore", "nowhere"], &["nowhere"]);
    site.write("newer", &(whole.join("\n").replace("\"format\":1", "\"format\":2") + "\n"));
    refused(&site, &["restore", "newer"], &["format is 2", "newer"]);
    // The config log is there, and goes on behind the backup: the journals come back beside it.
    taken(&site, &["restore", "saved"]);
    taken(&site, &["restore", "saved"]);
    let daemon = site.start();
    daemon.wait_state("1001", "paused");
    assert_eq!(site.delivered("1001").len(), 20);
    daemon.drain();
    site.write("outflow.yaml", &Site::worker().replace("shards: 2", "shards: 3").replace("cluster", "three"));
    refused(&site, &["restore", "saved"], &["set shards: 2"]);
}
