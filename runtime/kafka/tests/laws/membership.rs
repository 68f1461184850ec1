use crate::common::{LIMIT, settings};
use outflow_api::{Cluster, Membership, MembershipEvent, Shard};
use outflow_kafka::{KafkaCluster, KafkaSettings};
use outflow_rig::Kafka;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

struct Member {
    membership: Box<dyn Membership>,
    owned: BTreeSet<Shard>,
}

impl Member {
    fn join(settings: &KafkaSettings) -> Member {
        let cluster = KafkaCluster::new(settings.clone()).expect("the settings are valid");
        cluster.prepare().expect("the broker is ours");
        Member { membership: cluster.membership().expect("the broker answers"), owned: BTreeSet::new() }
    }

    fn poll(&mut self) {
        for event in self.membership.poll(Duration::from_millis(20)).expect("the group goes on") {
            match event {
                MembershipEvent::Assigned(shards) => {
                    assert!(!shards.is_empty());
                    self.owned.extend(shards);
                }
                MembershipEvent::Revoked(shards, done) => {
                    self.owned.retain(|shard| !shards.contains(shard));
                    drop(done);
                }
                MembershipEvent::Lost(shards) => self.owned.retain(|shard| !shards.contains(shard)),
            }
        }
    }
}

fn until(what: &str, members: &mut [&mut Member], done: impl Fn(&[&mut Member]) -> bool) -> Duration {
    let started = Instant::now();
    while !done(members) {
        assert!(started.elapsed() < LIMIT, "waited for {what}");
        members.iter_mut().for_each(|member| member.poll());
    }
    started.elapsed()
}

fn six() -> KafkaSettings {
    let mut settings = settings(Kafka::shared(), 6);
    settings.session_timeout = Duration::from_secs(6);
    settings
}

#[test]
fn shards_are_shared_handed_over_and_taken_back() {
    let settings = KafkaSettings { session_timeout: Duration::from_secs(45), ..six() };
    let mut first = Member::join(&settings);
    until("all shards", &mut [&mut first], |members| members[0].owned.len() == 6);
    let mut second = Member::join(&settings);
    until("a fair share", &mut [&mut first, &mut second], |members| members.iter().all(|one| one.owned.len() == 3));
    assert!(first.owned.is_disjoint(&second.owned));
    second.membership.leave();
    drop(second);
    let waited = until("the rest", &mut [&mut first], |members| members[0].owned.len() == 6);
    assert!(waited < settings.session_timeout, "leaving does not wait for the time-out: {waited:?}");
}

#[test]
fn a_member_that_is_silent_loses_its_shards() {
    let settings = six();
    let mut first = Member::join(&settings);
    until("all shards", &mut [&mut first], |members| members[0].owned.len() == 6);
    let mut second = Member::join(&settings);
    until("a fair share", &mut [&mut first, &mut second], |members| members.iter().all(|one| one.owned.len() == 3));
    drop(second);
    until("the rest", &mut [&mut first], |members| members[0].owned.len() == 6);
}

#[test]
fn a_hand_over_waits_for_the_answer_and_not_for_ever() {
    let settings = six();
    let mut first = Member::join(&settings);
    until("all shards", &mut [&mut first], |members| members[0].owned.len() == 6);
    let mut second = Member::join(&settings);
    let started = Instant::now();
    let mut answer = None;
    while answer.is_none() {
        assert!(started.elapsed() < LIMIT);
        second.poll();
        for event in first.membership.poll(Duration::from_millis(20)).expect("the group goes on") {
            if let MembershipEvent::Revoked(shards, done) = event {
                first.owned.retain(|shard| !shards.contains(shard));
                answer = Some(done);
            }
        }
    }
    let revoked = Instant::now();
    // Never answered while we look: the others get the shards after five seconds.
    until("the hand-over", &mut [&mut first, &mut second], |members| members[1].owned.len() == 3);
    let waited = revoked.elapsed();
    assert!(waited >= Duration::from_secs(4) && waited < Duration::from_secs(20), "{waited:?}");
    drop(answer);
}
