//! A connector's flat configuration, as Kafka Connect's clients write it: dotted paths and texts. It becomes the YAML
//! that a file would hold, so that one set of checks judges both.

use crate::{
    connect::{Own, Wrong, translated},
    connector::{self, ConnectorConfig},
    definition::{DefinitionKind, Plugin},
    limits,
    problem::{Problem, Report},
    reference::{self, Environment},
    section::Section,
    yaml::{Node, Tree},
};
use outflow_api::SinkDescriptor;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

/// A flat configuration that was checked.
pub struct Judged {
    /// If nothing is wrong with it.
    pub connector: Option<ConnectorConfig>,
    /// By the key that people wrote, or that they left out.
    pub wrong: Vec<Wrong>,
}

impl Judged {
    /// What is wrong, for people.
    pub fn problems(&self) -> String {
        self.wrong.iter().map(|(key, problem)| format!("{key}: {}", in_a_line(problem))).collect::<Vec<_>>().join("\n")
    }
}

/// A problem without its place.
pub fn in_a_line(problem: &Problem) -> String {
    let mut line = problem.message.clone();
    for (name, note) in [("allowed", &problem.allowed), ("hint", &problem.hint)] {
        if let Some(note) = note {
            let _ = write!(line, "; {name}: {note}");
        }
    }
    line
}

/// Checks a connector by itself.
pub fn judge(
    flat: &BTreeMap<String, String>,
    plugin: &Plugin,
    sinks: &[&SinkDescriptor],
    environment: &dyn Environment,
) -> Judged {
    let (mut own, mut wrong) = translated(flat, plugin);
    if !own.contains_key("connector") {
        let problem =
            Problem::new("`name` is missing").hint("give the connector a name: at most 100 of a-z A-Z 0-9 . _ -");
        wrong.push(("name".to_owned(), problem));
        // So that nothing else complains of it.
        own.insert("connector".to_owned(), ("name".to_owned(), "unnamed".to_owned()));
    }
    let written = match Written::new(&own, plugin, sinks) {
        Ok(written) => written,
        Err(clash) => {
            wrong.push(*clash);
            return Judged { connector: None, wrong };
        }
    };
    let report = Report::new("", &written.text);
    let connector = Node::parse(&written.text, &report).and_then(|node| {
        reference::all_resolve(&report, &node, environment);
        // Without anything to say there is no section.
        Section::open(&report, "", &node)?;
        connector::check(&report, &node, sinks)
    });
    wrong.extend(report.into_problems().into_iter().map(|problem| (written.key(&problem, &own), problem)));
    let connector = connector.filter(|_| wrong.is_empty());
    Judged { connector: connector.map(|connector| ConnectorConfig { flat: flat.clone().into(), ..connector }), wrong }
}

/// The YAML of a flat configuration: every key has a line of its own.
struct Written {
    text: String,
    /// By line; of a section's first line, the first key in it.
    keys: Vec<String>,
}

enum Branch<'a> {
    Leaf { key: &'a str, yaml: String },
    Section(BTreeMap<&'a str, Branch<'a>>),
}

impl Written {
    fn new(own: &Own, plugin: &Plugin, sinks: &[&SinkDescriptor]) -> Result<Written, Box<Wrong>> {
        let kinds: BTreeMap<String, DefinitionKind> =
            plugin.definitions(sinks).into_iter().map(|definition| (definition.name, definition.kind)).collect();
        let mut tree = BTreeMap::new();
        for (path, (key, text)) in own {
            if path.matches('.').count() >= limits::SETTINGS_DEPTH_MAX {
                let problem = Problem::new("this key has too many parts");
                let problem = problem.allowed(format!("at most {} behind dots", limits::SETTINGS_DEPTH_MAX));
                return Err(Box::new((key.clone(), problem)));
            }
            let kind = kinds.get(path).copied().unwrap_or(DefinitionKind::Text);
            plant(&mut tree, path, path, Branch::Leaf { key, yaml: yaml(kind, text) })
                .map_err(|problem| Box::new((key.clone(), *problem)))?;
        }
        let mut written = Written { text: String::new(), keys: Vec::new() };
        written.write(&tree, 0);
        Ok(written)
    }

    fn write(&mut self, tree: &BTreeMap<&str, Branch<'_>>, depth: usize) {
        for (name, branch) in tree {
            let indent = "  ".repeat(depth);
            let name = quoted(name);
            match branch {
                Branch::Leaf { key, yaml } => {
                    let _ = writeln!(self.text, "{indent}{name}: {yaml}");
                    self.keys.push((*key).to_owned());
                }
                Branch::Section(below) => {
                    let _ = writeln!(self.text, "{indent}{name}:");
                    let at = self.keys.len();
                    self.keys.push(String::new());
                    self.write(below, depth + 1);
                    self.keys[at] = self.keys.get(at + 1).cloned().unwrap_or_default();
                }
            }
        }
    }

    /// What is missing is named by the problem itself; what is there, by its line.
    fn key(&self, problem: &Problem, own: &Own) -> String {
        let named = problem.message.split('`').nth(1).unwrap_or_default();
        let is_missing = problem.message.ends_with("is missing");
        match named {
            named if is_missing && !own.contains_key(named) => named.to_owned(),
            _ => problem.line.checked_sub(1).and_then(|line| self.keys.get(line)).cloned().unwrap_or_default(),
        }
    }
}

fn plant<'a>(
    tree: &mut BTreeMap<&'a str, Branch<'a>>,
    path: &'a str,
    whole: &str,
    leaf: Branch<'a>,
) -> Result<(), Box<Problem>> {
    let clash = || {
        let problem = Problem::new(format!("`{whole}` and another key exclude each other"));
        Box::new(problem.hint("one is a part of the other"))
    };
    let Some((name, rest)) = path.split_once('.') else {
        return match tree.insert(path, leaf) {
            None => Ok(()),
            Some(_) => Err(clash()),
        };
    };
    match tree.entry(name).or_insert_with(|| Branch::Section(BTreeMap::new())) {
        Branch::Section(below) => plant(below, rest, whole, leaf),
        Branch::Leaf { .. } => Err(clash()),
    }
}

/// As a file would say it.
fn yaml(kind: DefinitionKind, text: &str) -> String {
    let trimmed = text.trim();
    let is_list = trimmed.starts_with('[');
    match kind {
        DefinitionKind::Flag if matches!(trimmed, "true" | "false") => trimmed.to_owned(),
        DefinitionKind::Number if trimmed.parse::<u64>().is_ok() => trimmed.to_owned(),
        DefinitionKind::List => {
            let items: Vec<String> =
                trimmed.split(',').map(str::trim).filter(|item| !item.is_empty()).map(quoted).collect();
            format!("[{}]", items.join(", "))
        }
        DefinitionKind::Yaml | DefinitionKind::Text if is_list => trimmed.replace(['\n', '\r'], " "),
        _ => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The flat form of a file that was checked, as clients read it.
pub fn flattened(node: &Node, plugin: &Plugin) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    flatten(node, "", &mut flat);
    if let Some(name) = flat.remove("connector") {
        flat.insert("name".to_owned(), name);
    }
    flat.insert("connector.class".to_owned(), plugin.class.clone());
    flat
}

fn flatten(node: &Node, path: &str, flat: &mut BTreeMap<String, String>) {
    match &node.tree {
        Tree::Map(entries) => {
            let dot = if path.is_empty() { "" } else { "." };
            entries.iter().for_each(|(key, node)| flatten(node, &format!("{path}{dot}{}", key.name), flat));
        }
        Tree::List(items) if path == "topics" => {
            let topics: Vec<&str> = items.iter().filter_map(Node::text).collect();
            flat.insert(path.to_owned(), topics.join(","));
        }
        Tree::Scalar(Value::Null) => {}
        Tree::Scalar(Value::String(text)) => drop(flat.insert(path.to_owned(), text.clone())),
        Tree::Scalar(_) | Tree::List(_) => drop(flat.insert(path.to_owned(), node.to_json().to_string())),
    }
}

impl fmt::Debug for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems())
    }
}
