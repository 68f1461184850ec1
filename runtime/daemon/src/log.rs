//! What is logged: as configured, until somebody asks for more.

use crate::events::{Hearing, Memory};
use outflow_config::{Log, LogFormat};
use outflow_control::{LEVELS, LoggerLevel, Refusal, now_ms};
use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    sync::{Arc, Mutex, PoisonError},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, filter_fn},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

/// The levels in force, by target, and the way to change them. Cheap to clone.
#[derive(Clone)]
pub struct Levels(Arc<State>);

struct State {
    levels: Mutex<BTreeMap<String, LoggerLevel>>,
    change: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
}

/// All that no other target says.
const ROOT: &str = "root";
const LOGGERS_MAX: usize = 1_000;
const NAME_MAX: usize = 200;

/// To standard error; `OUTFLOW_LOG` overrides the configured level. What is remembered as events does not depend on it.
pub fn start(log: &Log) -> (Levels, Memory) {
    let said = std::env::var("OUTFLOW_LOG").ok().filter(|said| EnvFilter::try_new(said).is_ok());
    let said = said.unwrap_or_else(|| log.level.clone());
    let (shown, handle) = reload::Layer::new(EnvFilter::new(&said));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let memory = Memory::new(now_ms());
    let heard = filter_fn(Hearing::hears).with_max_level_hint(LevelFilter::INFO);
    let hearing = Hearing(memory.clone()).with_filter(heard);
    // A second start in one process (a test) keeps the first one's settings.
    let _ = tracing_subscriber::registry().with(lines.with_filter(shown)).with(hearing).try_init();
    let change = Box::new(move |filter| handle.reload(filter).is_ok());
    (Levels(Arc::new(State { levels: Mutex::new(levels(&said)), change })), memory)
}

/// `info,outflow_kafka=debug`, by target.
fn levels(said: &str) -> BTreeMap<String, LoggerLevel> {
    let mut all = BTreeMap::from([(ROOT.to_owned(), LoggerLevel { level: "ERROR".to_owned(), last_modified: None })]);
    for directive in said.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let (target, level) = directive.rsplit_once('=').unwrap_or((ROOT, directive));
        let level = level.to_ascii_uppercase();
        if LEVELS.contains(&level.as_str()) {
            all.insert(target.to_owned(), LoggerLevel { level, last_modified: None });
        }
    }
    all
}

/// As the subscriber reads it.
fn directives(levels: &BTreeMap<String, LoggerLevel>) -> String {
    let level = |level: &str| if level == "FATAL" { "error".to_owned() } else { level.to_ascii_lowercase() };
    let one = |(target, at): (&String, &LoggerLevel)| match target.as_str() {
        ROOT => level(&at.level),
        target => format!("{target}={}", level(&at.level)),
    };
    levels.iter().map(one).collect::<Vec<_>>().join(",")
}

impl Levels {
    pub fn all(&self) -> BTreeMap<String, LoggerLevel> {
        self.0.levels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers the loggers that changed.
    pub fn set(&self, logger: &str, level: &str) -> Result<Vec<String>, Refusal> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-');
        if logger.is_empty() || logger.len() > NAME_MAX || !logger.chars().all(is_name) {
            let allowed = "root, or a module such as outflow_kafka or outflow_driver::shard";
            return Err(Refusal::unknown(format!("{logger:?} is no logger; allowed: {allowed}")));
        }
        let mut levels = self.0.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if levels.len() >= LOGGERS_MAX && !levels.contains_key(logger) {
            return Err(Refusal::malformed(format!("at most {LOGGERS_MAX} loggers have levels of their own")));
        }
        let mut new = levels.clone();
        // A module's level is that of all below it.
        let below = format!("{logger}::");
        new.retain(|target, _| !target.starts_with(&below));
        new.insert(logger.to_owned(), LoggerLevel { level: level.to_owned(), last_modified: Some(now_ms()) });
        let filter = EnvFilter::try_new(directives(&new));
        let filter = filter.map_err(|error| Refusal::malformed(format!("{logger:?} at {level}: {error}")))?;
        if !(self.0.change)(filter) {
            return Err(Refusal::unavailable("this process's log cannot be changed"));
        }
        *levels = new;
        tracing::info!(logger, level, event = "level-set", "ordered by a person");
        Ok(vec![logger.to_owned()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_is_shown_by_target_and_can_be_said_again() {
        let known = levels("info,outflow_kafka=debug");
        assert_eq!(known["root"].level, "INFO");
        assert_eq!(known["outflow_kafka"].level, "DEBUG");
        assert_eq!(directives(&known), "outflow_kafka=debug,info");
    }
}
