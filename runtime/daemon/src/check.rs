use crate::{cluster, opener::ConfiguredOpener, opener::plan, run};
use outflow_api::{Finding, TopicId};
use outflow_config::{Config, SystemEnvironment};
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
        failed += show(&cluster.examine(&cluster::topics(&config), &cluster::dead_letters(&config)));
        failed += show(&destinations(&config)?);
    }
    match failed {
        0 => Ok(()),
        1 => Err("1 finding must be mended".into()),
        _ => Err(format!("{failed} findings must be mended").into()),
    }
}

fn show(findings: &[Finding]) -> usize {
    for Finding { subject, result } in findings {
        match result {
            Ok(seen) => println!("ok    {subject}: {seen}"),
            Err(fault) => println!("FAIL  {subject}: {fault}"),
        }
    }
    findings.iter().filter(|finding| finding.result.is_err()).count()
}

/// As the daemon will see it at its first start, but with topics whose ids are not known yet.
fn definition(connector: &outflow_config::ConnectorConfig) -> LaneDefinition {
    let plan = plan(connector);
    let topics = plan.topics.iter().map(|topic| (topic.clone(), TopicId(0))).collect::<Vec<_>>();
    LaneDefinition::unsaved(&plan.name, &topics, &plan.identity, plan.pinned)
}

/// Models, templates and references: everything that needs no I/O.
fn open_all(config: &Config) -> Vec<Finding> {
    let opener = ConfiguredOpener::new(&config.connectors);
    let open = |connector: &outflow_config::ConnectorConfig| {
        let result = opener.open(&definition(connector)).map(|_| "model and sink fit together".to_owned());
        let result = result.map_err(|mut fault| {
            fault.hint = connector.sink.problem(&fault).to_string();
            fault
        });
        Finding { subject: format!("connector {}", connector.name), result }
    };
    config.connectors.iter().map(open).collect()
}

fn destinations(config: &Config) -> Result<Vec<Finding>, Box<dyn Error>> {
    let opener = ConfiguredOpener::new(&config.connectors);
    let lanes: Vec<_> = config.connectors.iter().filter_map(|one| opener.open(&definition(one)).ok()).collect();
    Ok(run::runtime()?.block_on(async {
        let mut findings = Vec::new();
        for lane in lanes {
            findings.extend(lane.sink.examine().await);
        }
        findings
    }))
}
