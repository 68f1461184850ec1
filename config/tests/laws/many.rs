use crate::common::{Folder, merchant};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const MERCHANTS: usize = 50_000;

/// Ten kinds of wrong, by the merchant that makes the mistake.
fn mistake(index: usize) -> Option<String> {
    let right = merchant(&index.to_string());
    Some(match index {
        1_000 => String::new(),
        2_000 => "{{{".to_owned(),
        3_000 => right.replace("deliver", "delivr"),
        4_000 => right.replace("object_store", "objectstore"),
        5_000 => right.replace("orders", "oders"),
        6_000 => right.replace("orders,", "orders, schedule: 7m,"),
        7_000 => right.replace("orders,", "orders, without: [ nothing ],"),
        8_000 => right.replace("\"8000\"", "\"${env:ID}\""),
        9_000 => right.replace("/lake", "\"/${env:LAKE}\" #"),
        10_000 => right.replace("orders,", "orders, orders: orders,"),
        _ => return None,
    })
}

#[test]
fn of_fifty_thousand_files_the_ten_that_are_wrong_are_refused() {
    let folder = Folder::new();
    for index in 0..MERCHANTS {
        let text = mistake(index).unwrap_or_else(|| merchant(&index.to_string()));
        folder.write(&format!("merchants/{index:05}.yaml"), text);
    }
    let mut loader = folder.loader();
    let started = Instant::now();
    let loaded = loader.load().unwrap_or_else(|problems| panic!("{problems}"));
    let first = started.elapsed();
    let again = Instant::now();
    let unchanged = loader.load().unwrap_or_else(|problems| panic!("{problems}"));
    println!("{MERCHANTS} merchants: {first:?}; again, {} files read: {:?}", unchanged.read, again.elapsed());
    assert!(first < Duration::from_secs(60));
    let wrong: BTreeSet<String> = (1..=10).map(|one| format!("merchants/{:05}.yaml", one * 1_000)).collect();
    let base = format!("{}/", folder.path().display());
    let files = loaded.config.refused.files.iter().map(|file| file.replace(&base, "")).collect::<BTreeSet<_>>();
    assert_eq!(files, wrong);
    assert_eq!(loaded.config.merchants.len(), MERCHANTS - wrong.len());
    assert!(loaded.config.merchants.is_sorted_by_key(|merchant| &merchant.file), "in the order of files");
    assert!(!unchanged.changed);
    assert_eq!(unchanged.digest, loaded.digest);
}

#[test]
fn a_list_has_a_hundred_thousand_merchants_and_not_one_more() {
    let folder = Folder::new();
    let template = "template: { list: shops.csv }\nmerchant: \"${row:id}\"\ndeliver:\n  \
                    - { connector: orders, sink: { type: object_store, url: \"/lake/${row:id}\" } }\n";
    let rows: String = (0..=100_000).map(|id| format!("{id},Shop {id}\n")).collect();
    folder.write("merchants/shops.yaml", template);
    folder.write("merchants/shops.csv", format!("id,name\n{rows}"));
    let started = Instant::now();
    let config = folder.right();
    println!("a list of {} merchants: {:?}", config.merchants.len(), started.elapsed());
    assert_eq!(config.merchants.len(), 100_000);
    let [problem] = &config.refused.problems[..] else { panic!("{:?}", config.refused) };
    assert_eq!((problem.line, problem.message.as_str()), (100_002, "the list has too many merchants"));
    folder.write("merchants/a.yaml", merchant("a"));
    let config = folder.right();
    assert_eq!((config.merchants.len(), config.merchants[0].id.as_ref()), (100_000, "a"));
    assert!(
        config
            .refused
            .problems
            .iter()
            .any(|problem| problem.message == "the last 1 merchants of this file are too many")
    );
}
