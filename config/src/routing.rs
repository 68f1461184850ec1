use crate::{model, names, problem::Problem, section::Section};

/// Whose a record is, and what becomes of records of merchants that nobody configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Routing {
    pub merchant: MerchantKey,
    pub unknown: UnknownMerchants,
}

/// Where a record says whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MerchantKey {
    /// The record's key.
    Key,
    /// The header of this name.
    Header(String),
    /// Names of fields of the JSON value, from the top level down.
    Path(Vec<String>),
}

/// Of a record without a merchant, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UnknownMerchants {
    /// Counted, and not delivered.
    #[default]
    Drop,
    DeadLetter,
    /// To the connector's own sink.
    Default,
}

pub const UNKNOWN_MERCHANTS: [(&str, UnknownMerchants); 3] = [
    ("drop", UnknownMerchants::Drop),
    ("dead_letter", UnknownMerchants::DeadLetter),
    ("default", UnknownMerchants::Default),
];
const KEYS: [&str; 3] = ["key", "header", "path"];
const ALLOWED: &str = "one of { key: true }, { header: store }, { path: store_id }";

/// Notes as well what does not go together with the connector's `sink` and `dead_letters`.
pub fn routing(connector: &Section<'_>) -> Option<Routing> {
    let note = |key: &str, problem: Problem| {
        if let Some(node) = connector.get(key) {
            connector.report.note(node.at, problem);
        }
    };
    if connector.get("merchant").is_none() {
        let problem = Problem::new("`unknown_merchants` says nothing without `merchant`");
        note("unknown_merchants", problem.hint("say where a record's merchant stands: `merchant: { key: true }`"));
        connector.require("sink", "say where to: `sink: { type: object_store, url: … }`");
        return None;
    }
    let said = connector.get("unknown_merchants").is_some();
    let chosen = connector.choice("unknown_merchants", &UNKNOWN_MERCHANTS);
    let unknown = chosen.unwrap_or_default();
    match unknown {
        _ if said && chosen.is_none() => (),
        UnknownMerchants::DeadLetter if connector.get("dead_letters").is_none() => {
            let problem = Problem::new("`unknown_merchants: dead_letter` needs a topic for them");
            note("unknown_merchants", problem.hint("add `dead_letters: { topic: orders.dead }`"));
        }
        UnknownMerchants::Default => {
            connector.require("sink", "records of unknown merchants go there: `sink: { type: object_store, url: … }`");
        }
        _ => {
            let problem = Problem::new("`sink` says nothing here: records go where their merchants want them");
            let hint =
                "leave it out, or add `unknown_merchants: default` to deliver all other merchants' records there";
            note("sink", problem.hint(hint));
        }
    }
    Some(Routing { merchant: merchant_key(connector)?, unknown })
}

fn merchant_key(connector: &Section<'_>) -> Option<MerchantKey> {
    let section = connector.section("merchant", &KEYS)?;
    let given: Vec<&str> = KEYS.into_iter().filter(|key| section.get(key).is_some()).collect();
    let [key] = given[..] else {
        let message = format!("`merchant` says {} times where a record's merchant stands", given.len());
        section.report.note(section.at, Problem::new(message).allowed(ALLOWED));
        return None;
    };
    match key {
        "header" => Some(MerchantKey::Header(section.text("header", names::header)?)),
        "path" => Some(MerchantKey::Path(model::path(&section)?)),
        _ => {
            if !section.flag("key", true) {
                let problem = Problem::new("`merchant.key` can't be `false`").allowed(ALLOWED);
                section.report.note(section.at, problem);
            }
            Some(MerchantKey::Key)
        }
    }
}
