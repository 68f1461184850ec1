use crate::{cluster, opener::ConfiguredOpener, opener::plan, run};
use outflow_api::{Finding, TopicId};
use outflow_config::{Config, ConnectorConfig, SystemEnvironment};
use outflow_driver::{LaneDefinition, Opener};
use std::{error::Error, path::Path};

/// Reads and checks; with `connect`, looks at everything the configuration names.
pub fn check(path: &Path, connect: bool) -> Result<(), Box<dyn Error>> {
    let config = outflow_config::load(path, outflow_registry::sinks(), &SystemEnvironment)?;
    let names: Vec<&str> = config.connectors.iter().map(|connector| connector.name.as_str()).collect();
    println!("ok    configuration: {} connectors ({})", names.len(), names.join(", "));
    let mut failed = show(&open_all(&config));
    if connect {
        let cluster = cluster::open(&config)?;
        let seen = cluster.examine(&cluster::topics(&config), &cluster::dead_letters(&config));
        failed += show(&seen.into_iter().map(line).collect::<Vec<_>>());
        failed += show(&destinations(&config)?);
    }
    match failed {
        0 => Ok(()),
        1 => Err("1 finding must be mended".into()),
        _ => Err(format!("{failed} findings must be mended").into()),
    }
}

/// What was looked at, and what was seen or is wrong.
type Line = (String, Result<String, String>);

fn show(lines: &[Line]) -> usize {
    for (subject, result) in lines {
        match result {
            Ok(seen) => println!("ok    {subject}: {seen}"),
            Err(wrong) => println!("FAIL  {subject}: {wrong}"),
        }
    }
    lines.iter().filter(|(_, result)| result.is_err()).count()
}

fn line(finding: Finding) -> Line {
    (finding.subject, finding.result.map_err(|fault| fault.to_string()))
}

/// As the daemon will see it at its first start, but with topics whose ids are not known yet.
fn definition(connector: &ConnectorConfig) -> LaneDefinition {
    let plan = plan(connector);
    let topics = plan.topics.iter().map(|topic| (topic.clone(), TopicId(0))).collect::<Vec<_>>();
    LaneDefinition::unsaved(&plan.name, &topics, &plan.identity, plan.pinned)
}

/// Models, templates and references: everything that needs no I/O. A mistake is shown at the line that made it.
fn open_all(config: &Config) -> Vec<Line> {
    let opener = ConfiguredOpener::new(&config.connectors);
    let open = |connector: &ConnectorConfig| {
        let result = opener.open(&definition(connector)).map(|_| "model and sink fit together".to_owned());
        let subject = format!("connector {}", connector.name);
        (subject, result.map_err(|fault| connector.sink.problem(&fault).to_string()))
    };
    config.connectors.iter().map(open).collect()
}

fn destinations(config: &Config) -> Result<Vec<Line>, Box<dyn Error>> {
    let opener = ConfiguredOpener::new(&config.connectors);
    let lanes: Vec<_> = config.connectors.iter().filter_map(|one| opener.open(&definition(one)).ok()).collect();
    Ok(run::runtime()?.block_on(async {
        let mut findings = Vec::new();
        for lane in lanes {
            findings.extend(lane.sink.examine().await.into_iter().map(line));
        }
        findings
    }))
}
