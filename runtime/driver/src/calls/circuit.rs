//! One party in trouble: its calls are let through, or answered at once until it is time for a try. Pure: whoever asks
//! says what time it is.

use outflow_api::{Blame, Fault, LaneId, Shard};
use std::{collections::BTreeSet, time::Duration};

/// Time since the worker's start.
pub(crate) type Now = Duration;
pub(crate) type Waiter = (Shard, LaneId);

/// So many lanes that fail in a row open the circuit: fewer are no crowd, and whatever ails one or two of them alone
/// stops nobody else.
pub(crate) const LANES_TO_OPEN: usize = 3;
/// Between tries: doubled with each of them, up to the bound.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_LONGEST: Duration = Duration::from_secs(30);
/// Failures further apart are no row. Whoever was well for so long waits the shortest again.
const CALM: Duration = Duration::from_secs(60);
/// A lane that was asked to try and does not: the next one is asked.
const INVITATION: Duration = Duration::from_secs(5);
/// An open circuit that nobody has asked for so long belongs to nobody any more.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// Of a party about which there is something to remember; one that is well has none.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    /// Lanes that failed since anybody got through.
    failed: BTreeSet<LaneId>,
    /// Of the last failure, or the last try.
    at: Now,
    /// Since it was opened after a calm.
    tries: u32,
    open: Option<Open>,
}

#[derive(Debug)]
pub(crate) struct Open {
    pub since: Now,
    pub until: Now,
    pub cause: Cause,
    /// Lanes that were not let through, or whose try failed.
    pub waiting: BTreeSet<Waiter>,
    invited: Option<(Now, Waiter)>,
    asked: Now,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cause {
    pub code: &'static str,
    pub blame: Blame,
    /// For those who run the worker: it may name another lane's place.
    pub text: String,
}

impl Cause {
    pub fn of(fault: &Fault) -> Cause {
        Cause { code: fault.code, blame: fault.blame, text: fault.to_string() }
    }
}

impl Circuit {
    pub fn opened(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// How long there is to wait for the next try; none: go on.
    pub fn refusal(&self, now: Now) -> Option<Duration> {
        self.open.as_ref().map(|open| open.until.saturating_sub(now)).filter(|wait| !wait.is_zero())
    }

    /// Not let through: remembered, and told when it is over.
    pub fn refused(&mut self, waiter: Waiter, now: Now) {
        if let Some(open) = &mut self.open {
            open.waiting.insert(waiter);
            open.asked = now;
        }
    }

    /// A call begins. While the circuit is open it is the try, and the others wait for it; or, should it never answer,
    /// for their own.
    pub fn admitted(&mut self, now: Now) {
        if let Some(open) = &mut self.open {
            self.tries += 1;
            (self.at, open.asked, open.invited) = (now, now, None);
            open.until = now + wait(self.tries);
        }
    }

    /// The call asked nobody: if it was the try, somebody else has it.
    pub fn unasked(&mut self, now: Now) {
        if let Some(open) = &mut self.open {
            self.tries = self.tries.saturating_sub(1);
            (open.until, open.invited) = (now, None);
        }
    }

    /// Answers whether this opened it. Calls that began before it was opened are no tries.
    pub fn failed(&mut self, waiter: Waiter, fault: &Fault, began: Now, now: Now) -> bool {
        let is_calm = now.saturating_sub(self.at) > CALM;
        match &mut self.open {
            Some(open) => {
                open.waiting.insert(waiter);
                if began > open.since {
                    self.at = now;
                    open.until = now + wait(self.tries);
                    open.cause = Cause::of(fault);
                }
                false
            }
            None => {
                if is_calm {
                    self.failed.clear();
                    self.tries = 0;
                }
                self.at = now;
                self.failed.insert(waiter.1);
                if self.failed.len() < LANES_TO_OPEN {
                    return false;
                }
                self.failed.clear();
                let (until, waiting) = (now + wait(self.tries), BTreeSet::from([waiter]));
                let cause = Cause::of(fault);
                self.open = Some(Open { since: now, until, cause, waiting, invited: None, asked: now });
                true
            }
        }
    }

    /// Somebody got through. Answers what it was, if it was open.
    pub fn proved(&mut self, now: Now) -> Option<Open> {
        self.failed.clear();
        if self.open.is_some() {
            self.at = now;
            // The try that got through is none to wait longer for.
            self.tries = self.tries.saturating_sub(1);
        }
        self.open.take()
    }

    /// A lane of this shard that may try, if it is time and nobody else is asked.
    pub fn invite(&mut self, shard: Shard, now: Now) -> Option<LaneId> {
        let open = self.open.as_mut().filter(|open| open.until <= now)?;
        let last = open.invited.map(|(_, waiter)| waiter);
        if open.invited.is_some_and(|(at, _)| now < at + INVITATION) {
            return None;
        }
        let (first, end) = ((shard, LaneId(0)), (shard, LaneId(u32::MAX)));
        let after = last.filter(|last| last.0 == shard).map_or(first, |(shard, lane)| (shard, LaneId(lane.0 + 1)));
        let next = open.waiting.range(after..=end).next().or_else(|| open.waiting.range(first..=end).next());
        let waiter = *next?;
        open.invited = Some((now, waiter));
        Some(waiter.1)
    }

    pub fn leave(&mut self, shard: Shard) {
        if let Some(open) = &mut self.open {
            open.waiting.retain(|(of, _)| *of != shard);
        }
    }

    /// Nothing about it will be of use any more.
    pub fn is_over(&self, now: Now) -> bool {
        match &self.open {
            Some(open) => open.waiting.is_empty() && now.saturating_sub(open.asked) > FORGOTTEN,
            None => now.saturating_sub(self.at) > CALM || (self.failed.is_empty() && self.tries == 0),
        }
    }
}

fn wait(tries: u32) -> Duration {
    WAIT_FIRST.saturating_mul(1 << tries.min(16)).min(WAIT_LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::Reach;

    fn at(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    fn lane(lane: u32) -> Waiter {
        (Shard(0), LaneId(lane))
    }

    fn refused() -> Fault {
        Fault::retry("unreachable", "connection refused").reaching(Reach::Host)
    }

    fn fails(circuit: &mut Circuit, lanes: impl IntoIterator<Item = u32>, now: Now) -> Vec<bool> {
        lanes.into_iter().map(|number| circuit.failed(lane(number), &refused(), now, now)).collect()
    }

    fn opened() -> Circuit {
        let mut circuit = Circuit::default();
        fails(&mut circuit, 1..=3, at(0));
        circuit
    }

    #[test]
    fn the_third_lane_in_a_row_opens_it_and_one_lane_alone_never_does() {
        let mut circuit = Circuit::default();
        assert_eq!(fails(&mut circuit, [1; 100], at(0)), [false; 100]);
        assert_eq!(fails(&mut circuit, [2, 1, 2, 3], at(1)), [false, false, false, true]);
        assert_eq!(circuit.refusal(at(1)), Some(WAIT_FIRST));
    }

    #[test]
    fn whoever_gets_through_ends_the_row() {
        let mut circuit = Circuit::default();
        fails(&mut circuit, [1, 2], at(0));
        assert!(circuit.proved(at(1)).is_none());
        assert_eq!(fails(&mut circuit, [3, 4], at(2)), [false, false]);
        assert_eq!(circuit.refusal(at(2)), None);
    }

    #[test]
    fn failures_a_calm_apart_are_no_row() {
        let mut circuit = Circuit::default();
        fails(&mut circuit, [1, 2], at(0));
        assert_eq!(fails(&mut circuit, [3], at(61)), [false]);
    }

    #[test]
    fn one_try_is_let_through_at_a_time_and_the_waits_between_grow_to_their_bound() {
        let mut circuit = opened();
        let (mut now, mut waits) = (at(0), Vec::new());
        for _ in 0..8 {
            let wait = circuit.refusal(now).expect("nobody got through");
            waits.push(wait.as_secs());
            now += wait;
            assert_eq!(circuit.refusal(now), None);
            circuit.admitted(now);
            assert!(circuit.refusal(now).is_some(), "a second try while the first is under way");
            circuit.failed(lane(9), &refused(), now, now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn a_try_that_never_answers_lets_another_one_follow() {
        let mut circuit = opened();
        circuit.admitted(at(1));
        assert_eq!(circuit.refusal(at(2)), Some(at(1)));
        assert_eq!(circuit.refusal(at(3)), None);
    }

    #[test]
    fn a_try_that_asked_nobody_is_somebody_elses() {
        let mut circuit = opened();
        circuit.admitted(at(1));
        circuit.unasked(at(1));
        assert_eq!(circuit.refusal(at(1)), None);
        circuit.admitted(at(1));
        assert_eq!(circuit.refusal(at(1)), Some(at(2)), "the wait did not grow for nothing");
    }

    #[test]
    fn calls_that_began_before_it_opened_are_no_tries() {
        let mut circuit = opened();
        for number in 10..100 {
            circuit.failed(lane(number), &refused(), at(0), at(1));
        }
        assert_eq!(circuit.refusal(at(1)), None);
        let open = circuit.proved(at(1)).expect("it was open");
        assert_eq!(open.waiting.len(), 91, "they are told all the same");
    }

    #[test]
    fn it_closes_for_everybody_who_waits_and_opens_again_with_the_wait_that_it_had() {
        let mut circuit = opened();
        circuit.refused(lane(7), at(0));
        circuit.refused(lane(7), at(0));
        circuit.admitted(at(1));
        circuit.admitted(at(3));
        let waiting = circuit.proved(at(4)).expect("it was open").waiting;
        assert_eq!(waiting, BTreeSet::from([lane(3), lane(7)]));
        assert_eq!(circuit.refusal(at(4)), None);
        fails(&mut circuit, 1..=3, at(5));
        assert_eq!(circuit.refusal(at(5)), Some(at(2)), "a party that stands for a second is not well");
        circuit.proved(at(6));
        fails(&mut circuit, 1..=3, at(100));
        assert_eq!(circuit.refusal(at(100)), Some(WAIT_FIRST));
    }

    #[test]
    fn lanes_are_asked_to_try_one_after_the_other_and_each_in_its_shard() {
        let mut circuit = opened();
        circuit.refused((Shard(1), LaneId(1)), at(0));
        circuit.refused(lane(5), at(0));
        assert_eq!(circuit.invite(Shard(0), at(0)), None, "it is not time");
        assert_eq!(circuit.invite(Shard(0), at(1)), Some(LaneId(3)));
        assert_eq!(circuit.invite(Shard(1), at(2)), None, "somebody is asked");
        assert_eq!(circuit.invite(Shard(0), at(6)), Some(LaneId(5)));
        assert_eq!(circuit.invite(Shard(0), at(11)), Some(LaneId(3)));
        assert_eq!(circuit.invite(Shard(1), at(16)), Some(LaneId(1)));
    }

    #[test]
    fn what_nobody_needs_is_over() {
        let mut circuit = Circuit::default();
        fails(&mut circuit, [1], at(0));
        assert!(!circuit.is_over(at(60)) && circuit.is_over(at(61)));
        let mut circuit = opened();
        assert!(!circuit.is_over(at(10_000)));
        circuit.leave(Shard(0));
        assert!(!circuit.is_over(at(900)) && circuit.is_over(at(901)));
    }
}
