//! A merchant that is put over REST: the JSON of what a file would hold.

use crate::{
    agree,
    connector::ConnectorConfig,
    merchant::{Checks, MerchantConfig, Names, Origin, merchant},
    problem::{Problem, Problems, Report},
    reference::Environment,
    worker::Worker,
    yaml::Node,
};
use outflow_api::SinkDescriptor;
use serde_json::Value;
use std::{path::Path, sync::Arc};

/// Checks a merchant beside the connectors that there are. `source` is how people call the document.
pub fn merchant_document(
    source: &str,
    content: &Value,
    worker: &Worker,
    connectors: &[ConnectorConfig],
    sinks: &[&SinkDescriptor],
    environment: &dyn Environment,
) -> Result<Arc<MerchantConfig>, Problems> {
    // JSON is YAML; in lines, so that mistakes have a place.
    let text = serde_json::to_string_pretty(content).expect("JSON can be written");
    let report = Report::new(source, &text);
    let names = Names::default();
    let checks = Checks { sinks, environment, names: &names };
    let origin = Origin { file: source.into(), list: None, line: None };
    let config = Node::parse(&text, &report).and_then(|node| merchant(&report, "", &node, &checks, &origin).config);
    let config = Arc::new(report.finish(config)?);
    let problems = agree::merchants(worker, connectors, std::slice::from_ref(&config));
    let problems: Vec<Problem> = problems.into_values().flatten().collect();
    if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
}

/// What a connector that is put over REST must be beside the worker.
pub fn fits(worker: &Worker, connector: &ConnectorConfig) -> Vec<Problem> {
    agree::connectors(worker, &[(Path::new(""), connector)])
}
