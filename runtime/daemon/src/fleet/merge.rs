//! What several workers say of the same merchants, as one answer.

use outflow_control::{Delivery, Detail, Merchant, Page, Repair, Replacement, State};
use std::collections::BTreeMap;

/// Each page goes up to its own `next`: what is behind the first of these is not known of all.
pub fn pages(all: Vec<Page>, limit: usize) -> Page {
    let end = all.iter().filter_map(|page| page.next.clone()).min();
    let mut shards: Vec<u32> = Vec::new();
    let mut merchants: BTreeMap<String, Merchant> = BTreeMap::new();
    for page in all {
        shards.extend(page.shards);
        let within = page.merchants.into_iter().filter(|one| end.as_ref().is_none_or(|end| one.merchant <= *end));
        for one in within {
            match merchants.remove(&one.merchant) {
                Some(known) => drop(merchants.insert(known.merchant.clone(), merchant(known, one))),
                None => drop(merchants.insert(one.merchant.clone(), one)),
            }
        }
    }
    shards.sort_unstable();
    shards.dedup();
    let is_cut = merchants.len() > limit;
    let merchants: Vec<Merchant> = merchants.into_values().take(limit).collect();
    let next = if is_cut { merchants.last().map(|last| last.merchant.clone()) } else { end };
    Page { merchants, next, shards }
}

pub fn details(all: Vec<Detail>) -> Option<Detail> {
    all.into_iter().reduce(|one, other| {
        let mut shards = [one.shards, other.shards].concat();
        shards.sort_unstable();
        shards.dedup();
        Detail { merchant: merchant(one.merchant, other.merchant), shards, note: one.note.or(other.note) }
    })
}

fn merchant(one: Merchant, other: Merchant) -> Merchant {
    let mut deliveries: BTreeMap<u32, Delivery> = one.deliveries.into_iter().map(|each| (each.lane, each)).collect();
    for each in other.deliveries {
        let merged = match deliveries.remove(&each.lane) {
            Some(known) => delivery(known, each),
            None => each,
        };
        deliveries.insert(merged.lane, merged);
    }
    Merchant { merchant: one.merchant, deliveries: deliveries.into_values().collect() }
}

/// The worst of the shards.
fn delivery(one: Delivery, other: Delivery) -> Delivery {
    let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
    Delivery {
        state: if severity(other.state) > severity(one.state) { other.state } else { one.state },
        code: one.code.or(other.code),
        hint: one.hint.or(other.hint),
        lag_records: one.lag_records + other.lag_records,
        // Unknown in one place is unknown.
        lag_seconds: one.lag_seconds.zip(other.lag_seconds).map(|(one, other)| one.max(other)),
        retention_left_seconds: least(one.retention_left_seconds, other.retention_left_seconds),
        records_left: least(one.records_left, other.records_left),
        alarm: one.alarm.or(other.alarm),
        open_rows: one.open_rows + other.open_rows,
        runs: one.runs + other.runs,
        pending: one.pending || other.pending,
        repair: newest(
            one.repair,
            other.repair,
            |repair| repair.run,
            |one, other| Repair { records: one.records + other.records, refused: one.refused.or(other.refused), ..one },
        ),
        replacement: newest(
            one.replacement,
            other.replacement,
            |one| one.run,
            |one, other| Replacement {
                records: one.records + other.records,
                widened: one.widened + other.widened,
                batches: one.batches + other.batches,
                left: one.left + other.left,
                hangs: one.hangs.or(other.hangs),
                refused: one.refused.or(other.refused),
                ..one
            },
        ),
        partitions: [one.partitions, other.partitions].concat(),
        ..one
    }
}

fn newest<T>(one: Option<T>, other: Option<T>, run: fn(&T) -> u64, and: fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) if run(&one) == run(&other) => Some(and(one, other)),
        (Some(one), Some(other)) => Some(if run(&other) > run(&one) { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn severity(state: State) -> u8 {
    match state {
        State::Live => 0,
        State::Scheduled => 1,
        State::Behind => 2,
        State::Parked => 3,
        State::Paused => 4,
        State::Removed => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(ids: &[&str], next: Option<&str>, shard: u32) -> Page {
        let merchant = |id: &&str| Merchant { merchant: (*id).to_owned(), deliveries: Vec::new() };
        Page { merchants: ids.iter().map(merchant).collect(), next: next.map(str::to_owned), shards: vec![shard] }
    }

    fn ids(page: &Page) -> Vec<&str> {
        page.merchants.iter().map(|one| one.merchant.as_str()).collect()
    }

    #[test]
    fn pages_of_several_workers_are_one_page_without_a_gap() {
        let all = pages(vec![page(&["a", "c"], Some("c"), 0), page(&["b", "d", "f"], None, 1)], 10);
        assert_eq!((ids(&all), all.next.as_deref(), &*all.shards), (vec!["a", "b", "c"], Some("c"), &[0, 1][..]));
        let all = pages(vec![page(&["a", "c"], None, 0), page(&["b", "c", "d"], None, 1)], 3);
        assert_eq!((ids(&all), all.next.as_deref()), (vec!["a", "b", "c"], Some("c")));
    }
}
