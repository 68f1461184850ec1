use crate::{cluster, opener::ConfiguredOpener, plan, quotas, run};
use outflow_api::{Fault, Finding, TopicId};
use outflow_catalogue::{Definition, LaneEntry, Topic, WantedLane};
use outflow_config::{Config, ConnectorConfig, Loader, Problem, SystemEnvironment};
use outflow_driver::{OpenLane, Opener};
use std::{error::Error, path::Path};

/// Reads and checks; with `connect`, looks at everything the configuration names.
pub fn check(path: &Path, connect: bool) -> Result<(), Box<dyn Error>> {
    let loaded = Loader::new(path, outflow_registry::sinks(), &SystemEnvironment).load()?;
    let config = &loaded.config;
    let names: Vec<&str> = config.connectors.iter().map(|connector| connector.name.as_str()).collect();
    println!("ok    configuration: {} connectors ({})", names.len(), names.join(", "));
    for problem in &config.refused.problems {
        println!("FAIL  {problem}");
    }
    let (read, refused) = (config.merchants.len(), config.refused.problems.len());
    if refused > 0 {
        println!("hint  {read} merchants were read and {refused} findings refuse some: `run` would deliver the others");
    } else if read > 0 {
        println!("ok    merchants: {read} read, none refused");
    }
    let mut failed = config.refused.problems.len() + show(&open_all(config));
    let asked = quotas::exceeded(&plan::plan(&loaded, false).wanted, config.worker.shards);
    failed += show(&asked.into_iter().map(|why| ("quotas".to_owned(), Err(why))).collect::<Vec<_>>());
    if connect {
        let cluster = cluster::open(config, None)?;
        let seen = cluster.examine(&cluster::topics(config), &cluster::dead_letters(config));
        failed += show(&seen.into_iter().map(line).collect::<Vec<_>>());
        failed += show(&destinations(config)?);
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

/// As the daemon will see it, but with topics whose ids are not known yet.
fn definition(connector: &ConnectorConfig, lane: WantedLane) -> Definition {
    let mut entry = plan::entry(connector);
    entry.topics = connector.topics.iter().map(|topic| Topic::new(topic, TopicId(0))).collect();
    let WantedLane {
        connector: name,
        merchant,
        rejects,
        identity,
        place,
        settings,
        flush,
        start,
        schedule,
        source,
        ..
    } = lane;
    let connector_name = name.as_str().into();
    let (lane, feed, version) = (0, 0, 0);
    let lane = LaneEntry {
        lane,
        feed,
        version,
        connector: name,
        merchant,
        rejects,
        identity,
        place,
        settings,
        flush,
        start,
        schedule,
        source,
    };
    Definition { lane, connector_name, connector: entry }
}

/// All that can be seen of a lane without asking anybody.
pub fn open(connector: &ConnectorConfig, lane: WantedLane) -> Result<OpenLane, Fault> {
    ConfiguredOpener::default().open(&definition(connector, lane))
}

/// Models, templates and references: everything that needs no I/O. A mistake is shown at the line that made it.
fn open_all(config: &Config) -> Vec<Line> {
    let opener = ConfiguredOpener::default();
    let mut lines = Vec::new();
    for connector in &config.connectors {
        let Some(own) = plan::own_lane(connector) else { continue };
        let result = opener.open(&definition(connector, own)).map(|_| "model and sink fit together".to_owned());
        let told = |fault: Fault| match &connector.sink {
            Some(sink) => sink.problem(&fault).to_string(),
            None => fault.to_string(),
        };
        lines.push((format!("connector {}", connector.name), result.map_err(told)));
    }
    let (mut merchants, mut wrong) = (0, Vec::new());
    for merchant in &config.merchants {
        for delivery in &merchant.deliver {
            let connector = config.connectors.iter().find(|connector| connector.name == *delivery.connector);
            let Some(connector) = connector else { continue };
            let lane = plan::lane(merchant, delivery, &connector.flush);
            match opener.open(&definition(connector, lane)) {
                Ok(_) => merchants += 1,
                Err(fault) => {
                    let problem = Problem::new(format!("{}: {}", fault.code, fault.hint));
                    let problem = merchant.problem(delivery, problem).to_string();
                    wrong.push((format!("merchant {}", merchant.id), Err(problem)));
                }
            }
        }
    }
    if merchants > 0 {
        lines.push(("deliveries".to_owned(), Ok(format!("{merchants} of merchants open"))));
    }
    lines.extend(wrong);
    lines
}

/// Of the connectors' own destinations; merchants' are tried one by one over REST.
fn destinations(config: &Config) -> Result<Vec<Line>, Box<dyn Error>> {
    let opener = ConfiguredOpener::default();
    let own = config.connectors.iter().filter_map(|one| Some(definition(one, plan::own_lane(one)?)));
    let lanes: Vec<_> = own.filter_map(|definition| opener.open(&definition).ok()).collect();
    Ok(run::runtime()?.block_on(async {
        let mut findings = Vec::new();
        for lane in lanes {
            findings.extend(lane.sink.examine().await.into_iter().map(line));
        }
        findings
    }))
}
