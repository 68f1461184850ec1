//! What no file can know alone.

use crate::{
    columns, connector::ConnectorConfig, delivery::Delivery, limits, merchant::MerchantConfig, nearest::nearest,
    problem::Problem, start::Start, units::show_duration, worker::Worker,
};
use outflow_api::Identity;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

const ONE_PLACE: &str = "readers could not tell whose a file is: give each its own";

pub fn connectors(worker: &Worker, connectors: &[(&Path, &ConnectorConfig)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names: BTreeMap<&str, &Path> = BTreeMap::new();
    let mut places: BTreeMap<&Identity, &str> = BTreeMap::new();
    for (file, connector) in connectors {
        let mut note = |problem: Problem| problems.push(problem.in_file(file.display().to_string()));
        if let Some(first) = names.insert(&connector.name, file) {
            let message = format!("connector `{}` is there twice, first in {}", connector.name, first.display());
            note(Problem::new(message).hint("give one of them another name"));
        }
        let identity = connector.sink.as_ref().map(|sink| &sink.identity);
        if let Some(other) = identity.and_then(|identity| places.insert(identity, &connector.name)) {
            let message = format!("connectors `{other}` and `{}` deliver to the same place", connector.name);
            note(Problem::new(message).hint(ONE_PLACE));
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
    problems
}

/// What is wrong with which merchant, by its index. Of two that exclude each other neither is right: which of them
/// was meant is for people to say, and no order of files may decide where somebody's records go.
pub fn merchants(
    worker: &Worker,
    connectors: &[ConnectorConfig],
    merchants: &[Arc<MerchantConfig>],
) -> BTreeMap<usize, Vec<Problem>> {
    let mut agreement = Agreement { merchants, problems: BTreeMap::new() };
    let connectors: BTreeMap<&str, &ConnectorConfig> =
        connectors.iter().map(|connector| (connector.name.as_str(), connector)).collect();
    for (index, merchant) in merchants.iter().enumerate() {
        for delivery in &merchant.deliver {
            for problem in fit(worker, &connectors, delivery) {
                agreement.note(index, delivery, problem);
            }
        }
    }
    agreement.ids_are_there_once();
    agreement.places_are_taken_once(&connectors);
    agreement.schedules_are_few();
    agreement.problems
}

/// A delivery beside its connector.
fn fit(worker: &Worker, connectors: &BTreeMap<&str, &ConnectorConfig>, delivery: &Delivery) -> Vec<Problem> {
    let name = &delivery.connector;
    let Some(connector) = connectors.get(name.as_ref()) else {
        let problem = Problem::new(format!("there is no connector `{name}`"));
        let names = connectors.keys().copied();
        return vec![match nearest(name, names.clone()) {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem.allowed(names.take(limits::TOPICS_MAX).collect::<Vec<_>>().join(", ")),
        }];
    };
    if connector.routing.is_none() {
        let problem = Problem::new(format!("connector `{name}` does not say where a record's merchant stands"));
        return vec![problem.hint("add `merchant: { key: true }` to the connector's file")];
    }
    let mut problems = columns::check(&connector.model, &delivery.without, &delivery.hash);
    if delivery.flush(&connector.flush).bytes > worker.memory / 2 {
        let problem = Problem::new("`flush.bytes` is more than half of `memory`");
        problems.push(problem.hint("raise `memory` in the worker's file, or flush earlier"));
    }
    if let Start::Offsets(offsets) = &delivery.start {
        let is_read = |name: &str| {
            let pattern = connector.topics_pattern.as_ref();
            connector.topics.iter().any(|topic| topic == name) || pattern.is_some_and(|pattern| pattern.is_match(name))
        };
        let unread = offsets.iter().find(|start| !is_read(&start.topic));
        problems.extend(unread.map(|start| {
            let problem = Problem::new(format!("`start.offset` names topic `{}`", start.topic));
            problem.allowed(format!("the topics of connector `{name}`: {}", connector.topics.join(", ")))
        }));
    }
    problems
}

struct Agreement<'a> {
    merchants: &'a [Arc<MerchantConfig>],
    problems: BTreeMap<usize, Vec<Problem>>,
}

/// A merchant by its index, and one of its deliveries.
type Found<'a> = (usize, &'a Delivery);

impl<'a> Agreement<'a> {
    fn note(&mut self, index: usize, delivery: &Delivery, problem: Problem) {
        let problem = self.merchants[index].problem(delivery, problem);
        self.problems.entry(index).or_default().push(problem);
    }

    fn all(&self) -> impl Iterator<Item = Found<'a>> + use<'a> {
        let merchants = self.merchants.iter().enumerate();
        merchants.flat_map(|(index, merchant)| merchant.deliver.iter().map(move |delivery| (index, delivery)))
    }

    /// Notes at both that they exclude each other; `say` is told the other's place.
    fn exclude(&mut self, one: Found<'_>, other: Found<'_>, say: impl Fn(String) -> Problem) {
        for ((index, delivery), (elsewhere, there)) in [(one, other), (other, one)] {
            self.note(index, delivery, say(self.merchants[elsewhere].place(there)));
        }
    }

    fn ids_are_there_once(&mut self) {
        let mut seen: HashMap<(&str, &str), Found<'_>> = HashMap::new();
        for (index, delivery) in self.all() {
            let id = self.merchants[index].id.as_ref();
            let before = seen.insert((id, &delivery.connector), (index, delivery));
            if let Some(before) = before.filter(|(other, _)| *other != index) {
                self.exclude(before, (index, delivery), |place| {
                    let message =
                        format!("merchant `{id}` is there twice for `{}`, also in {place}", delivery.connector);
                    Problem::new(message).hint("keep one of them, or put both deliveries into one")
                });
            }
        }
    }

    fn places_are_taken_once(&mut self, connectors: &BTreeMap<&str, &ConnectorConfig>) {
        let sinks = connectors.values().filter_map(|connector| Some((connector, connector.sink.as_ref()?)));
        let defaults: HashMap<&Identity, &str> =
            sinks.map(|(connector, sink)| (&sink.identity, connector.name.as_str())).collect();
        let mut seen: HashMap<&Identity, Found<'_>> = HashMap::new();
        for (index, delivery) in self.all() {
            if let Some(connector) = defaults.get(&delivery.identity) {
                let problem = Problem::new(format!("connector `{connector}` itself delivers to the same place"));
                self.note(index, delivery, problem.hint(ONE_PLACE));
            }
            let Some(first) = seen.insert(&delivery.identity, (index, delivery)) else { continue };
            let whose =
                |(index, delivery): Found<'_>| (self.merchants[index].id.clone(), Arc::clone(&delivery.connector));
            let ((one, its), (other, others)) = (whose(first), whose((index, delivery)));
            self.exclude(first, (index, delivery), |place| {
                let message =
                    format!("merchants `{one}` (`{its}`) and `{other}` (`{others}`) deliver to the same place");
                Problem::new(format!("{message}, also in {place}")).hint(ONE_PLACE)
            });
        }
    }

    fn schedules_are_few(&mut self) {
        let mut used: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for (index, delivery) in self.all() {
            let Some(schedule) = delivery.schedule else { continue };
            let used = used.entry(&delivery.connector).or_default();
            if used.len() < limits::SCHEDULES_MAX || used.contains(&schedule) {
                used.insert(schedule);
                continue;
            }
            let message = format!("connector `{}` has too many different schedules", delivery.connector);
            let words = used.iter().map(|seconds| show_duration(Duration::from_secs(u64::from(*seconds))));
            let problem = Problem::new(message).allowed(words.collect::<Vec<_>>().join(", "));
            self.note(index, delivery, problem.hint("each schedule reads the topics once more: share one"));
        }
    }
}
