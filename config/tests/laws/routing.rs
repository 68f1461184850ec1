use crate::common::{LAKE, ORDERS};
use outflow_config::{ConnectorConfig, MerchantKey, Problem, Routing, UnknownMerchants, connector};

fn read(text: &str) -> Result<ConnectorConfig, Vec<Problem>> {
    connector("orders.yaml", text, &[&LAKE]).map_err(|problems| problems.0)
}

fn right(more: &str) -> Routing {
    let text = ORDERS.replace("merchant: { key: true }\n", more);
    read(&text).unwrap_or_else(|problems| panic!("{problems:#?}")).routing.expect("it has one")
}

fn wrong(more: &str) -> Problem {
    let problems = read(&ORDERS.replace("merchant: { key: true }\n", more)).expect_err(more);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().expect("just counted")
}

#[test]
fn a_connector_says_where_a_records_merchant_stands() {
    let drop = |merchant| Routing { merchant, unknown: UnknownMerchants::Drop };
    assert_eq!(right("merchant: { key: true }\n"), drop(MerchantKey::Key));
    assert_eq!(right("merchant: { header: store }\n"), drop(MerchantKey::Header("store".to_owned())));
    let path = |steps: [&str; 2]| drop(MerchantKey::Path(steps.map(str::to_owned).into()));
    assert_eq!(right("merchant: { path: shop.id }\n"), path(["shop", "id"]));
    assert_eq!(right("merchant: { path: [shop, a.b] }\n"), path(["shop", "a.b"]));
}

#[test]
fn records_of_unknown_merchants_are_dropped_or_kept_or_delivered() {
    let letters = "merchant: { key: true }\nunknown_merchants: dead_letter\ndead_letters: { topic: dead }\n";
    assert_eq!(right(letters).unknown, UnknownMerchants::DeadLetter);
    let default = "merchant: { key: true }\nunknown_merchants: default\nsink: { type: object_store, url: /rest }\n";
    assert_eq!(right(default).unknown, UnknownMerchants::Default);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let problem = wrong("merchant: { key: true }\nsink: { type: object_store, url: /lake }\n");
    assert_eq!(
        (problem.line, problem.message.as_str()),
        (5, "`sink` says nothing here: records go where their merchants want them")
    );
    assert!(problem.hint.expect("a way out").contains("unknown_merchants: default"));
    let problem = wrong("merchant: { key: true }\nunknown_merchants: default\n");
    assert_eq!(problem.message, "`sink` is missing");
    let problem = wrong("merchant: { key: true }\nunknown_merchants: dead_letter\n");
    assert!(problem.hint.expect("a way out").contains("dead_letters"));
    let problem = wrong("unknown_merchants: drop\nsink: { type: object_store, url: /lake }\n");
    assert_eq!(problem.message, "`unknown_merchants` says nothing without `merchant`");
    assert_eq!(wrong("").message, "`sink` is missing");
    let problem = wrong("merchant: { key: true }\nunknown_merchants: dorp\n");
    assert_eq!(problem.hint.as_deref(), Some("did you mean `drop`?"));
}

#[test]
fn a_merchants_place_is_said_once() {
    let problem = wrong("merchant: { key: true, header: store }\n");
    assert_eq!((problem.line, problem.column), (4, 11));
    assert_eq!(problem.allowed.as_deref(), Some("one of { key: true }, { header: store }, { path: store_id }"));
    assert!(wrong("merchant: {}\n").message.contains("0 times"));
    assert!(wrong("merchant: { key: false }\n").message.contains("can't be `false`"));
    assert!(wrong("merchant: { header: '' }\n").allowed.is_some());
    assert!(wrong("merchant: { path: a..b }\n").message.contains("empty step"));
    assert_eq!(wrong("merchant: { keys: true, path: a }\n").hint.as_deref(), Some("did you mean `key`?"));
    assert!(wrong("merchant: '1001'\n").message.contains("must be a section"));
}
