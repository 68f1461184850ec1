use crate::{
    connector::{self, ConnectorConfig},
    limits,
    problem::{Problem, Problems, Report},
    reference::{self, Environment},
    worker::{self, ClusterConfig, Worker},
    yaml::{self, Node},
};
use outflow_api::SinkDescriptor;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// All that a worker is told.
#[derive(Clone, Debug)]
pub struct Config {
    pub worker: Worker,
    /// By name.
    pub connectors: Vec<ConnectorConfig>,
}

/// Reads the worker's file and the connector files that it names; finds out whether all references can be resolved,
/// and keeps none of the values.
pub fn load(path: &Path, sinks: &[&SinkDescriptor], environment: &dyn Environment) -> Result<Config, Problems> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut problems = Vec::new();
    let mut worker = read(path, environment, &mut problems, worker::check).ok_or_else(|| Problems(problems.clone()))?;
    if let ClusterConfig::Local { folder: local } = &mut worker.cluster {
        *local = folder.join(&*local);
    }
    let files = files(folder, &worker.config).map_err(|problem| problem.in_file(path.display().to_string()))?;
    let mut connectors = Vec::new();
    for file in &files {
        let check = |report: &Report<'_>, node: &Node| connector::check(report, node, sinks);
        connectors.extend(read(file, environment, &mut problems, check).map(|connector| (file, connector)));
    }
    if files.is_empty() {
        let problem = Problem::new("no connector file was found").in_file(path.display().to_string());
        problems.push(problem.hint(format!("put one where `config` looks: {}", worker.config.join(", "))));
    }
    agree(&worker, &connectors, &mut problems);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let mut connectors: Vec<ConnectorConfig> = connectors.into_iter().map(|(_, connector)| connector).collect();
    connectors.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Config { worker, connectors })
}

fn read<T>(
    path: &Path,
    environment: &dyn Environment,
    problems: &mut Vec<Problem>,
    check: impl FnOnce(&Report<'_>, &Node) -> Option<T>,
) -> Option<T> {
    let file = path.display().to_string();
    let unreadable = |message: String| Problem::new(message).in_file(file.clone());
    let text = match fs::metadata(path) {
        Ok(found) if found.len() > limits::FILE_BYTES_MAX => {
            let problem = unreadable(format!("the file has {} bytes", found.len()));
            Err(problem.allowed(format!("at most {} bytes", limits::FILE_BYTES_MAX)))
        }
        Ok(_) => fs::read_to_string(path).map_err(|error| unreadable(format!("the file can't be read: {error}"))),
        Err(error) => Err(unreadable(format!("the file can't be read: {error}"))),
    };
    let checked = text.map_err(Problems::from).and_then(|text| {
        yaml::read(&file, &text, |report, node| {
            references_resolve(report, node, environment);
            check(report, node)
        })
    });
    checked.map_err(|found| problems.extend(found.0)).ok()
}

/// Malformed ones are noted where they stand by the checks themselves.
fn references_resolve(report: &Report<'_>, node: &Node, environment: &dyn Environment) {
    node.walk("", &mut |_, node| {
        let text = node.text().filter(|text| reference::check(text).is_ok());
        if let Some(Err(problem)) = text.map(|text| reference::resolve_text(text, environment)) {
            report.note(node.at, problem);
        }
    });
}

/// Sorted, each once.
fn files(folder: &Path, patterns: &[String]) -> Result<Vec<PathBuf>, Problem> {
    let mut files = BTreeSet::new();
    for pattern in patterns {
        // The folder's own name may hold brackets and stars.
        let base = if Path::new(pattern).is_absolute() { String::new() } else { escaped(folder) };
        let wrong = |error: &dyn std::fmt::Display| Problem::new(format!("`config` can't hold `{pattern}`: {error}"));
        let found = glob::glob(&format!("{base}{pattern}")).map_err(|error| wrong(&error))?;
        let before = files.len();
        for file in found.take(limits::FILES_MAX + 1) {
            files.insert(file.map_err(|error| wrong(&error))?);
        }
        if files.len() == before && !pattern.contains(['*', '?', '[']) {
            return Err(wrong(&"there is no such file").hint("paths are relative to the folder of this file"));
        }
        if files.len() > limits::FILES_MAX {
            return Err(wrong(&"it names too many files").allowed(format!("at most {} files", limits::FILES_MAX)));
        }
    }
    Ok(files.into_iter().collect())
}

fn escaped(folder: &Path) -> String {
    let folder = folder.display().to_string();
    if folder.is_empty() { folder } else { format!("{}/", glob::Pattern::escape(&folder)) }
}

/// What no file can know alone.
fn agree(worker: &Worker, connectors: &[(&PathBuf, ConnectorConfig)], problems: &mut Vec<Problem>) {
    let mut names: BTreeMap<&str, &Path> = BTreeMap::new();
    let mut places: BTreeMap<&outflow_api::Identity, &str> = BTreeMap::new();
    for (file, connector) in connectors {
        let mut note = |problem: Problem| problems.push(problem.in_file(file.display().to_string()));
        if let Some(first) = names.insert(&connector.name, file) {
            let message = format!("connector `{}` is there twice, first in {}", connector.name, first.display());
            note(Problem::new(message).hint("give one of them another name"));
        }
        if let Some(other) = places.insert(&connector.sink.identity, &connector.name) {
            let message = format!("connectors `{other}` and `{}` deliver to the same place", connector.name);
            note(Problem::new(message).hint("readers could not tell whose a file is: give each its own"));
        }
        if connector.flush.bytes > worker.memory / 2 {
            let message = format!("`flush.bytes` of connector `{}` is more than half of `memory`", connector.name);
            note(Problem::new(message).hint("raise `memory` in the worker's file, or flush earlier"));
        }
        let own = [&worker.journal.topic, &worker.journal.ledger];
        let dead = connector.dead_letters.iter().map(|dead| &dead.topic);
        if let Some(topic) = connector.topics.iter().chain(dead).find(|topic| own.contains(topic)) {
            note(Problem::new(format!("connector `{}` uses our own topic `{topic}`", connector.name)));
        }
    }
}
