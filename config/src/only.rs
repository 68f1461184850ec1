use crate::{limits, model, problem::Problem, section::Section, yaml::Tree};

/// Which records a delivery wants: those with one of these texts at the path. All others are not this merchant's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Only {
    /// Names of fields of the JSON value, from the top level down.
    pub path: Vec<String>,
    /// Sorted, each once.
    pub values: Vec<String>,
}

const HINT: &str = "write `only: { path: event_type, in: [ order_created, order_paid ] }`";

pub fn only(delivery: &Section<'_>) -> Option<Only> {
    let section = delivery.section("only", &["path", "in"])?;
    let (path, node) = (section.require("path", HINT), section.require("in", HINT));
    let path = path.and_then(|_| model::path(&section));
    let values = section.texts("in", |text| {
        let max = limits::ONLY_VALUE_BYTES_MAX;
        if text.len() > max { Err(format!("at most {max} bytes")) } else { Ok(()) }
    });
    let (path, node, values) = (path?, node?, values?);
    let written = if let Tree::List(items) = &node.tree { items.len() } else { 0 };
    if written == 0 || written > limits::ONLY_VALUES_MAX {
        let problem = Problem::new(format!("`{}` has {written} values", section.path("in")));
        section.report.note(node.at, problem.allowed(format!("1 to {} texts", limits::ONLY_VALUES_MAX)));
    }
    let mut values: Vec<String> = values.into_iter().map(|(_, value)| value).collect();
    values.sort();
    values.dedup();
    Some(Only { path, values })
}
