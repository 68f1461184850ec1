use crate::{
    nearest::nearest,
    problem::{Problem, Report, names_a_secret},
    reference,
    units::{duration, show_duration, show_size, size},
    yaml::{Key, Node, Place, Tree},
};
use serde_json::Value;
use std::{ops::RangeInclusive, time::Duration};

/// One map of a file, of which all keys are known. Each getter notes what is wrong and answers a stand-in, so that
/// checking goes on to the next mistake.
pub struct Section<'a> {
    pub report: &'a Report<'a>,
    entries: &'a [(Key, Node)],
    pub at: Place,
    /// As people call it: `flush`, `model.columns[2]`; empty at the top.
    name: String,
}

impl<'a> Section<'a> {
    pub fn new(report: &'a Report<'a>, name: &str, node: &'a Node, allowed: &[&str]) -> Option<Section<'a>> {
        let section = Section::open(report, name, node)?;
        section.refuse_unknown(allowed);
        Some(section)
    }

    /// Any key is allowed, but none twice.
    pub fn open(report: &'a Report<'a>, name: &str, node: &'a Node) -> Option<Section<'a>> {
        let Tree::Map(entries) = &node.tree else {
            let subject = if name.is_empty() { "the file".to_owned() } else { format!("`{name}`") };
            let message = format!("{subject} must be a section (keys and values), not {}", node.kind());
            report.note(node.at, Problem::new(message));
            return None;
        };
        refuse_repeated(report, entries);
        Some(Section { report, entries, at: node.at, name: name.to_owned() })
    }

    pub fn refuse_unknown(&self, allowed: &[&str]) {
        for (key, _) in self.entries.iter().filter(|(key, _)| !allowed.contains(&key.name.as_str())) {
            let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
            let problem = Problem::new(format!("unknown key `{}`{place}", key.name)).allowed(allowed.join(", "));
            let problem = match nearest(&key.name, allowed.iter().copied()) {
                Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                None => problem,
            };
            self.report.note(key.at, problem);
        }
    }

    pub fn entries(&self) -> &'a [(Key, Node)] {
        self.entries
    }

    pub fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// A key with nothing behind it counts as left out.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().rfind(|(known, _)| known.name == key).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    pub fn require(&self, key: &str, hint: &str) -> Option<&'a Node> {
        let node = self.get(key);
        if node.is_none() {
            let message = format!("`{}` is missing", self.path(key));
            self.report.note(self.at, Problem::new(message).hint(hint));
        }
        node
    }

    pub fn section(&self, key: &str, allowed: &[&str]) -> Option<Section<'a>> {
        Section::new(self.report, &self.path(key), self.get(key)?, allowed)
    }

    /// Explicit text: the same on every worker.
    pub fn text(&self, key: &str, check: impl Fn(&str) -> Result<(), String>) -> Option<String> {
        explicit_text(self.report, &self.path(key), self.get(key)?, check)
    }

    /// Text that may hold references, checked for their form and kept as it is.
    pub fn reference(&self, key: &str) -> Option<String> {
        let (node, path) = (self.get(key)?, self.path(key));
        let Some(text) = node.text() else {
            self.wrong(node, &path, "text", "put numbers and true or false into quotes");
            return None;
        };
        if let Err(problem) = reference::check(text) {
            self.report.note(node.at, problem);
        } else if names_a_secret(key) && !reference::is_one(text) {
            let problem = Problem::new(format!("a secret stands in the file, under `{path}`"))
                .allowed("${env:NAME} or ${file:/path}")
                .hint(format!("keep it elsewhere and write `{key}: \"${{env:NAME}}\"`"));
            self.report.note(node.at, problem);
        }
        Some(text.to_owned())
    }

    pub fn number(&self, key: &str, bounds: RangeInclusive<u64>, default: u64) -> u64 {
        let Some(node) = self.get(key) else { return default };
        let value = match &node.tree {
            Tree::Scalar(Value::Number(number)) => number.as_u64(),
            _ => None,
        };
        let allowed = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        self.bounded(node, key, value, &bounds, allowed).unwrap_or(default)
    }

    pub fn size(&self, key: &str, bounds: RangeInclusive<u64>, default: u64) -> u64 {
        let Some(node) = self.get(key) else { return default };
        let value = match &node.tree {
            Tree::Scalar(Value::Number(number)) => number.as_u64(),
            Tree::Scalar(Value::String(text)) => size(text),
            _ => None,
        };
        let (low, high) = (show_size(*bounds.start()), show_size(*bounds.end()));
        let allowed = format!("{low} to {high}, as a whole number with a unit (B, KB, KiB, MB, MiB, GB, GiB) or bytes");
        self.bounded(node, key, value, &bounds, allowed).unwrap_or(default)
    }

    pub fn duration(&self, key: &str, bounds: RangeInclusive<Duration>, default: Duration) -> Duration {
        let Some(node) = self.get(key) else { return default };
        let (low, high) = (show_duration(*bounds.start()), show_duration(*bounds.end()));
        let allowed = format!("{low} to {high}, as a whole number with a unit (ms, s, m, h, d)");
        self.bounded(node, key, node.text().and_then(duration), &bounds, allowed).unwrap_or(default)
    }

    pub fn flag(&self, key: &str, default: bool) -> bool {
        match self.get(key).map(|node| (node, &node.tree)) {
            None => default,
            Some((_, Tree::Scalar(Value::Bool(flag)))) => *flag,
            Some((node, _)) => {
                self.wrong(node, &self.path(key), "true or false", "write it without quotes");
                default
            }
        }
    }

    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let node = self.get(key)?;
        let words = || choices.iter().map(|(word, _)| *word);
        let written = node.text().unwrap_or_default();
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == written) {
            return Some(*value);
        }
        let problem = Problem::new(format!("`{}` can't be {}", self.path(key), node.shown()));
        let problem = problem.allowed(words().collect::<Vec<_>>().join(", "));
        self.report.note(
            node.at,
            match nearest(written, words()) {
                Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                None => problem,
            },
        );
        None
    }

    /// A list of explicit texts.
    pub fn texts(&self, key: &str, check: impl Fn(&str) -> Result<(), String>) -> Option<Vec<(Place, String)>> {
        let node = self.get(key)?;
        let path = self.path(key);
        let Tree::List(items) = &node.tree else {
            self.wrong(node, &path, "a list", &format!("write `{key}: [ … ]`"));
            return None;
        };
        let text = |node: &'a Node| Some((node.at, explicit_text(self.report, &path, node, &check)?));
        Some(items.iter().filter_map(text).collect())
    }

    fn bounded<T: PartialOrd>(
        &self,
        node: &Node,
        key: &str,
        value: Option<T>,
        bounds: &RangeInclusive<T>,
        allowed: String,
    ) -> Option<T> {
        if let Some(value) = value.filter(|value| bounds.contains(value)) {
            return Some(value);
        }
        let problem = Problem::new(format!("`{}` can't be {}", self.path(key), node.shown()));
        self.report.note(node.at, problem.allowed(allowed));
        None
    }

    pub fn wrong(&self, node: &Node, path: &str, wanted: &str, hint: &str) {
        let message = format!("`{path}` must be {wanted}, not {}", node.kind());
        self.report.note(node.at, Problem::new(message).hint(hint));
    }
}

fn explicit_text(
    report: &Report<'_>,
    path: &str,
    node: &Node,
    check: impl Fn(&str) -> Result<(), String>,
) -> Option<String> {
    let Some(text) = node.text() else {
        let problem = Problem::new(format!("`{path}` must be text, not {}", node.kind()));
        report.note(node.at, problem.hint("put numbers and true or false into quotes"));
        return None;
    };
    explicit(report, path, node.at, text, check);
    Some(text.to_owned())
}

pub fn explicit(report: &Report<'_>, path: &str, at: Place, text: &str, check: impl Fn(&str) -> Result<(), String>) {
    if reference::has_one(text) {
        let problem = Problem::new(format!("`{path}` must be explicit, not a reference"));
        report.note(at, problem.hint("a reference would mean something else on another worker: write the value"));
    } else if let Err(allowed) = check(text) {
        report.note(at, Problem::new(format!("`{path}` can't be `{text}`")).allowed(allowed));
    }
}

pub fn refuse_repeated(report: &Report<'_>, entries: &[(Key, Node)]) {
    for (index, (key, _)) in entries.iter().enumerate() {
        if let Some((first, _)) = entries[..index].iter().find(|(first, _)| first.name == key.name) {
            let message = format!("`{}` is there twice, first in line {}", key.name, first.at.0);
            report.note(key.at, Problem::new(message).hint("keep one of them"));
        }
    }
}
