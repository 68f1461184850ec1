//! Configurations that are looked at before they are published, and what they may say.

use crate::{check, plan::own_lane};
use outflow_api::Fault;
use outflow_config::{
    ConnectorConfig, Definition, DefinitionKind, Judged, Plugin, Problem, SystemEnvironment, Worker, fits, in_a_line,
    judge,
};
use outflow_control::{Flat, JudgedValue, Judgement, KeyInfo, Kind, PluginInfo, Refusal, Validation};
use std::collections::{BTreeMap, BTreeSet};

const CLASS: &str = "connector.class";

/// A connector that is right, with its configuration as it is kept: what was put, and the name.
pub fn connector(worker: &Worker, name: &str, mut config: Flat) -> Result<(Flat, ConnectorConfig), Refusal> {
    if let Some(other) = config.get("name").filter(|other| other.trim() != name) {
        return Err(Refusal::malformed(format!("the configuration's name is {other:?}, and the path's {name:?}")));
    }
    config.entry("name".to_owned()).or_insert_with(|| name.to_owned());
    let class = config.get(CLASS).filter(|class| !class.trim().is_empty());
    let class = class.ok_or_else(|| Refusal::malformed(format!("{CLASS} is missing; allowed: {}", classes())))?;
    let plugin = Plugin::named(class, outflow_registry::sinks());
    let plugin = plugin.ok_or_else(|| Refusal::malformed(unknown_class(class)))?;
    let judged = judged(worker, &plugin, &config);
    match &judged.connector {
        Some(connector) => Ok((config, connector.clone())),
        None => Err(Refusal::malformed(format!(
            "the configuration of connector {name:?} has {} error(s):\n{}\nThe same, key by key: PUT \
             /connector-plugins/{}/config/validate",
            judged.wrong.len(),
            judged.problems(),
            plugin.class
        ))),
    }
}

/// By itself, beside the worker, and by its sink.
fn judged(worker: &Worker, plugin: &Plugin, config: &Flat) -> Judged {
    let judged = judge(config, plugin, outflow_registry::sinks(), &SystemEnvironment);
    let Some(connector) = &judged.connector else { return judged };
    let mut wrong: Vec<(String, Problem)> = fits(worker, connector)
        .into_iter()
        .map(|problem| {
            let key = problem.message.split('`').nth(1).unwrap_or_default().to_owned();
            (key, problem)
        })
        .collect();
    let opened = own_lane(connector).map(|lane| check::open(connector, lane).map(drop));
    if let (Some(Err(fault)), true) = (opened, wrong.is_empty()) {
        let key = setting(&fault, plugin);
        wrong.push((key, Problem::new(format!("{}: {}", fault.code, fault.hint))));
    }
    if wrong.is_empty() { judged } else { Judged { connector: None, wrong } }
}

/// The setting that a sink's fault names first.
fn setting(fault: &Fault, plugin: &Plugin) -> String {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let words = fault.hint.split(|c: char| !in_name(c)).map(|word| word.trim_matches('.'));
    let definitions = plugin.definitions(outflow_registry::sinks());
    let is_one = |word: &str| definitions.iter().find(|one| one.name.strip_prefix("sink.") == Some(word));
    words.filter_map(is_one).map(|one| one.name.clone()).next().unwrap_or_else(|| CLASS.to_owned())
}

fn classes() -> String {
    let all = Plugin::all(outflow_registry::sinks()).into_iter().map(|plugin| plugin.class);
    all.collect::<Vec<_>>().join(", ")
}

/// Clients know this one by how it begins.
fn unknown_class(class: &str) -> String {
    format!("Failed to find any class that implements Connector and is called {class:?}; allowed: {}", classes())
}

pub fn plugins() -> Vec<PluginInfo> {
    let all = Plugin::all(outflow_registry::sinks()).into_iter();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    all.map(|plugin| PluginInfo { class: plugin.class, kind: Kind::Sink, version: version.clone() }).collect()
}

pub fn keys(plugin: &str) -> Result<Vec<KeyInfo>, Refusal> {
    let known = Plugin::named(plugin, outflow_registry::sinks());
    let known =
        known.ok_or_else(|| Refusal::unknown(format!("there is no plugin {plugin:?}; allowed: {}", classes())))?;
    let definitions = known.definitions(outflow_registry::sinks());
    Ok(definitions.iter().enumerate().map(|(order, definition)| key(definition, order)).collect())
}

fn key(definition: &Definition, order: usize) -> KeyInfo {
    let kind = match definition.kind {
        DefinitionKind::Text | DefinitionKind::Yaml => "STRING",
        DefinitionKind::Flag => "BOOLEAN",
        DefinitionKind::Number => "LONG",
        DefinitionKind::List => "LIST",
        DefinitionKind::Class => "CLASS",
        DefinitionKind::Secret => "PASSWORD",
    };
    KeyInfo {
        name: definition.name.clone(),
        kind: kind.to_owned(),
        required: definition.is_required,
        default_value: definition.default.clone(),
        importance: if definition.is_required { "HIGH" } else { "MEDIUM" }.to_owned(),
        documentation: definition.meaning.clone(),
        group: Some(definition.group.to_owned()),
        width: if definition.kind == DefinitionKind::Yaml { "LONG" } else { "MEDIUM" }.to_owned(),
        display_name: definition.name.clone(),
        dependents: Vec::new(),
        order_in_group: order as i32,
    }
}

/// `plugin` is the path's, and the configuration's class must be the same one.
pub fn validate(worker: &Worker, plugin: &str, config: &Flat) -> Result<Validation, Refusal> {
    let class =
        config.get(CLASS).ok_or_else(|| Refusal::malformed(format!("{CLASS} is missing in the configuration")))?;
    let known = Plugin::named(class, outflow_registry::sinks());
    // A dry run answers as Connect's does, by which clients tell it from a wrong configuration.
    let known = known.ok_or_else(|| Refusal::internal(unknown_class(class)))?;
    if !known.goes_by(plugin) {
        return Err(Refusal::malformed(format!("the configuration is for {class:?}, and the path names {plugin:?}")));
    }
    let judged = judged(worker, &known, config);
    let mut wrong: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, problem) in &judged.wrong {
        wrong.entry(key).or_default().push(in_a_line(problem));
    }
    let definitions = known.definitions(outflow_registry::sinks());
    let defined: BTreeSet<&str> = definitions.iter().map(|definition| definition.name.as_str()).collect();
    let value = |name: &str, default: Option<&String>| JudgedValue {
        name: name.to_owned(),
        value: config.get(name).or(default).cloned(),
        recommended_values: Vec::new(),
        errors: wrong.get(name).cloned().unwrap_or_default(),
        visible: true,
    };
    let own = definitions.iter().enumerate().map(|(order, definition)| Judgement {
        definition: Some(key(definition, order)),
        value: value(&definition.name, definition.default.as_ref()),
    });
    // Keys that are not ours are shown if something is wrong with them.
    let others = wrong.keys().filter(|name| !defined.contains(**name));
    let others = others.map(|name| Judgement { definition: None, value: value(name, None) });
    let mut groups: Vec<String> = Vec::new();
    for definition in &definitions {
        if !groups.iter().any(|group| group == definition.group) {
            groups.push(definition.group.to_owned());
        }
    }
    let configs: Vec<Judgement> = own.chain(others).collect();
    let error_count = configs.iter().map(|one| one.value.errors.len()).sum();
    Ok(Validation { name: known.class, error_count, groups, configs })
}
