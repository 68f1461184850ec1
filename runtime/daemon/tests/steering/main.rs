//! The program, steered from its own command line, on the embedded cluster.

mod backup;
mod documents;
mod dry_run;
mod events;
mod letters;
mod quotas;
mod renewal;
mod rest;
mod site;

use outflow_rig::{Process, wait_until};
use site::Site;
use std::process::Command;

const ALL: [&str; 3] = ["1001", "1002", "1003"];

#[test]
fn a_paused_merchant_gets_nothing_over_a_restart_and_everything_once_when_he_is_resumed() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    site.produce(&ALL, 0..10);
    ALL.iter().for_each(|id| site.wait_for(id, 0..10, 1));
    assert!(daemon.told(&["merchants", "pause", "1002"]).contains("revision"));
    daemon.wait_state("1002", "paused");
    site.produce(&ALL, 10..20);
    ["1001", "1003"].iter().for_each(|id| site.wait_for(id, 0..20, 1));
    daemon.drain();
    let daemon = site.start();
    daemon.wait_state("1002", "paused");
    site.produce(&ALL, 20..30);
    ["1001", "1003"].iter().for_each(|id| site.wait_for(id, 0..30, 1));
    site.wait_for("1002", 0..10, 1);
    let shown = daemon.told(&["merchants", "show", "1002"]);
    assert!(shown.contains("paused") && shown.contains("orders/0") && shown.contains("KEPT FOR"), "{shown}");
    let page = daemon.json(&["merchants", "list", "--state", "paused", "--json"]);
    assert_eq!(page["merchants"].as_array().map(Vec::len), Some(1), "{page}");
    daemon.told(&["merchants", "resume", "1002"]);
    site.wait_for("1002", 0..30, 1);
    daemon.wait_state("1002", "live");
    daemon.drain();
    ALL.iter().for_each(|id| site.wait_for(id, 0..30, 1));
}

#[test]
fn the_lag_of_a_paused_merchant_grows_with_its_oldest_record_over_a_restart_and_ends_with_its_debt() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    daemon.told(&["merchants", "pause", "1002"]);
    daemon.wait_state("1002", "paused");
    assert_eq!(daemon.delivery("1002")["lag_seconds"], 0, "nothing is owed yet");
    site.produce(&ALL, 0..10);
    ["1001", "1003"].iter().for_each(|id| site.wait_for(id, 0..10, 1));
    let wait_lag = |daemon: &site::Daemon<'_>, seconds: u64| {
        wait_until(&format!("a lag of {seconds} s"), site::LIMIT, || {
            daemon.delivery("1002")["lag_seconds"].as_u64().is_some_and(|lag| lag >= seconds)
        });
    };
    wait_lag(&daemon, 1);
    wait_lag(&daemon, 3);
    daemon.kill();
    let daemon = site.start();
    wait_lag(&daemon, 4);
    let shown = daemon.delivery("1002");
    assert_eq!((&shown["lag_records"], &shown["retention_left_seconds"]), (&30.into(), &serde_json::Value::Null));
    assert_eq!(shown["alarm"], serde_json::Value::Null, "a folder keeps everything");
    wait_until("the connector's lag", site::LIMIT, || {
        daemon.json(&["lag", "--json"])["connectors"]["orders"]["lag_seconds"].as_u64().is_some_and(|lag| lag >= 4)
    });
    daemon.told(&["merchants", "resume", "1002"]);
    site.wait_for("1002", 0..10, 1);
    daemon.wait_state("1002", "live");
    wait_until("no lag", site::LIMIT, || {
        daemon.delivery("1002")["lag_seconds"] == 0
            && daemon.json(&["lag", "--json"])["connectors"]["orders"]["lag_seconds"] == 0
    });
    daemon.drain();
}

#[test]
fn a_replay_doubles_exactly_its_rows_and_its_id_takes_effect_once() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    site.produce(&ALL, 0..20);
    ALL.iter().for_each(|id| site.wait_for(id, 0..20, 1));
    let replay = ["merchants", "replay", "1002", "--from", "earliest", "--mode", "again", "--id", "mine"];
    let refused = daemon.refused(&replay);
    assert!(refused.contains("twice") && refused.contains("--yes"), "{refused}");
    site.wait_for("1002", 0..20, 1);
    let confirmed = [&replay[..], &["--yes"]].concat();
    daemon.told(&confirmed);
    site.wait_for("1002", 0..20, 2);
    assert!(daemon.told(&confirmed).contains("taken before"));
    // Offsets: every record of partition 0 is for one of three merchants in turn, so the first three are number 0.
    let part =
        ["merchants", "replay", "1003", "--from", "orders/0=0", "--to", "orders/0=3", "--mode", "again", "--yes"];
    daemon.told(&part);
    site.produce(&ALL, 20..30);
    site.wait_for("1001", 0..30, 1);
    daemon.wait_state("1002", "live");
    daemon.wait_state("1003", "live");
    daemon.drain();
    let twice = |until: u64| (0..30).map(|number| (number, 1 + u64::from(number < until))).collect();
    assert_eq!(site.delivered("1002"), twice(20));
    assert_eq!(site.delivered("1003"), twice(1));
    site.wait_for("1001", 0..30, 1);
    let daemon = site.start();
    assert!(daemon.told(&confirmed).contains("taken before"), "an id is known over a restart");
    daemon.drain();
    assert_eq!(site.delivered("1002"), twice(20));
}

#[test]
fn a_replay_that_is_killed_again_and_again_doubles_each_row_once() {
    let site = Site::new(&ALL);
    site.produce(&ALL, 0..30_000);
    let daemon = site.start();
    ALL.iter().for_each(|id| site.wait_for(id, 0..30_000, 1));
    daemon.told(&["merchants", "replay", "1002", "--from", "earliest", "--mode", "again", "--yes"]);
    let mut daemon = Some(daemon);
    let (mut seen, mut kills) = (0, 0);
    wait_until("both copies of every row", site::LIMIT, || {
        let rows = site.rows("1002").len();
        if rows > seen.max(30_000) && rows < 60_000 && kills < 5 {
            daemon.take().expect("it is started again").kill();
            kills += 1;
            daemon = Some(site.start());
        }
        seen = rows;
        seen >= 60_000
    });
    daemon.expect("the last one").drain();
    println!("{kills} kills");
    site.wait_for("1002", 0..30_000, 2);
    ["1001", "1003"].iter().for_each(|id| site.wait_for(id, 0..30_000, 1));
}

#[test]
fn what_is_owed_takes_todays_shape_once_it_is_mended() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    site.produce(&ALL, 0..10);
    ALL.iter().for_each(|id| site.wait_for(id, 0..10, 1));
    ["1001", "1002"].iter().for_each(|id| drop(daemon.told(&["merchants", "pause", id])));
    ["1001", "1002"].iter().for_each(|id| daemon.wait_state(id, "paused"));
    site.produce(&ALL, 10..20);
    site.wait_for("1003", 0..20, 1);
    let column = "{ name: again, type: BIGINT, path: number }";
    site.write(
        "connectors/orders.yaml",
        &site::CONNECTOR.replace("required: true }", &format!("required: true }}, {column}")),
    );
    daemon.wait_log("configuration published revision=4");
    daemon.told(&["merchants", "resume", "1001"]);
    daemon.told(&["merchants", "mend", "1002"]);
    site.produce(&ALL, 20..30);
    ALL.iter().for_each(|id| site.wait_for(id, 0..30, 1));
    daemon.drain();
    let new_shape = |id: &str| {
        let mut numbers: Vec<u64> =
            site.rows(id).iter().filter(|row| row["again"].is_u64()).filter_map(|row| row["number"].as_u64()).collect();
        numbers.sort_unstable();
        numbers
    };
    assert_eq!(new_shape("1001"), (20..30).collect::<Vec<_>>(), "debt keeps its shape");
    assert_eq!(new_shape("1002"), (10..30).collect::<Vec<_>>(), "unless it is mended");
}

#[test]
fn what_is_mended_is_delivered_once_by_whom_it_belonged_to_though_its_key_has_moved() {
    let site = Site::new(&ALL);
    let column = "required: true }, { name: owner, type: BIGINT }";
    site.write("connectors/orders.yaml", &site::CONNECTOR.replace("required: true }", column));
    let daemon = site.start();
    // By what the records themselves say, each belongs to the next merchant.
    let next =
        |id: &str| if id == "1003" { "1001".to_owned() } else { (id.parse::<u64>().unwrap_or(0) + 1).to_string() };
    let value = |id: &str, number| format!("{{\"number\":{number},\"owner\":{}}}", next(id));
    site.produce_with(&ALL, 0..10, value);
    ALL.iter().for_each(|id| site.wait_for(id, 0..10, 1));
    daemon.told(&["merchants", "pause", "1001"]);
    daemon.wait_state("1001", "paused");
    site.produce_with(&ALL, 10..20, value);
    ["1002", "1003"].iter().for_each(|id| site.wait_for(id, 0..20, 1));
    let again = format!("{column}, {{ name: again, type: BIGINT, path: number }}");
    let moved = site::CONNECTOR.replace("{ key: true }", "{ path: owner }").replace("required: true }", &again);
    site.write("connectors/orders.yaml", &moved);
    daemon.wait_log("configuration published revision=3");
    site.produce_with(&ALL, 20..30, value);
    ["1002", "1003"].iter().for_each(|id| site.wait_for(id, 0..30, 1));
    daemon.told(&["merchants", "mend", "1001"]);
    site.wait_for("1001", 0..30, 1);
    daemon.wait_state("1001", "live");
    daemon.drain();
    for id in ALL {
        site.wait_for(id, 0..30, 1);
        for row in site.rows(id) {
            let number = row["number"].as_u64().expect("a number");
            let owner = if number < 20 { next(id) } else { id.to_owned() };
            assert_eq!(row["owner"].to_string(), owner, "{id} has {row}");
            let is_new = number >= if id == "1001" { 10 } else { 20 };
            assert_eq!(row["again"].is_u64(), is_new, "{id} has {row}");
        }
    }
}

#[test]
fn what_is_skipped_is_never_delivered_and_somebody_said_that_he_means_it() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    site.produce(&ALL, 0..10);
    ALL.iter().for_each(|id| site.wait_for(id, 0..10, 1));
    daemon.told(&["merchants", "pause", "1001", "--connector", "orders"]);
    daemon.wait_state("1001", "paused");
    site.produce(&ALL, 10..20);
    ["1002", "1003"].iter().for_each(|id| site.wait_for(id, 0..20, 1));
    let refused = daemon.refused(&["merchants", "skip", "1001"]);
    assert!(refused.contains("never delivered") && refused.contains("30 records"), "{refused}");
    daemon.told(&["merchants", "reset", "1001", "--to", "latest", "--yes"]);
    daemon.told(&["merchants", "resume", "1001"]);
    daemon.wait_state("1001", "live");
    site.produce(&ALL, 20..30);
    ["1002", "1003"].iter().for_each(|id| site.wait_for(id, 0..30, 1));
    daemon.drain();
    let kept: Vec<u64> = site.delivered("1001").into_keys().collect();
    assert_eq!(kept, (0..10).chain(20..30).collect::<Vec<_>>());
}

#[test]
fn a_repair_brings_what_was_skipped_and_doubles_nothing_however_often_it_is_asked_for() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let repair = ["merchants", "replay", "1001", "--from", "earliest", "--mode", "repair"];
    site.produce(&ALL, 0..10);
    ALL.iter().for_each(|id| site.wait_for(id, 0..10, 1));
    let told = daemon.told(&repair);
    assert!(told.contains("nothing is missing"), "{told}");
    daemon.wait_shown("1001", "nothing was missing");
    daemon.told(&["merchants", "pause", "1001"]);
    daemon.wait_state("1001", "paused");
    site.produce(&ALL, 10..20);
    ["1002", "1003"].iter().for_each(|id| site.wait_for(id, 0..20, 1));
    // In one breath: the repair must not be asked for before the ledger knows what was skipped.
    daemon.told(&["merchants", "skip", "1001", "--yes"]);
    daemon.told(&repair);
    daemon.told(&["merchants", "resume", "1001"]);
    site.produce(&ALL, 20..30);
    ALL.iter().for_each(|id| site.wait_for(id, 0..30, 1));
    daemon.wait_shown("1001", "records are read");
    daemon.wait_state("1001", "live");
    daemon.drain();
    let daemon = site.start();
    for id in ALL {
        daemon.told(&["merchants", "replay", id, "--from", "earliest", "--mode", "repair"]);
        daemon.wait_shown(id, "nothing was missing");
    }
    daemon.drain();
    ALL.iter().for_each(|id| site.wait_for(id, 0..30, 1));
}

#[test]
fn a_repair_is_refused_where_the_ledger_has_lost_its_beginning() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    site.produce(&ALL, 0..10);
    ALL.iter().for_each(|id| site.wait_for(id, 0..10, 1));
    daemon.drain();
    site.behead_ledger();
    let daemon = site.start();
    let refused = daemon.refused(&["merchants", "replay", "1001", "--from", "earliest", "--mode", "repair"]);
    assert!(refused.contains("ledger-incomplete") && refused.contains("nothing is sent"), "{refused}");
    daemon.drain();
    site.wait_for("1001", 0..10, 1);
}

#[test]
fn a_replaced_range_is_there_once_with_todays_contents_and_so_is_all_that_its_batches_had() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    site.produce(&ALL, 0..20);
    ALL.iter().for_each(|id| site.wait_for(id, 0..20, 1));
    let column = "{ name: again, type: BIGINT, path: number }";
    site.write(
        "connectors/orders.yaml",
        &site::CONNECTOR.replace("required: true }", &format!("required: true }}, {column}")),
    );
    daemon.wait_log("configuration published revision=2");
    site.produce(&ALL, 20..30);
    ALL.iter().for_each(|id| site.wait_for(id, 0..30, 1));
    // Of partition 0, two records of the many that a batch has.
    let part = ["merchants", "replay", "1002", "--from", "orders/0=0", "--to", "orders/0=2", "--mode", "replace"];
    let refused = daemon.refused(&part);
    assert!(refused.contains("whole batches") && refused.contains("--yes"), "{refused}");
    daemon.told(&[&part[..], &["--yes"]].concat());
    daemon.wait_shown("1002", "beyond what was asked for; of 1 old batches 0 are still there");
    let all = ["merchants", "replay", "1002", "--from", "earliest", "--mode", "replace", "--yes"];
    for _ in 0..2 {
        // What was replaced is replaced again.
        let run = daemon.delivery("1002")["replacement"]["run"].as_u64();
        daemon.told(&all);
        wait_until("the next replacement", site::LIMIT, || {
            let shown = &daemon.delivery("1002")["replacement"];
            shown["run"].as_u64() > run && shown["left"] == 0 && shown["batches"].as_u64() > Some(0)
        });
        site.wait_for("1002", 0..30, 1);
    }
    assert!(site.rows("1002").iter().all(|row| row["again"].is_u64()), "all are of today's shape");
    daemon.told(&["merchants", "replay", "1002", "--from", "earliest", "--mode", "repair"]);
    daemon.wait_shown("1002", "nothing was missing");
    daemon.drain();
    ALL.iter().for_each(|id| site.wait_for(id, 0..30, 1));
    assert!(site.rows("1001").iter().any(|row| !row["again"].is_u64()), "of others nothing is replaced");
}

#[test]
fn a_replacement_that_is_killed_again_and_again_loses_no_row_and_leaves_each_once() {
    let site = Site::new(&ALL);
    site.produce(&ALL, 0..30_000);
    let daemon = site.start();
    ALL.iter().for_each(|id| site.wait_for(id, 0..30_000, 1));
    daemon.told(&["merchants", "replay", "1002", "--from", "earliest", "--mode", "replace", "--yes"]);
    let mut daemon = Some(daemon);
    let (mut kills, mut most) = (0, 30_000);
    wait_until("the new rows in place of the old", site::LIMIT, || {
        let delivered = site.delivered("1002");
        let rows = delivered.values().sum::<u64>();
        assert!(delivered.len() == 30_000 && rows <= 60_000, "{} numbers, {rows} rows", delivered.len());
        // Each way up, and then down.
        if (rows > most || rows < most && rows > 30_000) && kills < 6 {
            daemon.take().expect("it is started again").kill();
            kills += 1;
            daemon = Some(site.start());
        }
        let is_over = most > 30_000 && rows == 30_000;
        most = if rows < most && !is_over { rows } else { most.max(rows) };
        is_over
    });
    daemon.expect("the last one").drain();
    println!("{kills} kills");
    ALL.iter().for_each(|id| site.wait_for(id, 0..30_000, 1));
}

#[test]
fn a_replacement_is_refused_where_the_ledger_has_lost_its_beginning() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    site.produce(&ALL, 0..10);
    ALL.iter().for_each(|id| site.wait_for(id, 0..10, 1));
    daemon.drain();
    site.behead_ledger();
    let daemon = site.start();
    daemon.told(&["merchants", "replay", "1001", "--from", "earliest", "--mode", "replace", "--yes"]);
    daemon.wait_shown("1001", "nothing is sent or removed: ledger-incomplete");
    daemon.drain();
    site.wait_for("1001", 0..10, 1);
}

#[test]
fn whoever_mistypes_is_told_what_was_probably_meant() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let told = [
        (vec!["merchants", "show", "10011"], "did you mean \"1001\""),
        (vec!["merchants", "pause", "1001", "--connector", "order"], "did you mean \"orders\""),
        (vec!["merchants", "list", "--connector", "order"], "did you mean \"orders\""),
        (vec!["merchants", "pause", "1001", "--lane", "99"], "he has: orders"),
        (vec!["merchants", "list", "--state", "dead"], "live, behind"),
        (vec!["merchants", "list", "--alarm", "fire"], "allowed: retention"),
        (vec!["merchants", "replay", "1001", "--from", "order/0=0", "--mode", "again"], "orders/0"),
        (vec!["merchants", "replay", "1001", "--from", "orders/0=99", "--mode", "again"], "not in the log"),
        (vec!["merchants", "replay", "1001", "--from", "earliest", "--mode", "again"], "nothing would be delivered"),
        (vec!["merchants", "replay", "1001", "--from", "earliest", "--mode", "instead"], "replace"),
        (vec!["lag", "--url", "http://127.0.0.1:9"], "is `outflow run` at work"),
    ];
    for (args, expected) in told {
        let refused = daemon.refused(&args);
        assert!(refused.contains(expected), "{args:?}: {refused}");
    }
}

#[test]
fn superseded_files_are_published_again_when_somebody_says_so() {
    let site = Site::new(&ALL);
    site.start().drain();
    let first = std::fs::read_to_string(site.path().join("connectors/orders.yaml")).expect("just written");
    site.write("connectors/orders.yaml", &first.replace("100ms", "200ms"));
    site.start().drain();
    site.write("connectors/orders.yaml", &first);
    let log = site.start().drain();
    assert!(log.contains("--publish-again"), "{log}");
    let log = site.start_with(&["--publish-again"]).drain();
    assert!(log.contains("configuration published") && !log.contains("were published before"), "{log}");
}

#[test]
fn a_check_counts_merchants_and_fails_with_those_that_are_refused() {
    let site = Site::new(&ALL);
    let check = || {
        let config = site.path().join("outflow.yaml");
        let output = Command::new(site::PROGRAM).args(["check", "--config"]).arg(config).output().expect("it starts");
        let all = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(all).expect("text"))
    };
    let (passed, told) = check();
    assert!(passed && told.contains("3 read"), "{told}");
    site.write(
        "merchants/1004.yaml",
        "merchant: 1004\ndeliver: [ { connector: carts, sink: { type: object_store } } ]\n",
    );
    let (passed, told) = check();
    assert!(!passed && told.contains("3 merchants were read") && told.contains("1004.yaml"), "{told}");
}

/// P20: limits change, so each lane has a word in every revision, and a version that is older than the last of them.
#[test]
fn what_the_config_log_said_before_is_forgotten_and_the_next_starts_deliver_on() {
    let ids: Vec<String> = (1..=250).map(|id| id.to_string()).collect();
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let (site, some) = (Site::new(&all), [all[0], all[100], all[249]]);
    let size = || std::fs::metadata(site.path().join("cluster/config/log")).expect("it is there").len();
    let change = |rows: u64| all.iter().for_each(|id| site.merchant(id, &format!(", flush: {{ rows: {rows} }}")));
    let mut numbers = 0;
    let mut deliver = || {
        site.produce(&some, numbers..numbers + 10);
        numbers += 10;
        some.iter().for_each(|id| site.wait_for(id, 0..numbers, 1));
    };
    let mut first = 0;
    // Each start publishes 250 changes, and asks what the journals still need: that lags behind by a start or two.
    for round in 0.. {
        assert!(round < 20, "twenty starts, and nothing was forgotten");
        change(1_000 + round);
        let daemon = site.start();
        deliver();
        let forgets = daemon.log().contains("what the config log has forgotten is dropped");
        if forgets {
            let (after, unforgotten) = (size(), (round + 1) * first);
            assert!(after < unforgotten - first / 2, "{unforgotten} bytes became {after}");
            // And who runs goes on.
            change(2_000);
            let published = || daemon.log().matches("configuration published").count();
            wait_until("the change to be published", site::LIMIT, || published() > 1);
            deliver();
        }
        let log = daemon.drain();
        assert!(!log.contains("ERROR"), "{log}");
        if round == 0 {
            first = size();
            site.copy_journal("cluster/journal", "old-journal");
        }
        if forgets {
            break;
        }
    }
    let daemon = site.start();
    deliver();
    daemon.drain();
    std::fs::remove_dir_all(site.path().join("cluster/journal")).expect("nobody uses it");
    site.copy_journal("old-journal", "cluster/journal");
    let args = ["run", "--config", &site.path().join("outflow.yaml").display().to_string()].map(str::to_owned);
    let refused = Process::start("refused", site.path(), site::PROGRAM, &args, &[]);
    wait_until("the program to refuse", site::LIMIT, || !refused.is_alive());
    let told = refused.log();
    assert!(told.contains("config-forgotten"), "{told}");
    assert!(told.contains("the journal is older than the config log"), "{told}");
    some.iter().for_each(|id| site.wait_for(id, 0..numbers, 1));
}
