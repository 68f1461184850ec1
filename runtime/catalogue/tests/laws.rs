//! What is wanted becomes revisions, and revisions answer whose a row is, at every one of them.

mod fixtures;

use fixtures::{connector, lane};
use outflow_api::{ConfigRevision, FeedId, LaneId, Offset, Pin, Revision, TopicId, TopicPartition};
use outflow_catalogue::{Catalogue, Draft, Start, Wanted, WantedLane, draft};
use serde_json::json;
use std::collections::BTreeMap;

fn wanted(digest: &str, lanes: Vec<WantedLane>) -> Wanted {
    Wanted { connectors: vec![connector(json!("1"))], lanes, digest: digest.into(), ..Wanted::default() }
}

#[derive(Default)]
struct Log {
    catalogue: Catalogue,
    published: Vec<ConfigRevision>,
}

impl Log {
    /// Answers whether there was anything to publish.
    fn publish(&mut self, wanted: &Wanted) -> bool {
        let revision = match draft(&self.catalogue, wanted, false) {
            Draft::Publish(revision) => revision,
            _ => return false,
        };
        self.catalogue.apply(&revision).expect("what was drafted can be applied");
        self.published.push(revision);
        true
    }

    /// Lane and version of this merchant's rows at that revision.
    fn owner(&self, merchant: &str, revision: u64) -> Option<(u32, u64)> {
        let routes = self.catalogue.routes("orders")?;
        let version = routes.entry(Revision(revision))?.version;
        let own = routes.merchant(merchant.as_bytes()).iter();
        let mut there =
            own.filter_map(|lane| Some((lane.lane.0, lane.at(Pin::to(Revision(revision)))?.0.0.max(version))));
        let found = there.next();
        assert!(there.next().is_none(), "one delivery of each merchant is configured here");
        found
    }
}

#[test]
fn what_is_published_is_not_published_again() {
    let mut log = Log::default();
    assert!(log.publish(&wanted("a", vec![lane("m", "x")])));
    assert!(!log.publish(&wanted("a", vec![lane("m", "x")])));
}

#[test]
fn each_row_belongs_to_whom_it_belonged_at_its_revision() {
    let mut log = Log::default();
    log.publish(&wanted("a", vec![lane("m", "x")]));
    log.publish(&wanted("b", vec![lane("m", "y"), lane("n", "z")]));
    log.publish(&wanted("c", vec![lane("n", "z")]));
    assert_eq!(log.owner("m", 1), Some((1, 1)));
    assert_eq!(log.owner("m", 2), Some((2, 2)), "another place is another lane");
    assert_eq!(log.owner("m", 3), None);
    assert_eq!((log.owner("n", 1), log.owner("n", 2), log.owner("n", 3)), (None, Some((3, 2)), Some((3, 2))));
    // A reader that begins later knows the same.
    let mut again = Log::default();
    log.published.iter().for_each(|revision| again.catalogue.apply(revision).expect("published"));
    for (merchant, revision) in [("m", 1), ("m", 2), ("m", 3), ("n", 2)] {
        assert_eq!(again.owner(merchant, revision), log.owner(merchant, revision));
    }
}

#[test]
fn a_lane_that_returns_has_another_id_and_others_do_not_change() {
    let mut log = Log::default();
    log.publish(&wanted("a", vec![lane("m", "x"), lane("n", "y")]));
    log.publish(&wanted("b", vec![lane("n", "y")]));
    log.publish(&wanted("c", vec![lane("m", "x"), lane("n", "y")]));
    assert_eq!((log.owner("m", 1), log.owner("m", 3)), (Some((1, 1)), Some((3, 3))));
    assert_eq!((log.owner("n", 1), log.owner("n", 3)), (Some((2, 1)), Some((2, 1))));
}

#[test]
fn new_credentials_and_limits_are_no_new_version_and_another_shape_is_one_for_all() {
    let mut log = Log::default();
    log.publish(&wanted("a", vec![lane("m", "x")]));
    let mut other = lane("m", "x");
    (other.settings, other.flush.rows) = (json!({ "key": "${env:OTHER}" }).to_string().into(), 99);
    assert!(log.publish(&wanted("b", vec![other.clone()])));
    assert_eq!(log.owner("m", 2), Some((1, 1)));
    let definition = log.catalogue.definition(LaneId(1), Revision(1)).expect("published");
    assert!(definition.lane.settings.contains("OTHER") && definition.lane.flush.rows == 99, "how is always today's");
    assert!(!log.catalogue.change(Revision(2)).expect("published").defines);
    let mut reshaped = wanted("c", vec![other]);
    reshaped.connectors = vec![connector(json!("2"))];
    log.publish(&reshaped);
    assert_eq!(log.owner("m", 3), Some((1, 3)));
    let shape = |version| log.catalogue.definition(LaneId(1), Revision(version)).expect("published").connector.shape;
    assert_eq!((shape(1), shape(3)), (json!("1"), json!("2")), "what a row becomes is pinned");
}

#[test]
fn a_row_that_is_read_again_is_whose_it_was_and_takes_the_shape_that_is_asked_for() {
    let mut log = Log::default();
    log.publish(&wanted("a", vec![lane("m", "x"), lane("n", "y")]));
    let only = json!({ "at": "x", "only": { "path": ["type"], "in": ["paid"] } }).to_string();
    log.publish(&wanted("b", vec![WantedLane { place: only.into(), ..lane("m", "x") }]));
    let reshaped = Wanted { connectors: vec![connector(json!("2"))], ..wanted("c", vec![lane("o", "z")]) };
    log.publish(&reshaped);
    let routes = log.catalogue.routes("orders").expect("published");
    let at = |merchant: &str, whose, shape| {
        let pin = Pin { whose: Revision(whose), shape: Revision(shape) };
        let (version, only) = routes.merchant(merchant.as_bytes()).first()?.at(pin)?;
        Some((version.0, only.is_some(), routes.version(pin)?.0))
    };
    assert_eq!((at("m", 1, 1), at("m", 1, 2)), (Some((1, false, 1)), Some((2, true, 1))), "its filter is shape");
    assert_eq!((at("n", 1, 2), at("n", 2, 2)), (Some((1, false, 1)), None), "a lane that is gone keeps its last shape");
    assert_eq!((at("n", 1, 3), at("o", 1, 3)), (Some((1, false, 3)), None), "who came later has nothing of it");
    let definition = log.catalogue.definition(LaneId(2), Revision(3)).expect("the connector is of a later version");
    assert_eq!((definition.lane.identity.as_str(), definition.connector.shape), ("y", json!("2")));
}

#[test]
fn files_that_were_superseded_do_not_turn_routing_back_unless_they_are_forced() {
    let mut log = Log::default();
    let (old, new) = (wanted("old", vec![lane("m", "x")]), wanted("new", vec![lane("m", "y")]));
    log.publish(&old);
    log.publish(&new);
    assert!(matches!(draft(&log.catalogue, &old, false), Draft::Superseded));
    assert!(matches!(draft(&log.catalogue, &old, true), Draft::Publish(_)));
}

#[test]
fn what_a_file_said_that_cannot_be_read_now_stays() {
    let mut log = Log::default();
    log.publish(&wanted("a", vec![lane("m", "x"), lane("n", "y")]));
    let mut partly = wanted("b", vec![lane("n", "z")]);
    partly.unread.insert("m.yaml".into());
    log.publish(&partly);
    assert_eq!(log.owner("m", 2), Some((1, 1)));
}

#[test]
fn each_schedule_has_a_feed_and_another_schedule_is_another_lane() {
    let mut log = Log::default();
    let scheduled = |merchant: &str, schedule| WantedLane { schedule, ..lane(merchant, merchant) };
    log.publish(&wanted("a", vec![scheduled("m", 3600), scheduled("n", 0), scheduled("o", 3600)]));
    let feed = |log: &Log, id| log.catalogue.lane(LaneId(id)).expect("published").feed();
    let live = log.catalogue.connector("orders").expect("published").feeds[&0];
    assert_eq!(feed(&log, 2), FeedId(live));
    assert!(feed(&log, 1) == feed(&log, 3) && feed(&log, 1) != FeedId(live));
    log.publish(&wanted("b", vec![scheduled("m", 0), scheduled("n", 0), scheduled("o", 3600)]));
    assert_eq!(log.owner("m", 2), Some((4, 2)));
    assert_eq!(feed(&log, 4), FeedId(live));
}

#[test]
fn a_new_lane_that_begins_in_the_past_says_so_once() {
    let mut log = Log::default();
    let start = Start::From(BTreeMap::from([(format!("{:032x}/3", 7), 40)]));
    let old = WantedLane { start, ..lane("m", "x") };
    log.publish(&wanted("a", vec![old.clone()]));
    let partition = TopicPartition { topic: TopicId(7), partition: 3 };
    let change = log.catalogue.change(Revision(1)).expect("published");
    assert_eq!(change.histories, [(LaneId(1), BTreeMap::from([(partition, Offset(40))]))]);
    // Where a lane began is history: another word in its file changes nothing.
    let moved = WantedLane { start: Start::Latest, ..old };
    assert!(!log.publish(&wanted("a", vec![moved])));
}

#[test]
fn a_connector_that_goes_retires_its_feeds_and_rows_below_are_still_routed() {
    let mut log = Log::default();
    log.publish(&wanted("a", vec![lane("m", "x")]));
    log.publish(&Wanted { digest: "b".into(), ..Wanted::default() });
    let feeds: Vec<_> = log.catalogue.feeds().map(|(id, feed)| (id, feed.retired)).collect();
    assert_eq!(feeds, [(FeedId(1), Some(Revision(2)))]);
    assert_eq!(log.catalogue.reads(Revision(1)).collect::<Vec<_>>(), [(FeedId(1), TopicId(7))]);
    assert_eq!(log.catalogue.reads(Revision(2)).count(), 0);
    assert!(log.catalogue.readers(TopicId(7), Revision(2)).next().is_none());
    assert_eq!(log.catalogue.readers(TopicId(7), Revision(1)).count(), 1);
}

#[test]
fn a_revision_that_does_not_follow_is_refused() {
    let mut catalogue = Catalogue::default();
    let gap = ConfigRevision { revision: Revision(2), entries: Vec::new() };
    assert_eq!(catalogue.apply(&gap).expect_err("1 is missing").code, "config-gap");
}
