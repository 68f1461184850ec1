//! Files and documents that are put over REST: each changes what is its own word, and nothing else.

mod fixtures;

use fixtures::{connector, lane};
use outflow_api::{LaneId, Revision};
use outflow_catalogue::{Catalogue, Draft, Expected, Needs, Origin, Wanted, WantedLane, draft};
use serde_json::json;

fn files(lanes: Vec<WantedLane>) -> Wanted {
    let digest = format!("{lanes:?}");
    Wanted { connectors: vec![connector(json!("1"))], lanes, digest, ..Wanted::default() }
}

/// Merchant `id`, delivered to `place`; without a place he is removed.
fn merchant(id: &str, place: Option<&str>, expected: Expected) -> Wanted {
    let name = format!("merchant/{id}");
    let lanes = place.map(|place| WantedLane { source: Origin::source(&name), ..lane(id, place) });
    Wanted {
        lanes: lanes.into_iter().collect(),
        document: place.map(|place| format!("{{\"at\":\"{place}\"}}").into()),
        origin: Origin::Document(name),
        expected,
        ..Wanted::default()
    }
}

fn publish(catalogue: &mut Catalogue, wanted: &Wanted) {
    match draft(catalogue, wanted, false) {
        Draft::Publish(revision) => catalogue.apply(&revision).expect("what was drafted can be applied"),
        Draft::Taken(why) => panic!("{why}"),
        _ => panic!("there was something to publish"),
    }
}

fn taken(catalogue: &Catalogue, wanted: &Wanted) -> String {
    match draft(catalogue, wanted, false) {
        Draft::Taken(why) => why,
        _ => panic!("somebody else's word stands against it"),
    }
}

fn there(catalogue: &Catalogue) -> Vec<(String, String)> {
    let mut all: Vec<_> =
        catalogue.lanes().map(|lane| (lane.merchant.clone().unwrap_or_default(), lane.identity.clone())).collect();
    all.sort();
    all
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

#[test]
fn files_and_documents_leave_each_other_alone() {
    let mut catalogue = Catalogue::default();
    publish(&mut catalogue, &files(vec![lane("m", "x")]));
    publish(&mut catalogue, &merchant("r", Some("y"), Expected::Anything));
    assert_eq!(there(&catalogue), pairs(&[("m", "x"), ("r", "y")]));
    publish(&mut catalogue, &files(vec![lane("n", "z")]));
    assert_eq!(there(&catalogue), pairs(&[("n", "z"), ("r", "y")]));
    assert!(matches!(draft(&catalogue, &files(vec![lane("n", "z")]), false), Draft::Nothing));
    publish(&mut catalogue, &merchant("r", None, Expected::Something));
    assert_eq!(there(&catalogue), pairs(&[("n", "z")]));
    assert_eq!(catalogue.document("merchant/r"), None);
}

#[test]
fn what_is_put_again_keeps_its_lane_and_is_remembered_as_it_was_put() {
    let mut catalogue = Catalogue::default();
    publish(&mut catalogue, &files(Vec::new()));
    publish(&mut catalogue, &merchant("r", Some("y"), Expected::Nothing));
    let put = merchant("r", Some("y"), Expected::Anything);
    assert!(matches!(draft(&catalogue, &put, false), Draft::Nothing));
    publish(&mut catalogue, &Wanted { document: Some("{\"at\": \"y\"}".into()), ..put });
    assert_eq!(catalogue.document("merchant/r"), Some((Revision(3), "{\"at\": \"y\"}")));
    assert_eq!(catalogue.merchant("r"), [LaneId(1)]);
    assert_eq!(catalogue.documents("merchant/").map(|(name, _)| name).collect::<Vec<_>>(), ["merchant/r"]);
    assert_eq!(catalogue.documents("connector/").count(), 0);
}

#[test]
fn who_is_late_publishes_nothing() {
    let mut catalogue = Catalogue::default();
    publish(&mut catalogue, &files(Vec::new()));
    let moved = |catalogue: &Catalogue, expected| {
        matches!(draft(catalogue, &merchant("r", Some("z"), expected), false), Draft::Moved)
    };
    assert!(moved(&catalogue, Expected::Something) && moved(&catalogue, Expected::Said(Revision(1))));
    publish(&mut catalogue, &merchant("r", Some("y"), Expected::Nothing));
    assert!(moved(&catalogue, Expected::Nothing) && moved(&catalogue, Expected::Said(Revision(1))));
    assert!(!moved(&catalogue, Expected::Said(Revision(2))) && !moved(&catalogue, Expected::Anything));
    publish(&mut catalogue, &merchant("r", None, Expected::Said(Revision(2))));
    assert!(moved(&catalogue, Expected::Said(Revision(2))), "it is gone");
}

#[test]
fn nobody_takes_a_place_a_merchant_or_a_connector_that_is_somebody_elses() {
    let mut catalogue = Catalogue::default();
    publish(&mut catalogue, &files(vec![lane("m", "x")]));
    let put = |id: &str, place: &str| merchant(id, Some(place), Expected::Anything);
    assert!(taken(&catalogue, &put("r", "x")).contains("same place"));
    assert!(taken(&catalogue, &put("m", "y")).contains("m.yaml"));
    publish(&mut catalogue, &put("r", "y"));
    assert!(taken(&catalogue, &files(vec![lane("m", "x"), lane("n", "y")])).contains("same place"));
    let none = Wanted { digest: "none".into(), ..Wanted::default() };
    assert!(taken(&catalogue, &none).contains("\"orders\" cannot go"));
    let mut own = Wanted { origin: Origin::Document("connector/orders".into()), ..files(Vec::new()) };
    own.document = Some("{}".into());
    assert!(taken(&catalogue, &own).contains("the files have"));
    publish(&mut catalogue, &merchant("r", None, Expected::Something));
    publish(&mut catalogue, &none);
    publish(&mut catalogue, &own);
    assert!(taken(&catalogue, &files(Vec::new())).contains("over REST"));
    publish(&mut catalogue, &put("r", "y"));
    let gone = Wanted { origin: own.origin.clone(), ..Wanted::default() };
    assert!(taken(&catalogue, &gone).contains("merchant/r"));
}

#[test]
fn a_connector_that_is_held_stays_held_whatever_is_said_of_it() {
    let mut catalogue = Catalogue::default();
    let mut own = Wanted { origin: Origin::Document("connector/orders".into()), ..files(Vec::new()) };
    own.document = Some("{}".into());
    own.connectors[0].entry.stopped = true;
    publish(&mut catalogue, &own);
    let mut again = own.clone();
    (again.connectors[0].entry.stopped, again.document) = (false, Some("{ }".into()));
    publish(&mut catalogue, &again);
    assert!(catalogue.connector("orders").is_some_and(|entry| entry.is_held()));
}

#[test]
fn old_words_of_a_document_are_forgotten_and_the_last_one_stays() {
    let mut catalogue = Catalogue::default();
    publish(&mut catalogue, &files(Vec::new()));
    for place in ["a", "b", "c"] {
        publish(&mut catalogue, &merchant("r", Some(place), Expected::Anything));
    }
    let needs = Needs { routed: catalogue.revision(), taken: catalogue.revision() };
    let forgotten = catalogue.forgettable(needs, Revision(0));
    let of_document = forgotten.entries.iter().filter(|(_, object)| object == "document/merchant/r");
    assert_eq!(of_document.map(|(revision, _)| revision.0).collect::<Vec<_>>(), [2, 3]);
    catalogue.forget(forgotten.until, None);
    assert_eq!(catalogue.document("merchant/r").map(|(revision, _)| revision), Some(Revision(4)));
}
