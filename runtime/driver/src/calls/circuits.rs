//! The circuits of all parties that are, or were a moment ago, in trouble. Pure, as each of them is.

use crate::calls::{
    circuit::{Cause, Circuit, Now, Waiter},
    party::Party,
};
use outflow_api::{Fault, LaneId, Reach, Remote, Shard};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

#[derive(Default)]
pub(crate) struct Circuits {
    known: HashMap<Party, Circuit>,
    /// Lanes whose circuit has closed, to be tried now.
    ready: BTreeMap<Shard, BTreeSet<LaneId>>,
    pub openings: u64,
}

/// What a call tells of whom it went to.
pub(crate) enum Evidence<'f> {
    /// Nobody was asked.
    None,
    Answered,
    Fault(&'f Fault),
}

/// Why a call is not let through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub party: Party,
    pub cause: Cause,
    /// Until the next try.
    pub wait: Duration,
}

/// What is worth a line in the log.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    Opened { party: Party, cause: Cause },
    Closed { party: Party, lasted: Duration, lanes: usize },
}

/// For people.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenCircuit {
    pub party: Party,
    pub cause: Cause,
    pub since: Duration,
    pub wait: Duration,
    pub lanes: usize,
}

impl Circuits {
    pub fn is_open(&self, remote: &Remote) -> bool {
        Party::both(remote).iter().any(|party| self.known.get(party).is_some_and(|circuit| circuit.opened().is_some()))
    }

    /// Asked before anything is done for a call. Whoever is refused is remembered.
    pub fn ask(&mut self, remote: &Remote, waiter: Waiter, now: Now) -> Result<(), Refusal> {
        let mut longest: Option<Refusal> = None;
        for party in Party::both(remote) {
            let Some(circuit) = self.known.get_mut(&party) else { continue };
            let (Some(wait), Some(open)) = (circuit.refusal(now), circuit.opened()) else { continue };
            let cause = open.cause.clone();
            circuit.refused(waiter, now);
            if longest.as_ref().is_none_or(|known| known.wait < wait) {
                longest = Some(Refusal { party, cause, wait });
            }
        }
        longest.map_or(Ok(()), Err)
    }

    /// The call begins now, or is refused.
    pub fn admit(&mut self, remote: &Remote, waiter: Waiter, now: Now) -> Result<(), Refusal> {
        self.ask(remote, waiter, now)?;
        self.each_known(remote, |circuit| circuit.admitted(now));
        Ok(())
    }

    pub fn answered(
        &mut self,
        remote: &Remote,
        waiter: Waiter,
        evidence: &Evidence<'_>,
        (began, now): (Now, Now),
    ) -> Vec<Turn> {
        let (host, credential) = (Party::host(remote), Party::credential(remote));
        let turns = match evidence {
            Evidence::None => {
                self.each_known(remote, |circuit| circuit.unasked(now));
                [None, None]
            }
            Evidence::Answered => [self.proved(host, now), self.proved(credential, now)],
            Evidence::Fault(fault) => match fault.reach {
                Reach::Lane => [self.proved(host, now), self.proved(credential, now)],
                // A host that refuses a credential is there.
                Reach::Credential => [self.proved(host, now), self.failed(credential, waiter, fault, (began, now))],
                Reach::Host => [self.failed(host, waiter, fault, (began, now)), None],
            },
        };
        turns.into_iter().flatten().collect()
    }

    /// Some of the lanes of this shard that may go on, and one of each circuit that is due for a try.
    pub fn resumable(&mut self, shard: Shard, now: Now, at_once: usize) -> Vec<LaneId> {
        self.known.retain(|_, circuit| !circuit.is_over(now));
        let mut lanes: Vec<LaneId> = self.known.values_mut().filter_map(|circuit| circuit.invite(shard, now)).collect();
        if let Some(ready) = self.ready.get_mut(&shard) {
            while lanes.len() < at_once
                && let Some(lane) = ready.pop_first()
            {
                lanes.push(lane);
            }
            if ready.is_empty() {
                self.ready.remove(&shard);
            }
        }
        lanes
    }

    /// The shard is no longer ours.
    pub fn leave(&mut self, shard: Shard) {
        self.ready.remove(&shard);
        self.known.values_mut().for_each(|circuit| circuit.leave(shard));
    }

    pub fn open(&self, now: Now) -> impl Iterator<Item = OpenCircuit> {
        self.known.iter().filter_map(move |(party, circuit)| {
            let open = circuit.opened()?;
            Some(OpenCircuit {
                party: party.clone(),
                cause: open.cause.clone(),
                since: now.saturating_sub(open.since),
                wait: open.until.saturating_sub(now),
                lanes: open.waiting.len(),
            })
        })
    }

    fn each_known(&mut self, remote: &Remote, mut change: impl FnMut(&mut Circuit)) {
        for party in Party::both(remote) {
            if let Some(circuit) = self.known.get_mut(&party) {
                change(circuit);
            }
        }
    }

    fn failed(&mut self, party: Party, waiter: Waiter, fault: &Fault, (began, now): (Now, Now)) -> Option<Turn> {
        let circuit = self.known.entry(party.clone()).or_default();
        if !circuit.failed(waiter, fault, began, now) {
            return None;
        }
        self.openings += 1;
        Some(Turn::Opened { party, cause: Cause::of(fault) })
    }

    fn proved(&mut self, party: Party, now: Now) -> Option<Turn> {
        let circuit = self.known.get_mut(&party)?;
        let open = circuit.proved(now);
        if circuit.is_over(now) {
            self.known.remove(&party);
        }
        let open = open?;
        let lanes = open.waiting.len();
        for (shard, lane) in open.waiting {
            self.ready.entry(shard).or_default().insert(lane);
        }
        Some(Turn::Closed { party, lasted: now.saturating_sub(open.since), lanes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::circuit::LANES_TO_OPEN;
    use outflow_api::Blame;

    const SECOND: Duration = Duration::from_secs(1);

    fn remote(credential: &str) -> Remote {
        Remote::new("store:9000", credential)
    }

    fn lane(lane: u32) -> Waiter {
        (Shard(lane % 2), LaneId(lane))
    }

    fn fault(reach: Reach) -> Fault {
        Fault::park(Blame::Merchant, "trouble", "of a test").reaching(reach)
    }

    /// As many lanes as it takes, one after the other.
    fn all_fail(circuits: &mut Circuits, credential: &str, reach: Reach, now: Now) -> Vec<Turn> {
        let lanes = 0..LANES_TO_OPEN as u32;
        let fails =
            |number| circuits.answered(&remote(credential), lane(number), &Evidence::Fault(&fault(reach)), (now, now));
        lanes.flat_map(fails).collect()
    }

    #[test]
    fn a_credential_in_trouble_stops_its_own_lanes_and_no_others_of_its_host() {
        let mut circuits = Circuits::default();
        let turns = all_fail(&mut circuits, "a", Reach::Credential, SECOND);
        assert!(matches!(&turns[..], [Turn::Opened { party, .. }] if *party == Party::credential(&remote("a"))));
        assert!(circuits.ask(&remote("a"), lane(9), SECOND).is_err());
        assert_eq!(circuits.ask(&remote("b"), lane(9), SECOND), Ok(()));
    }

    #[test]
    fn a_host_in_trouble_stops_all_of_its_credentials() {
        let mut circuits = Circuits::default();
        all_fail(&mut circuits, "a", Reach::Host, SECOND);
        assert!(circuits.ask(&remote("b"), lane(9), SECOND).is_err());
        assert_eq!(circuits.ask(&Remote::new("other", "a"), lane(9), SECOND), Ok(()));
    }

    #[test]
    fn what_concerns_lanes_alone_opens_nothing_and_proves_that_the_others_can_go_on() {
        let mut circuits = Circuits::default();
        assert!(all_fail(&mut circuits, "a", Reach::Lane, SECOND).is_empty());
        all_fail(&mut circuits, "a", Reach::Host, SECOND);
        let turns = circuits.answered(&remote("b"), lane(9), &Evidence::Fault(&fault(Reach::Lane)), (SECOND, SECOND));
        assert!(matches!(turns[..], [Turn::Closed { .. }]));
        assert_eq!(circuits.ask(&remote("a"), lane(1), SECOND), Ok(()));
    }

    #[test]
    fn a_refused_credential_proves_that_its_host_is_there() {
        let mut circuits = Circuits::default();
        all_fail(&mut circuits, "a", Reach::Host, SECOND);
        let refused = Evidence::Fault(&fault(Reach::Credential));
        let turns = circuits.answered(&remote("b"), lane(9), &refused, (SECOND, SECOND));
        assert!(matches!(turns[..], [Turn::Closed { .. }]));
    }

    #[test]
    fn lanes_that_waited_go_on_some_at_a_time_each_once_and_in_its_shard() {
        let mut circuits = Circuits::default();
        all_fail(&mut circuits, "a", Reach::Host, SECOND);
        for number in 0..10 {
            let _ = circuits.ask(&remote("a"), lane(number), SECOND);
        }
        assert!(circuits.resumable(Shard(0), SECOND, 3).is_empty(), "it is open");
        circuits.answered(&remote("a"), lane(0), &Evidence::Answered, (SECOND, SECOND));
        let numbers = |lanes: Vec<LaneId>| lanes.into_iter().map(|lane| lane.0).collect::<Vec<_>>();
        assert_eq!(numbers(circuits.resumable(Shard(0), SECOND, 3)), [0, 2, 4]);
        assert_eq!(numbers(circuits.resumable(Shard(0), SECOND, 3)), [6, 8]);
        circuits.leave(Shard(1));
        assert!(circuits.resumable(Shard(1), SECOND, 3).is_empty());
    }

    #[test]
    fn parties_that_are_well_are_not_remembered() {
        let mut circuits = Circuits::default();
        for number in 0..1_000 {
            let remote = remote(&number.to_string());
            assert_eq!(circuits.admit(&remote, lane(number), SECOND), Ok(()));
            let failed = Evidence::Fault(&fault(Reach::Credential));
            circuits.answered(&remote, lane(number), &failed, (SECOND, SECOND));
            circuits.answered(&remote, lane(number), &Evidence::Answered, (SECOND, SECOND));
        }
        assert!(circuits.known.is_empty());
        circuits.answered(&remote("a"), lane(1), &Evidence::Fault(&fault(Reach::Host)), (SECOND, SECOND));
        circuits.resumable(Shard(0), SECOND * 100, 1);
        assert!(circuits.known.is_empty());
    }
}
