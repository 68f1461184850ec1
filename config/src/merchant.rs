use crate::{
    delivery::{Delivery, delivery},
    limits, names,
    problem::{Problem, Report},
    reference::{self, Environment},
    section::{Section, explicit},
    yaml::{Node, Tree},
};
use outflow_api::SinkDescriptor;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// A customer, and where its records go. A merchant may have more than one of these, for different connectors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MerchantConfig {
    pub id: Box<str>,
    /// The file that the worker's `config` names.
    pub file: Arc<str>,
    /// The list of which it is a row, if it is one.
    pub list: Option<Arc<str>>,
    /// In the list, or else in the file.
    pub line: u32,
    pub deliver: Box<[Delivery]>,
}

impl MerchantConfig {
    /// What is wrong with one of its deliveries, at the line that has to be mended.
    pub fn problem(&self, delivery: &Delivery, problem: Problem) -> Problem {
        match &self.list {
            Some(list) => problem.in_file(list.as_ref()).in_line(self.line as usize),
            None => problem.in_file(self.file.as_ref()).in_line(delivery.line as usize),
        }
    }

    pub(crate) fn place(&self, delivery: &Delivery) -> String {
        match &self.list {
            Some(list) => format!("{list}:{}", self.line),
            None => format!("{}:{}", self.file, delivery.line),
        }
    }
}

/// What merchants are checked against while their file is read.
pub struct Checks<'a> {
    pub sinks: &'a [&'a SinkDescriptor],
    pub environment: &'a dyn Environment,
    pub names: &'a Names,
}

/// One copy of each connector's name, however many merchants say it.
#[derive(Default)]
pub struct Names(Mutex<BTreeSet<Arc<str>>>);

impl Names {
    pub fn shared(&self, name: &str) -> Arc<str> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        names.insert(Arc::clone(&name));
        name
    }
}

/// Where an entry comes from.
#[derive(Clone)]
pub struct Origin {
    pub file: Arc<str>,
    pub list: Option<Arc<str>>,
    /// Of the row.
    pub line: Option<u32>,
}

/// One merchant as it was found: refused if its problems are noted in the report.
pub struct Entry {
    pub id: Option<Box<str>>,
    pub config: Option<MerchantConfig>,
    /// All its references have an answer.
    pub resolved: bool,
}

/// What a file or a list came to.
#[derive(Default)]
pub struct Made {
    pub merchants: Vec<Arc<MerchantConfig>>,
    pub problems: Vec<Problem>,
    /// Of whom it is known who they are.
    pub refused: Vec<Box<str>>,
    /// Something outside of the file was missing, and may be there at the next look.
    pub unanswered: bool,
}

const KEYS: [&str; 2] = ["merchant", "deliver"];
const ID_HINT: &str = "say whose records: `merchant: \"1001\"`";
const DELIVER_HINT: &str = "say which records go where: `deliver: [ { connector: orders, sink: { … } } ]`";

/// Checks one merchant; `name` is how people call its section, empty at the top.
pub fn merchant(report: &Report<'_>, name: &str, node: &Node, checks: &Checks<'_>, origin: &Origin) -> Entry {
    let resolved = reference::all_resolve(report, node, checks.environment);
    let Some(section) = Section::new(report, name, node, &KEYS) else {
        return Entry { id: None, config: None, resolved };
    };
    let id = section.require("merchant", ID_HINT).and_then(|node| id(&section, node));
    let deliver = section.require("deliver", DELIVER_HINT).and_then(|node| deliveries(&section, node, checks));
    let line = origin.line.unwrap_or_else(|| u32::try_from(section.at.0).unwrap_or(u32::MAX));
    let config = id.clone().zip(deliver).map(|(id, deliver)| MerchantConfig {
        id,
        file: Arc::clone(&origin.file),
        list: origin.list.clone(),
        line,
        deliver,
    });
    Entry { id, config, resolved }
}

/// Whole numbers are taken as their text; of other numbers the text that was meant is not known any more.
fn id(section: &Section<'_>, node: &Node) -> Option<Box<str>> {
    let path = section.path("merchant");
    let text = match &node.tree {
        Tree::Scalar(Value::String(text)) => text.clone(),
        Tree::Scalar(Value::Number(number)) if !number.is_f64() => number.to_string(),
        _ => {
            section.wrong(node, &path, "text or a whole number", "put the merchant's id into quotes");
            return None;
        }
    };
    explicit(section.report, &path, node.at, &text, names::merchant);
    Some(text.into())
}

fn deliveries(section: &Section<'_>, node: &Node, checks: &Checks<'_>) -> Option<Box<[Delivery]>> {
    let path = section.path("deliver");
    let Tree::List(items) = &node.tree else {
        section.wrong(node, &path, "a list", DELIVER_HINT);
        return None;
    };
    if items.is_empty() || items.len() > limits::DELIVERIES_MAX {
        let problem = Problem::new(format!("`{path}` has {} deliveries", items.len()));
        section.report.note(node.at, problem.allowed(format!("1 to {} deliveries", limits::DELIVERIES_MAX)));
        return None;
    }
    let one = |(index, item): (usize, &Node)| {
        delivery(&Section::open(section.report, &format!("{path}[{index}]"), item)?, checks)
    };
    items.iter().enumerate().map(one).collect::<Vec<_>>().into_iter().collect()
}
