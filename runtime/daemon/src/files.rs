//! The files, looked at again whenever they change.

use crate::{plan::plan, quotas};
use outflow_config::{Config, Loader, Problem, Problems, SystemEnvironment, Wake, Watcher};
use outflow_control::Refusal;
use outflow_driver::Plan;
use std::{path::PathBuf, sync::Arc, thread};
use tokio::sync::watch;

/// What they say now. Cheap to clone.
#[derive(Clone)]
pub struct Files {
    config: watch::Receiver<Arc<Config>>,
    plans: watch::Receiver<Arc<Plan>>,
    looks: watch::Receiver<()>,
}

impl Files {
    /// The last that was right.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// Files alone say what is configured, if this worker was told so.
    pub fn check_writable(&self) -> Result<(), Refusal> {
        match self.config().worker.rest.read_only {
            true => Err(Refusal::forbidden(
                "configuration comes from files alone, and commands are taken: `rest.read_only` is set in the worker's \
                 file",
            )),
            false => Ok(()),
        }
    }

    /// Changes with each look, also where it found something wrong.
    pub fn looks(&self) -> watch::Receiver<()> {
        self.looks.clone()
    }

    pub fn plans(&self) -> watch::Receiver<Arc<Plan>> {
        self.plans.clone()
    }
}

/// Reads them once, and keeps reading them on a thread of its own for as long as anybody listens.
pub fn follow(path: PathBuf, forced: bool) -> Result<Files, Problems> {
    let mut loader = Loader::new(path, outflow_registry::sinks(), &SystemEnvironment);
    let mut watcher = Watcher::new();
    let loaded = loader.load()?;
    tell(&loaded.config);
    let first = plan(&loaded, forced);
    tell_quotas(&first, &loaded.config);
    let (plans, newest_plan) = watch::channel(Arc::new(first));
    let (configs, newest_config) = watch::channel(Arc::new(loaded.config));
    let (looked, looks) = watch::channel(());
    warn(watcher.watch(&loader.folders()));
    let look = move || {
        loop {
            if watcher.wait() == Wake::Stopped || plans.is_closed() {
                return;
            }
            match loader.load() {
                Ok(loaded) if loaded.changed => {
                    tell(&loaded.config);
                    let plan = plan(&loaded, false);
                    tell_quotas(&plan, &loaded.config);
                    configs.send_replace(Arc::new(loaded.config));
                    plans.send_replace(Arc::new(plan));
                }
                // The worker's own file alone.
                Ok(loaded) => {
                    configs.send_if_modified(|known| {
                        let is_other = known.worker != loaded.config.worker;
                        if is_other {
                            *known = Arc::new(loaded.config);
                        }
                        is_other
                    });
                }
                Err(problems) => tracing::error!(
                    event = "config-refused",
                    "the configuration is wrong, what is in force stays: {problems}"
                ),
            }
            looked.send_replace(());
            warn(watcher.watch(&loader.folders()));
        }
    };
    thread::Builder::new().name("files".into()).spawn(look).expect("a thread can be started");
    Ok(Files { config: newest_config, plans: newest_plan, looks })
}

/// Folders that tell nothing are looked at now and then.
fn warn(problems: Vec<Problem>) {
    problems.iter().for_each(|problem| tracing::warn!("{problem}"));
}

/// What all files together ask for is nobody's mistake alone: it is in force, and lanes may have to wait.
fn tell_quotas(plan: &Plan, config: &Config) {
    for why in quotas::exceeded(&plan.wanted, config.worker.shards) {
        tracing::warn!(event = "quota-too-small", "more is asked of a destination than it allows: {why}");
    }
}

/// What was refused alone; everything else is in force.
fn tell(config: &Config) {
    for problem in &config.refused.problems {
        tracing::error!(
            file = problem.file,
            event = "file-refused",
            "refused, what it said before stays in force: {problem}"
        );
    }
}
