//! A revision is read as it was published, and nothing else is read as one.

use bytes::Bytes;
use outflow_api::{ConfigEntry, ConfigRevision, Fault, Forgotten, Revision, Verdict};
use outflow_journal::{
    KeyValue,
    config::{self, Replay},
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};

fn entry(object: impl Into<String>, content: Option<&[u8]>) -> ConfigEntry {
    ConfigEntry { object: object.into(), content: content.map(Bytes::copy_from_slice) }
}

fn revision(number: u64, entries: Vec<ConfigEntry>) -> ConfigRevision {
    ConfigRevision { revision: Revision(number), entries }
}

fn entries() -> impl Strategy<Value = Vec<ConfigEntry>> {
    let content = option::of(vec(any::<u8>(), 0..300).prop_map(Bytes::from));
    btree_map(".{1,30}", content, 0..6)
        .prop_map(|all| all.into_iter().map(|(object, content)| ConfigEntry { object, content }).collect())
}

fn apply(replay: &mut Replay, records: impl IntoIterator<Item = KeyValue>) -> Result<(), Fault> {
    records.into_iter().try_for_each(|record| replay.apply(&record.key, record.value.as_deref(), 31))
}

fn fault(records: impl IntoIterator<Item = KeyValue>) -> Fault {
    apply(&mut Replay::default(), records).expect_err("this is no log of ours")
}

proptest! {
    #[test]
    fn revisions_are_read_as_they_were_published(all in vec(entries(), 1..5), barriers in any::<u8>()) {
        let all: Vec<_> = (1..).zip(all).map(|(number, entries)| revision(number, entries)).collect();
        let (mut replay, mut taken) = (Replay::default(), Vec::new());
        for published in &all {
            if barriers & 1 << published.revision.0 != 0 {
                apply(&mut replay, [config::barrier(u128::from(published.revision.0))]).expect("readable");
                prop_assert!(replay.saw(u128::from(published.revision.0)) && !replay.saw(0));
            }
            let records: Vec<_> = config::encode(published).collect();
            let (last, most) = records.split_last().expect("the end");
            apply(&mut replay, most.iter().cloned()).expect("readable");
            prop_assert_eq!((replay.bytes(), replay.newest().0), (0, published.revision.0 - 1), "not without its end");
            apply(&mut replay, [last.clone()]).expect("readable");
            prop_assert!(replay.bytes() > 0 && replay.newest() == published.revision);
            taken.extend(replay.take());
        }
        prop_assert_eq!(taken, all);
    }

    #[test]
    fn noise_is_a_fault_and_never_a_panic(
        key in vec(any::<u8>(), 0..12),
        value in option::of(vec(any::<u8>(), 0..80)),
    ) {
        let _ = Replay::default().apply(&key, value.as_deref(), 0);
    }

    #[test]
    fn a_record_that_is_missing_is_noticed(entries in entries(), missing in any::<prop::sample::Index>()) {
        let mut records: Vec<_> = config::encode(&revision(1, entries)).collect();
        let missing = missing.index(records.len());
        records.remove(missing);
        records.extend(config::encode(&revision(2, Vec::new())));
        let mut replay = Replay::default();
        match apply(&mut replay, records) {
            Err(fault) => prop_assert_eq!(fault.code, "config-lost"),
            // It may have been forgotten, and the word on that come later; without it nothing is believed.
            Ok(()) => {
                prop_assert!(replay.is_short() && replay.bytes() == 0 && replay.take().is_empty());
                prop_assert_eq!(replay.lost().code, "config-lost");
            }
        }
    }

    #[test]
    fn what_was_forgotten_is_missing_and_all_else_is_read(
        all in vec(entries(), 1..5),
        gone in any::<u64>(),
        is_compacted in any::<bool>(),
    ) {
        let all: Vec<_> = (1..).zip(all).map(|(number, entries)| revision(number, entries)).collect();
        let named = all.iter().flat_map(|one| one.entries.iter().map(|entry| (one.revision, entry.object.clone())));
        let named = named.enumerate().filter(|(at, _)| gone & 1 << at != 0).map(|(_, entry)| entry);
        let forgotten = Forgotten { until: Revision(all.len() as u64), entries: named.collect() };
        let is_gone = |of: Revision, entry: &ConfigEntry| forgotten.entries.contains(&(of, entry.object.clone()));
        let left = |one: &ConfigRevision| {
            let entries = one.entries.iter().filter(|entry| !(is_compacted && is_gone(one.revision, entry))).cloned();
            revision(one.revision.0, entries.collect())
        };
        let keys: Vec<_> = config::encode_forgotten(&forgotten).skip(1).map(|record| record.key).collect();
        let mut records: Vec<_> = all.iter().flat_map(config::encode).collect();
        records.retain(|record| !(is_compacted && keys.contains(&record.key)));
        let mut replay = Replay::default();
        apply(&mut replay, records).expect("readable");
        prop_assert_eq!(replay.is_short(), is_compacted && !keys.is_empty());
        apply(&mut replay, config::encode_forgotten(&forgotten)).expect("readable");
        prop_assert_eq!(replay.take(), all.iter().map(left).collect::<Vec<_>>());
        prop_assert_eq!(replay.forgotten(), forgotten.until);
    }
}

#[test]
fn a_log_that_is_read_once_more_answers_what_is_new() {
    let published = |number| revision(number, vec![entry("lane/1", Some(b"x"))]);
    let mut replay = Replay::default();
    [1, 2].iter().for_each(|number| apply(&mut replay, config::encode(&published(*number))).expect("readable"));
    assert_eq!(replay.take(), [published(1), published(2)]);
    replay.restart();
    apply(&mut replay, [config::forgotten(Revision(1))]).expect("readable");
    // The first came whole and is no longer so.
    apply(&mut replay, config::encode(&published(1)).skip(1)).expect("readable");
    [2, 3].iter().for_each(|number| apply(&mut replay, config::encode(&published(*number))).expect("readable"));
    assert_eq!(replay.take(), [published(3)]);
}

#[test]
fn a_tombstone_of_what_was_not_read_yet_is_a_fault() {
    let forgotten = Forgotten { until: Revision(1), entries: vec![(Revision(1), "lane/1".to_owned())] };
    assert_eq!(fault(config::encode_forgotten(&forgotten)).code, "config-unreadable");
}

#[test]
fn a_log_without_its_first_revisions_says_what_is_missing() {
    let fault = fault(config::encode(&revision(4, vec![entry("lane/1", None)])));
    assert_eq!((fault.code, fault.verdict), ("config-lost", Verdict::Halt));
    assert!(fault.hint.contains("revision 4 at config log offset 31"), "{fault}");
    assert!(fault.hint.contains("revision 1 should come first"), "{fault}");
}

#[test]
fn an_unknown_form_names_the_record_and_what_is_known() {
    let changed = |value: Option<&[u8]>| {
        let mut record = config::encode(&revision(1, vec![entry("lane/1", Some(b"x"))])).next().expect("an entry");
        record.value = value.map(<[u8]>::to_vec);
        let fault = fault([record]);
        assert_eq!((fault.code, fault.verdict), ("config-unreadable", Verdict::Halt));
        assert!(fault.hint.contains("lane/1 in revision 1 at config log offset 31"), "{fault}");
        fault.hint
    };
    assert!(changed(Some(&[9, 0])).contains("form 9, this build knows 1 and 2"));
    assert!(changed(Some(&[2, 0])).contains("behind the end"));
    assert!(changed(Some(&[])).contains("empty"));
    assert!(changed(None).contains("a tombstone"));
    let unknown = KeyValue { key: b"Zoo".to_vec(), value: Some(vec![1]) };
    assert!(fault([unknown]).hint.contains("kind 0x5a"));
}

#[test]
fn a_revision_above_a_limit_is_refused_with_the_limit() {
    let refused = |entries, code: &str, said: &str| {
        let fault = config::check(&revision(7, entries)).expect_err("above a limit");
        assert_eq!((fault.code, fault.verdict), (code, Verdict::Park));
        assert!(fault.hint.contains(said), "{fault}");
    };
    let many = |count: usize, content: &Bytes| {
        let entry = |number| ConfigEntry { object: format!("lane/{number:06}"), content: Some(content.clone()) };
        (0..count).map(entry).collect::<Vec<_>>()
    };
    let nothing = Bytes::new();
    assert!(config::check(&revision(7, many(100_000, &nothing))).is_ok());
    refused(many(100_001, &nothing), "config-too-many-entries", "revision 7 has 100001 entries, allowed are 100000");
    let content = |bytes: usize| Bytes::from(vec![0; bytes]);
    let most = 900 * 1024 - 1 - 8 - "lane/000000".len() - 1;
    assert!(config::check(&revision(7, many(1, &content(most)))).is_ok());
    refused(many(1, &content(most + 1)), "config-entry-too-large", "lane/000000 has 921601 bytes, allowed are 921600");
    assert!(config::check(&revision(7, many(291, &content(most)))).is_ok());
    refused(many(292, &content(most)), "config-too-large", "allowed are 268435456");
    let long = "x".repeat(1_001);
    refused(vec![entry(&long, None)], "config-wrong-object", "1 to 1000 bytes");
    refused(vec![entry("", None)], "config-wrong-object", "has 0");
    assert!(config::check(&revision(7, vec![entry(&long[1..], None)])).is_ok());
    refused(vec![entry("lane/1", None), entry("lane/1", None)], "config-wrong-object", "names lane/1 twice");
}
