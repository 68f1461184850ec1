//! How large a transaction may be.

use super::{
    Harness, acquired, done, recovered,
    sample::{full_lane, lanes, small_lane},
};
use outflow_api::{AppendOutcome, LaneId};

pub fn a_thousand_lanes_fit(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    done(&mut *journal, &lanes((0..1_000).map(|lane| (lane, Some(full_lane(shard, vec![1; 100]))))));
    let found = recovered(harness, shard).lanes;
    assert_eq!(found.len(), 1_000);
    assert_eq!(found.get(&LaneId(999)), Some(&full_lane(shard, vec![1; 100])));
}

/// Sixty-two lanes with the largest token that a sink may have.
pub fn four_mebibytes_fit(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    let record = full_lane(shard, vec![1; outflow_api::TOKEN_BYTES_MAX]);
    done(&mut *journal, &lanes((0..62).map(|lane| (lane, Some(record.clone())))));
    let found = recovered(harness, shard).lanes;
    assert_eq!(found.len(), 62);
    assert!(found.values().all(|found| *found == record));
}

pub fn what_is_too_large_is_refused_and_the_owner_goes_on(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    let token = outflow_api::TOKEN_BYTES_MAX;
    let too_large = [
        lanes((0..1_001).map(|lane| (lane, Some(small_lane(1))))),
        lanes((0..65).map(|lane| (lane, Some(full_lane(shard, vec![1; token]))))),
        lanes([(1, Some(full_lane(shard, vec![1; 257 * 1024])))]),
    ];
    for (number, transaction) in (1..).zip(&too_large) {
        match journal.append(transaction) {
            AppendOutcome::Refused(fault) => assert!(!fault.hint.is_empty()),
            other => panic!("expected Refused, got {other:?}"),
        }
        done(&mut *journal, &lanes([(5_000 + number, Some(small_lane(1)))]));
    }
    let found = recovered(harness, shard);
    assert_eq!(found.lanes.keys().map(|lane| lane.0).collect::<Vec<_>>(), [5_001, 5_002, 5_003]);
}
