//! The config log as this process knows it: one thread reads it and publishes into it, everybody asks the catalogue.

use crate::{
    forgetting::{Forgetting, WORTH_IT},
    holds::{Hold, Holds},
};
use outflow_api::{ConfigEntry, ConfigLog, ConfigRevision, Fault, Publication, Revision, Shard};
use outflow_catalogue::{Catalogue, CommandEntry, ConnectorEntry, Draft, Needs, Order, Wanted, draft};
use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, mpsc},
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

const READ_MAX: Duration = Duration::from_millis(100);
/// A publication that others are always ahead of, or that nobody answers.
const PUBLISH_MAX: Duration = Duration::from_secs(60);
/// Somebody else publishes: he is given time, more each time.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Cheap to clone.
#[derive(Clone)]
pub struct Configuration {
    catalogue: Arc<RwLock<Catalogue>>,
    newest: watch::Receiver<Known>,
    desk: mpsc::Sender<Request>,
    holds: Holds,
}

/// How much of the log is known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub revision: Revision,
    /// All that was there when we began to read.
    pub is_current: bool,
    /// The log cannot be read any further.
    pub trouble: Option<String>,
}

enum Request {
    Wanted {
        wanted: Box<Wanted>,
        forced: bool,
        answer: oneshot::Sender<Result<Published, Fault>>,
    },
    Standing {
        connector: String,
        standing: Standing,
        orders: CommandEntry,
        answer: oneshot::Sender<Result<Published, Fault>>,
    },
    Orders {
        id: String,
        orders: Vec<Order>,
        answer: oneshot::Sender<Result<Revision, Fault>>,
    },
}

/// Whether anything is read for a connector.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    #[default]
    Running,
    Paused,
    Stopped,
}

impl Standing {
    pub fn of(entry: &ConnectorEntry) -> Standing {
        match (entry.stopped, entry.paused) {
            (true, _) => Standing::Stopped,
            (false, true) => Standing::Paused,
            (false, false) => Standing::Running,
        }
    }

    pub fn set(self, entry: &mut ConnectorEntry) {
        (entry.paused, entry.stopped) = (self == Standing::Paused, self == Standing::Stopped);
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Published {
    /// In force from this revision on.
    At(Revision),
    /// Nothing differs from what is in force.
    Nothing,
    /// These files were published before and others since: nothing was published.
    Superseded,
    /// The document is not as it was expected: nothing was published.
    Moved,
    /// It contradicts what is somebody else's word, or names what is not there: nothing was published.
    Taken(String),
}

impl Configuration {
    /// The thread ends when the last handle is gone. `needs` answers what all shards may ask for.
    pub fn start(
        log: Box<dyn ConfigLog>,
        needs: impl Fn() -> Result<Needs, Fault> + Send + Sync + 'static,
    ) -> Configuration {
        let (desk, requests) = mpsc::channel();
        let (known, newest) = watch::channel(Known::default());
        let catalogue = Arc::new(RwLock::new(Catalogue::default()));
        let (forgetting, holds) = (Forgetting::new(Arc::new(needs)), Holds::default());
        let mut own = Desk { log, catalogue: Arc::clone(&catalogue), known, forgetting, holds: holds.clone() };
        let run = move || own.run(&requests);
        std::thread::Builder::new().name("config".into()).spawn(run).expect("a thread can be started");
        Configuration { catalogue, newest, desk, holds }
    }

    pub fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn watch(&self) -> watch::Receiver<Known> {
        self.newest.clone()
    }

    /// Waits until this revision, and everything that was published before we began to read, is known.
    pub async fn wait_for(&self, revision: Revision) -> Result<(), Fault> {
        let mut newest = self.newest.clone();
        let reached = |known: &Known| known.trouble.is_some() || known.is_current && known.revision >= revision;
        let known = newest.wait_for(reached).await.map_err(|_| gone())?.clone();
        match known.trouble {
            Some(trouble) => Err(Fault::halt("config-unreadable", trouble)),
            None => Ok(()),
        }
    }

    /// To be asked by a shard's new owner when he has [waited](Configuration::wait_for) for all that its journal names:
    /// as long as he holds it, nothing is dropped that he may ask for.
    ///
    /// # Errors
    /// If the log has forgotten some of it already: no owner of the shard let it, so its journal is not the one that
    /// was asked then.
    pub(crate) fn hold(&self, shard: Shard, needs: Needs) -> Result<Hold, Fault> {
        let catalogue = self.catalogue();
        if catalogue.knows(needs) {
            return Ok(self.holds.hold(shard, needs));
        }
        let hint = format!(
            "the journal of shard {} needs the config log's contents from revision {} on, and those up to revision {} \
             are forgotten: the journal is older than the config log, or empty beside it. Restore the newer journal, \
             or a copy of the config log that is not newer than this journal; who wants to begin anew takes another \
             group, and on the embedded cluster another folder",
            shard.0,
            needs.routed.min(needs.taken).0,
            catalogue.forgotten().0
        );
        Err(Fault::halt("config-forgotten", hint))
    }

    pub async fn publish(&self, wanted: Wanted, forced: bool) -> Result<Published, Fault> {
        let (answer, published) = oneshot::channel();
        let _ = self.desk.send(Request::Wanted { wanted: Box::new(wanted), forced, answer });
        published.await.map_err(|_| gone())?
    }

    /// Holds a connector, or lets it go on: in all shards, over restarts. What is ordered of its lanes takes effect
    /// with it.
    pub async fn stand(&self, connector: String, standing: Standing, orders: CommandEntry) -> Result<Published, Fault> {
        let (answer, published) = oneshot::channel();
        let _ = self.desk.send(Request::Standing { connector, standing, orders, answer });
        published.await.map_err(|_| gone())?
    }

    /// What an operator asks for; a call that is repeated with the same id takes effect once.
    pub async fn order(&self, id: String, orders: Vec<Order>) -> Result<Revision, Fault> {
        let (answer, published) = oneshot::channel();
        let _ = self.desk.send(Request::Orders { id, orders, answer });
        published.await.map_err(|_| gone())?
    }
}

/// The next revision, or why there is none.
pub(crate) fn drafted(catalogue: &Catalogue, wanted: &Wanted, forced: bool) -> Result<ConfigRevision, Published> {
    match draft(catalogue, wanted, forced) {
        Draft::Nothing => Err(Published::Nothing),
        Draft::Superseded => Err(Published::Superseded),
        Draft::Moved => Err(Published::Moved),
        Draft::Taken(why) => Err(Published::Taken(why)),
        Draft::Publish(revision) => Ok(revision),
    }
}

fn command(revision: Revision, command: &CommandEntry) -> ConfigEntry {
    let content = serde_json::to_vec(command).expect("commands are plain JSON");
    ConfigEntry { object: format!("command/{}", revision.0), content: Some(content.into()) }
}

fn gone() -> Fault {
    Fault::retry("config-gone", "the thread of the config log is gone: the worker is stopping")
}

struct Desk {
    log: Box<dyn ConfigLog>,
    catalogue: Arc<RwLock<Catalogue>>,
    known: watch::Sender<Known>,
    forgetting: Forgetting,
    holds: Holds,
}

impl Desk {
    fn run(&mut self, requests: &mpsc::Receiver<Request>) {
        loop {
            if let Err(fault) = self.read(READ_MAX) {
                tracing::error!(code = fault.code, %fault, "the config log cannot be read");
                return self.known.send_modify(|known| known.trouble = Some(fault.to_string()));
            }
            match requests.try_recv() {
                Ok(request) => self.serve(request),
                Err(mpsc::TryRecvError::Empty) => self.forget(),
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
    }

    fn read(&mut self, wait: Duration) -> Result<(), Fault> {
        let published = self.log.read(wait)?;
        let is_current = self.log.is_current();
        if !published.is_empty() {
            let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
            published.iter().try_for_each(|revision| catalogue.apply(revision))?;
        }
        if is_current {
            self.forget_here();
        }
        let revision = self.catalogue.read().unwrap_or_else(PoisonError::into_inner).revision();
        self.known.send_if_modified(|known| {
            // What was published before the start is no news.
            if known.is_current && known.revision < revision {
                tracing::info!(revision = revision.0, event = "revision-taken", "configuration is in force");
            }
            let differs = known.revision != revision || known.is_current != is_current;
            (known.revision, known.is_current) = (revision, is_current);
            differs
        });
        Ok(())
    }

    /// What the log has forgotten goes here as well, unless a shard that runs here may still ask for it.
    fn forget_here(&mut self) {
        let forgotten = self.log.forgotten();
        if self.catalogue.read().unwrap_or_else(PoisonError::into_inner).has_dropped(forgotten) {
            return;
        }
        let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        let dropped = catalogue.forget(forgotten, self.holds.needs());
        if dropped > 0 {
            tracing::info!(dropped, left = catalogue.contents(), "what the config log has forgotten is dropped");
        }
    }

    /// Now and then, and only what is worth it; nobody waits for it.
    fn forget(&mut self) {
        let is_current = self.known.borrow().is_current;
        let Some(needs) = self.forgetting.needs(is_current) else { return };
        let forgotten = {
            let catalogue = self.catalogue.read().unwrap_or_else(PoisonError::into_inner);
            catalogue.forgettable(needs, self.log.forgotten())
        };
        if forgotten.entries.len() < WORTH_IT {
            return;
        }
        match self.log.forget(&forgotten) {
            Publication::Done => {
                let (until, entries) = (forgotten.until.0, forgotten.entries.len());
                tracing::info!(until, entries, "old contents of the config log are forgotten");
            }
            Publication::Behind => tracing::debug!("somebody else publishes: forgetting waits for the next time"),
            Publication::Refused(fault) | Publication::Unknown(fault) => {
                tracing::warn!(code = fault.code, %fault, "old contents of the config log stay for now");
            }
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Wanted { wanted, forced, answer } => {
                let published = self.publish(|catalogue| drafted(catalogue, &wanted, forced));
                let _ = answer.send(published);
            }
            Request::Standing { connector, standing, orders, answer } => {
                let published = self.publish(|catalogue| {
                    let gone = || Published::Taken(format!("there is no connector {connector:?} any more"));
                    let entry = catalogue.connector(&connector).ok_or_else(gone)?;
                    let mut new = entry.clone();
                    standing.set(&mut new);
                    if new == *entry && orders.orders.is_empty() {
                        return Err(Published::Nothing);
                    }
                    let revision = Revision(catalogue.revision().0 + 1);
                    let content = serde_json::to_vec(&new).expect("entries are plain JSON");
                    let object = format!("connector/{connector}");
                    let mut entries = vec![ConfigEntry { object, content: Some(content.into()) }];
                    entries.extend((!orders.orders.is_empty()).then(|| command(revision, &orders)));
                    Ok(ConfigRevision { revision, entries })
                });
                let _ = answer.send(published);
            }
            Request::Orders { id, orders, answer } => {
                let published = self.publish(|catalogue| {
                    if catalogue.knows_command(&id) {
                        return Err(Published::At(catalogue.revision()));
                    }
                    let revision = Revision(catalogue.revision().0 + 1);
                    let orders = orders.iter().map(|order| order.routed_by(catalogue.revision())).collect();
                    let entries = vec![command(revision, &CommandEntry { id: id.clone(), orders })];
                    Ok(ConfigRevision { revision, entries })
                });
                let revision = published.map(|published| match published {
                    Published::At(revision) => revision,
                    _ => Revision::default(),
                });
                let _ = answer.send(revision);
            }
        }
    }

    /// Compare and set: whoever was faster is read first, and the decision is made again.
    fn publish(
        &mut self,
        decide: impl Fn(&Catalogue) -> Result<ConfigRevision, Published>,
    ) -> Result<Published, Fault> {
        let deadline = Instant::now() + PUBLISH_MAX;
        let mut pause = PAUSE_FIRST;
        loop {
            let decided = decide(&self.catalogue.read().unwrap_or_else(PoisonError::into_inner));
            let revision = match decided {
                Ok(revision) => revision,
                Err(published) => return Ok(published),
            };
            match self.log.publish(&revision) {
                Publication::Done => {
                    self.read_until(revision.revision, deadline)?;
                    return Ok(Published::At(revision.revision));
                }
                Publication::Refused(fault) => return Err(fault),
                Publication::Behind => {}
                Publication::Unknown(fault) => {
                    tracing::warn!(code = fault.code, %fault, "nobody knows yet whether configuration was published");
                }
            }
            if Instant::now() > deadline {
                let hint = format!(
                    "nothing could be published within {PUBLISH_MAX:?}: others publish all the time, or \
                     the brokers do not answer"
                );
                return Err(Fault::retry("config-not-published", hint));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
            self.read(READ_MAX)?;
        }
    }

    fn read_until(&mut self, revision: Revision, deadline: Instant) -> Result<(), Fault> {
        while self.catalogue.read().unwrap_or_else(PoisonError::into_inner).revision() < revision {
            self.read(READ_MAX)?;
            if Instant::now() > deadline {
                return Err(Fault::retry("config-not-seen", "what was published could not be read back in time"));
            }
        }
        Ok(())
    }
}
