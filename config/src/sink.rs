use crate::{
    limits::SETTINGS_DEPTH_MAX,
    nearest::nearest,
    problem::{Placed, Problem, Report, names_a_secret},
    reference,
    section::{Section, refuse_repeated},
    yaml::{Node, Tree},
};
use outflow_api::{Fault, Identity, SinkDescriptor};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Where a connector delivers to. The settings are the sink's own affair; here they are only read.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// The `type`: which sink.
    pub kind: String,
    /// All settings but the type, with their references as they were written.
    pub settings: Value,
    /// Computed by the sink from settings without references.
    pub identity: Identity,
    /// By dotted path, to show a sink's own complaint at the line that caused it.
    places: BTreeMap<String, Placed>,
}

impl SinkConfig {
    /// A sink's fault about its settings, placed at the first setting that its hint names.
    pub fn problem(&self, fault: &Fault) -> Problem {
        let problem = Problem::new(format!("{}: {}", fault.code, fault.hint));
        match named(&fault.hint, &self.places) {
            Some(place) => problem.at(place),
            None => problem,
        }
    }
}

/// A `sink` section that is right by itself.
pub struct Destination {
    pub kind: &'static str,
    pub settings: Value,
    pub identity: Identity,
}

/// Reads the `sink` section of a connector, or notes why it can't.
pub fn sink(connector: &Section<'_>, sinks: &[&SinkDescriptor]) -> Option<SinkConfig> {
    let Destination { kind, settings, identity } = destination(connector, sinks)?;
    let places = places(connector.report, connector.get("sink")?);
    Some(SinkConfig { kind: kind.to_owned(), settings, identity, places })
}

/// The same without the places of its settings: what the sink itself complains of is placed here and now.
pub fn destination(parent: &Section<'_>, sinks: &[&SinkDescriptor]) -> Option<Destination> {
    let node = parent.require("sink", "say where to: `sink: { type: object_store, url: \"/data/orders\" }`")?;
    let (report, name) = (parent.report, parent.path("sink"));
    let section = Section::open(report, &name, node)?;
    let kinds: Vec<(&str, &SinkDescriptor)> = sinks.iter().map(|sink| (sink.kind, *sink)).collect();
    section.require("type", &format!("one of: {}", names(kinds.iter().map(|(kind, _)| *kind))))?;
    let descriptor = section.choice("type", &kinds)?;
    if !(strings_are_sound(report, &name, node) & keys_are_known(report, &name, "", node, descriptor)) {
        return None;
    }
    let mut settings = node.to_json();
    settings.as_object_mut()?.remove("type");
    let identity = (descriptor.identity)(&settings).map_err(|fault| {
        let place = named(&fault.hint, &places(report, node)).cloned().unwrap_or_else(|| report.place(node.at));
        report.add(Problem::new(format!("{}: {}", fault.code, fault.hint)).at(&place));
    });
    Some(Destination { kind: descriptor.kind, settings, identity: identity.ok()? })
}

fn names<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

fn places(report: &Report<'_>, node: &Node) -> BTreeMap<String, Placed> {
    let mut places = BTreeMap::new();
    node.walk("", &mut |path, node| {
        places.insert(path.to_owned(), report.place(node.at));
    });
    places
}

/// References are well formed, and nothing that is called a secret stands there in the open.
fn strings_are_sound(report: &Report<'_>, name: &str, sink: &Node) -> bool {
    let mut sound = true;
    sink.walk("", &mut |path, node| {
        let key = path.rsplit('.').next().unwrap_or_default();
        let open_secret = names_a_secret(key)
            && matches!(&node.tree, Tree::Scalar(value) if value.as_str().is_none_or(|text| !reference::is_one(text)));
        let problem = match node.text().map(reference::check) {
            Some(Err(problem)) => problem,
            _ if open_secret && !node.is_null() => {
                Problem::new(format!("a secret stands in the file, under `{name}.{path}`"))
                    .allowed("${env:NAME} or ${file:/path}")
                    .hint(format!("keep it elsewhere and write `{key}: \"${{env:NAME}}\"`"))
            }
            _ if path.matches('.').count() >= SETTINGS_DEPTH_MAX => Problem::new("settings are nested too deep"),
            _ => return,
        };
        report.note(node.at, problem);
        sound = false;
    });
    sound
}

/// Keys that the sink does not know, at any level that it describes.
fn keys_are_known(report: &Report<'_>, name: &str, path: &str, node: &Node, sink: &SinkDescriptor) -> bool {
    let Tree::Map(entries) = &node.tree else { return true };
    let dot = if path.is_empty() { "" } else { "." };
    let prefix = format!("{path}{dot}");
    let below = sink.settings.iter().filter_map(|setting| setting.name.strip_prefix(&prefix));
    let mut known: BTreeSet<&str> = below.filter_map(|rest| rest.split('.').next()).collect();
    if known.is_empty() {
        return true; // The sink leaves this level open, or describes nothing.
    }
    if path.is_empty() {
        known.insert("type");
    } else {
        refuse_repeated(report, entries);
    }
    let mut sound = true;
    for (key, node) in entries {
        if known.contains(key.name.as_str()) {
            sound &= keys_are_known(report, name, &format!("{prefix}{}", key.name), node, sink);
            continue;
        }
        sound = false;
        let problem = Problem::new(format!("unknown key `{}` in `{name}{dot}{path}` of type {}", key.name, sink.kind));
        let problem = problem.allowed(names(known.iter().copied()));
        report.note(
            key.at,
            match nearest(&key.name, known.iter().copied()) {
                Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                None => problem,
            },
        );
    }
    sound
}

/// The setting that a sentence names first, by its whole path or else by its last word.
fn named<'a>(sentence: &str, places: &'a BTreeMap<String, Placed>) -> Option<&'a Placed> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let words = sentence.split(|c: char| !in_name(c)).map(|word| word.trim_matches('.'));
    let words: Vec<&str> = words.map(|word| word.strip_prefix("sink.").unwrap_or(word)).collect();
    let whole = words.iter().find_map(|word| places.get(*word).filter(|_| !word.is_empty()));
    let last = |word: &&str| places.iter().find(|(path, _)| path.rsplit('.').next() == Some(*word));
    whole
        .or_else(|| words.iter().filter(|word| !word.is_empty()).find_map(last).map(|(_, place)| place))
        .or_else(|| places.get(""))
}
