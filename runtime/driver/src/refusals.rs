use crate::{
    batch::{Covers, LETTERS_MAX},
    provenance::Provenance,
};
use outflow_api::{BatchId, LaneId, Offset, TopicPartition};
use outflow_engine::Reason;
use std::collections::{BTreeMap, HashMap};

/// Rows that a destination refused, and why.
pub(crate) type Reasons = BTreeMap<(TopicPartition, Offset), String>;

/// Which rows destinations refused when they were sent, by lane, until a batch is prepared without them. In memory
/// alone: who does not know them is told again.
#[derive(Default)]
pub(crate) struct Refusals(HashMap<LaneId, Refused>);

#[derive(Default)]
struct Refused {
    rows: Reasons,
    /// Batches of the lane in a row of which some rows were refused.
    rounds: u32,
}

/// A destination that refuses others each time is asked so often in a row. What is known of its rows is kept, so the
/// lane gets on when it is tried again.
const ROUNDS_MAX: u32 = 20;
/// Of one lane. A batch has no more dead letters than a part of them.
const ROWS_MAX: usize = 20 * LETTERS_MAX;

impl Refusals {
    /// Why the lane cannot go on, if it cannot.
    pub fn learn(&mut self, batch: BatchId, rows: Reasons) -> Result<(), Reason> {
        let refused = self.0.entry(batch.lane).or_default();
        if refused.rows.len() + rows.len() > ROWS_MAX {
            refused.rows.clear();
        }
        refused.rows.extend(rows);
        refused.rounds += 1;
        if refused.rounds < ROUNDS_MAX {
            return Ok(());
        }
        refused.rounds = 0;
        let hint = format!(
            "the destination refused rows of {ROUNDS_MAX} batches in a row, others each time, and took none: the last \
             was {batch}. Mend what its dead letters would say, or flush smaller batches"
        );
        Err(Reason { code: "rows-refused".into(), hint })
    }

    pub fn within(&self, lane: LaneId, covers: &Covers) -> Reasons {
        let known = self.0.get(&lane).into_iter().flat_map(|refused| &refused.rows);
        let inside = known.filter(|((partition, offset), _)| is_within(covers, *partition, *offset));
        inside.map(|(place, reason)| (*place, reason.clone())).collect()
    }

    /// A batch is prepared that holds what was left of these rows.
    pub fn settled(&mut self, lane: LaneId, covers: &Covers) {
        let Some(refused) = self.0.get_mut(&lane) else { return };
        refused.rounds = 0;
        refused.rows.retain(|(partition, offset), _| !is_within(covers, *partition, *offset));
        if refused.rows.is_empty() {
            self.0.remove(&lane);
        }
    }

    /// Of lanes that owe nothing any more, nobody asks.
    pub fn keep(&mut self, owes: impl Fn(LaneId) -> bool) {
        self.0.retain(|lane, _| owes(*lane));
    }
}

fn is_within(covers: &Covers, partition: TopicPartition, offset: Offset) -> bool {
    covers.get(&partition).is_some_and(|range| range.contains(offset))
}

/// What a sink says of rows by their place in the batch. It must name some, and none that it was not given.
pub(crate) fn reasons(
    batch: BatchId,
    rows: impl IntoIterator<Item = (usize, String)>,
    provenance: &Provenance,
) -> Result<Reasons, Reason> {
    let places = rows.into_iter().map(|(row, why)| Some((provenance.at(row)?, why)));
    match places.collect::<Option<Reasons>>().filter(|rows| !rows.is_empty()) {
        Some(rows) => Ok(rows),
        None => {
            let hint = format!("the destination refuses rows of {batch}, and does not say which: this is a bug");
            Err(Reason { code: "refusal-unclear".into(), hint })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{Generation, Incarnation, OffsetRange, Shard, TopicId};

    const PARTITION: TopicPartition = TopicPartition { topic: TopicId(1), partition: 0 };
    const BATCH: BatchId =
        BatchId { incarnation: Incarnation(1), shard: Shard(0), generation: Generation(1), lane: LaneId(1), seq: 1 };

    fn refused(offset: i64) -> Reasons {
        Reasons::from([((PARTITION, Offset(offset)), "too long".to_owned())])
    }

    fn covers(start: i64, next: i64) -> Covers {
        Covers::from([(PARTITION, OffsetRange::new(Offset(start), Offset(next)))])
    }

    #[test]
    fn what_a_destination_refuses_is_known_until_a_batch_without_it_is_prepared() {
        let mut refusals = Refusals::default();
        refusals.learn(BATCH, refused(3)).and_then(|()| refusals.learn(BATCH, refused(8))).expect("it goes on");
        assert_eq!(refusals.within(LaneId(1), &covers(0, 5)), refused(3));
        assert_eq!(refusals.within(LaneId(2), &covers(0, 5)), Reasons::new());
        refusals.settled(LaneId(1), &covers(0, 5));
        assert_eq!(refusals.within(LaneId(1), &covers(0, 9)), refused(8));
        refusals.keep(|_| false);
        assert!(refusals.0.is_empty());
    }

    #[test]
    fn a_destination_that_refuses_other_rows_each_time_parks_its_lane_which_remembers_them() {
        let mut refusals = Refusals::default();
        for attempt in 0..3 {
            let rounds = (0..).take_while(|round| refusals.learn(BATCH, refused(attempt * 100 + round)).is_ok());
            assert_eq!(rounds.count() as u32, ROUNDS_MAX - 1);
        }
        assert_eq!(refusals.within(LaneId(1), &covers(0, 300)).len() as u32, 3 * ROUNDS_MAX);
        let mut many = |from: i64| {
            let rows = (from..from + LETTERS_MAX as i64).flat_map(refused).collect();
            let _ = refusals.learn(BATCH, rows);
            refusals.0[&LaneId(1)].rows.len()
        };
        assert!((0..100).all(|round| many(round * 10_000) <= ROWS_MAX));
    }

    #[test]
    fn a_refusal_that_names_no_row_or_one_that_was_not_given_parks() {
        let mut provenance = Provenance::default();
        provenance.push(PARTITION, Offset(7));
        let named = |rows: &[usize]| reasons(BATCH, rows.iter().map(|row| (*row, "too long".to_owned())), &provenance);
        assert_eq!(named(&[0]).expect("it was given"), refused(7));
        assert!(
            [&[][..], &[1], &[0, 1]].iter().all(|rows| named(rows).is_err_and(|why| why.code == "refusal-unclear"))
        );
    }
}
