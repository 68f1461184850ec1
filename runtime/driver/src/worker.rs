//! One process's share of the group: which shards are ours, owning them, handing them over, draining.

use crate::{
    Plan,
    attendance::attend,
    calls::{CallLimits, Calls},
    catch_up::CatchUp,
    compute::Compute,
    entrance::{Entrance, blocking, publish},
    lanes::{Lanes, Opener},
    looks::Looks,
    memory::Budget,
    ownership::{self, JournalThread},
    pages::Pages,
    reader::Reader,
    route::{Field, Router},
    shard::{End, Mail, ShardTask, Shared},
    status::Status,
    steering::{Steering, Wheel},
    topology::{self, Surveys, Topology},
};
use outflow_api::{Cluster, Fault, MembershipEvent, OffsetRange, RevokeDone, Shard, TopicInfo, TopicPartition};
use outflow_engine::Settings;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, interval, sleep_until},
};

#[derive(Clone)]
pub struct WorkerSettings {
    /// The engine's settings; the shard is filled in.
    pub engine: Settings,
    pub memory_bytes_max: usize,
    /// Calls to destinations at once.
    pub calls: CallLimits,
    /// Encoders at once.
    pub cores: usize,
    /// How long a drain may take before the rest is left to the next owner.
    pub drain_max: Duration,
    /// Lanes of which retention removes something sooner alarm.
    pub retention_alarm: Duration,
}

pub struct Worker {
    pub cluster: Arc<dyn Cluster>,
    pub opener: Arc<dyn Opener>,
    /// Makes what finds a field in a raw record, by its names from the top level down.
    pub field: fn(&[String]) -> Arc<dyn Field>,
    /// What the files ask for, whenever they change.
    pub plans: watch::Receiver<Arc<Plan>>,
    pub settings: WorkerSettings,
    pub status: Status,
    pub steering: Steering,
}

/// A shard that failed is owned again after this long, longer each time.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_LONGEST: Duration = Duration::from_secs(20);
const TOPICS_EVERY: Duration = Duration::from_secs(10);
const BOUNDS_EVERY: Duration = Duration::from_secs(2);
const REPORT_EVERY: Duration = Duration::from_secs(15);
/// For goodbyes: who does not answer by then is left standing.
const LEAVE_MAX: Duration = Duration::from_secs(5);

enum News {
    Membership(MembershipEvent),
    /// The topics as they are now, and the logs of all their partitions.
    Topology(Result<(Topology, BTreeMap<TopicPartition, OffsetRange>), Fault>),
    /// The digest of what is in force, if that is what our files say.
    Published(Result<Option<String>, Fault>),
    Failed(Fault),
}

impl Worker {
    /// Until `stop` turns true (then everything that was read is delivered first, within the drain's limit), or until
    /// something is wrong that only a person or a new process can mend.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), Fault> {
        let mut stopping = stop.clone();
        let entrance = tokio::select! {
            entrance = self.enter() => entrance?,
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        };
        let Entrance { source, second, membership, configuration, in_force } = entrance;
        let budget = Budget::new(self.settings.memory_bytes_max);
        let (news, inbox) = mpsc::unbounded_channel();
        let looks = Looks::default();
        let (failed, own_news) = (news.clone(), news.clone());
        let (reader, reader_thread) =
            Reader::start(source, budget.clone(), move |fault| drop(failed.send(News::Failed(fault))));
        let leave = Arc::new(AtomicBool::new(false));
        let (left, shards) = (Arc::clone(&leave), membership.shards());
        let cluster = Arc::clone(&self.cluster);
        self.steering.take(Wheel { cluster, configuration: configuration.clone(), looks: looks.clone(), shards });
        let membership_thread = attend(membership, left, move |told| {
            let _ = news.send(told.map_or_else(News::Failed, News::Membership));
        });
        let shared = Shared {
            cluster: Arc::clone(&self.cluster),
            reader: reader.clone(),
            catch_up: CatchUp::start(second, budget.clone()),
            pages: Pages::new(budget.clone()),
            budget,
            status: self.status.clone(),
            compute: Compute::start(self.settings.cores),
            configuration,
            lanes: Lanes::new(Arc::clone(&self.opener)),
            router: Arc::new(Router::new(self.field)),
            calls: Arc::new(Calls::new(self.settings.calls)),
            looks,
            shards,
            retention_alarm_ms: self.settings.retention_alarm.as_millis() as u64,
        };
        let office = Office {
            plans: self.plans.clone(),
            is_outdated: in_force.is_none(),
            in_force,
            worker: self,
            shared,
            news: own_news,
            topology: Arc::default(),
            is_surveyed: false,
            surveys: Surveys::default(),
            is_unpublished: false,
            known: BTreeMap::new(),
            assigned: BTreeSet::new(),
            running: HashMap::new(),
            tasks: JoinSet::new(),
            again: BTreeMap::new(),
            tries: HashMap::new(),
        };
        let result = office.run(inbox, stop).await;
        leave.store(true, Ordering::Relaxed);
        reader.stop();
        let joined = blocking(move || {
            let _ = membership_thread.join();
            let _ = reader_thread.join();
            Ok(())
        });
        if tokio::time::timeout(LEAVE_MAX, joined).await.is_err() {
            tracing::warn!("the group does not let go: others will notice by the session's time-out");
        }
        result
    }
}

/// The worker while it runs.
struct Office {
    worker: Worker,
    plans: watch::Receiver<Arc<Plan>>,
    /// The digest that was in force when our files last were.
    in_force: Option<String>,
    shared: Shared,
    news: mpsc::UnboundedSender<News>,
    topology: Arc<Topology>,
    /// The topics were looked up once, if there are any.
    is_surveyed: bool,
    surveys: Surveys,
    /// What the files ask for could not be published, and is tried again.
    is_unpublished: bool,
    /// Others have published newer files.
    is_outdated: bool,
    /// The logs of all partitions, as last seen.
    known: BTreeMap<TopicPartition, OffsetRange>,
    assigned: BTreeSet<Shard>,
    running: HashMap<Shard, mpsc::UnboundedSender<Mail>>,
    tasks: JoinSet<(Shard, End)>,
    /// When to own a shard again.
    again: BTreeMap<Shard, Instant>,
    tries: HashMap<Shard, u32>,
}

impl Office {
    async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<News>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Fault> {
        let (mut topics, mut bounds, mut report) =
            (interval(TOPICS_EVERY), interval(BOUNDS_EVERY), interval(REPORT_EVERY));
        let mut newest = self.shared.configuration.watch();
        loop {
            let due = self.again.values().min().copied().filter(|_| self.is_surveyed);
            tokio::select! {
                news = inbox.recv() => match news {
                    Some(News::Membership(event)) => self.membership(event).await?,
                    Some(News::Topology(found)) => self.surveyed(found),
                    Some(News::Published(published)) => self.published(published),
                    Some(News::Failed(fault)) => return Err(fault),
                    None => return Err(Fault::halt("membership-gone", "the membership's thread ended: this is a bug")),
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended)?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.own_due(),
                Ok(()) = newest.changed() => {
                    if let Some(trouble) = newest.borrow_and_update().trouble.clone() {
                        return Err(Fault::halt("config-unreadable", trouble));
                    }
                    self.survey();
                }
                Ok(()) = self.plans.changed() => self.publish(),
                _ = topics.tick() => {
                    self.survey();
                    if self.is_unpublished || self.looks_for_topics() {
                        self.publish();
                    }
                }
                _ = bounds.tick() => self.ask_bounds(),
                _ = report.tick() => self.report().detach_all(),
                _ = stop.wait_for(|stop| *stop) => return self.drain().await,
            }
        }
    }

    /// Topics that fit a pattern come and go; files that are outdated have nothing to say of it.
    fn looks_for_topics(&self) -> bool {
        !self.is_outdated && !self.plans.borrow().patterns.is_empty()
    }

    /// Looks at the topics of everything that is published; what was found comes as news.
    fn survey(&mut self) {
        let (cluster, catch_up) = (Arc::clone(&self.worker.cluster), self.shared.catch_up.clone());
        let names: BTreeSet<String> = {
            let catalogue = self.shared.configuration.catalogue();
            let connectors: Vec<String> = catalogue.connector_names().map(str::to_owned).collect();
            let entries = connectors.iter().filter_map(|name| catalogue.connector(name));
            entries.flat_map(|entry| &entry.topics).map(|topic| topic.name.clone()).collect()
        };
        let (news, with_retention) = (self.news.clone(), self.surveys.with_retention(&self.topology, &names));
        tokio::spawn(async move {
            let found = topology::survey(cluster, catch_up, names.into_iter().collect(), with_retention).await;
            let _ = news.send(News::Topology(found));
        });
    }

    fn surveyed(&mut self, found: Result<(Topology, BTreeMap<TopicPartition, OffsetRange>), Fault>) {
        let (topology, bounds) = match found {
            Ok(found) => found,
            Err(fault) => {
                tracing::warn!(code = fault.code, %fault, "topics cannot be looked up");
                return self.shared.status.trouble(Some(fault.to_string()));
            }
        };
        self.shared.status.trouble(None);
        self.is_surveyed = true;
        let topology = topology.or_retention_of(&self.topology);
        if *self.topology != topology {
            // A topic that was made anew under its name is another one.
            let is_new =
                |info: &TopicInfo| self.topology.topics.get(&info.name).is_some_and(|known| known.id != info.id);
            let made_anew = topology.topics.values().any(is_new);
            self.topology = Arc::new(topology);
            if made_anew {
                self.publish();
            }
        }
        self.known = bounds;
        for (shard, sender) in &self.running {
            let (topology, bounds) = (Arc::clone(&self.topology), self.known_of(*shard));
            let _ = sender.send(Mail::Published { topology, bounds });
        }
    }

    fn known_of(&self, shard: Shard) -> BTreeMap<TopicPartition, OffsetRange> {
        let own = self.known.iter().filter(|(key, _)| key.partition % self.shared.shards == shard.0);
        own.map(|(key, bounds)| (*key, *bounds)).collect()
    }

    /// Files changed, or a topic was made anew under its name.
    fn publish(&mut self) {
        let (cluster, configuration) = (Arc::clone(&self.worker.cluster), self.shared.configuration.clone());
        let (plan, news) = (Arc::clone(&self.plans.borrow_and_update()), self.news.clone());
        let follows = self.in_force.clone();
        tokio::spawn(async move {
            // Forced once, at the start: else two workers with different files would outdo each other for ever.
            let published = publish(&cluster, &configuration, plan, follows, false).await;
            let _ = news.send(News::Published(published));
        });
    }

    fn published(&mut self, published: Result<Option<String>, Fault>) {
        self.is_unpublished = published.is_err();
        match published {
            Ok(in_force) => {
                self.is_outdated = in_force.is_none();
                self.in_force = in_force.or(self.in_force.take());
                self.shared.status.trouble(None);
            }
            Err(fault) => {
                let code = fault.code;
                tracing::error!(
                    code, %fault, event = "config-not-published",
                    "configuration is not published: what is in force stays"
                );
                self.shared.status.trouble(Some(fault.to_string()));
            }
        }
    }

    async fn membership(&mut self, event: MembershipEvent) -> Result<(), Fault> {
        match event {
            MembershipEvent::Assigned(shards) => {
                tracing::info!(shards = ?numbers(&shards), event = "shards-assigned", "shards assigned");
                for shard in shards {
                    self.assigned.insert(shard);
                    self.again.insert(shard, Instant::now());
                }
            }
            MembershipEvent::Revoked(shards, done) => self.give_up(&shards, Some(done)).await?,
            MembershipEvent::Lost(shards) => self.give_up(&shards, None).await?,
        }
        Ok(())
    }

    /// Stops the shards' tasks and waits until they are gone; only then may the others go on.
    async fn give_up(&mut self, shards: &[Shard], done: Option<RevokeDone>) -> Result<(), Fault> {
        tracing::info!(shards = ?numbers(shards), event = "shards-given-up", "shards given up");
        for shard in shards {
            self.assigned.remove(shard);
            self.again.remove(shard);
            self.send(*shard, Mail::Release);
        }
        while shards.iter().any(|shard| self.running.contains_key(shard)) {
            let Some(ended) = self.tasks.join_next().await else { break };
            self.ended(ended)?;
        }
        drop(done);
        Ok(())
    }

    fn send(&self, shard: Shard, mail: Mail) {
        if let Some(running) = self.running.get(&shard) {
            let _ = running.send(mail);
        }
    }

    fn own_due(&mut self) {
        let now = Instant::now();
        let due: Vec<Shard> = self.again.iter().filter(|(_, at)| **at <= now).map(|(shard, _)| *shard).collect();
        for shard in due {
            if self.running.contains_key(&shard) {
                // Its last task is still on its way out.
                self.again.insert(shard, now + AGAIN_FIRST);
                continue;
            }
            self.again.remove(&shard);
            if self.assigned.contains(&shard) {
                self.own(shard);
            }
        }
    }

    fn own(&mut self, shard: Shard) {
        let (sender, mailbox) = mpsc::unbounded_channel();
        self.running.insert(shard, sender.clone());
        let mut settings = self.worker.settings.engine.clone();
        settings.shard = shard;
        let cluster = Arc::clone(&self.worker.cluster);
        let (topology, shared) = (Arc::clone(&self.topology), self.shared.clone());
        self.tasks.spawn(async move {
            let started = Instant::now();
            let owned = async {
                let (journal, recovered) = JournalThread::own(shard, move || cluster.journal(shard)).await?;
                let (generation, bytes) = (recovered.generation.0, recovered.bytes_read);
                let (configuration, catch_up) = (&shared.configuration, &shared.catch_up);
                let owned =
                    ownership::recover(settings, recovered, configuration, topology, shared.shards, catch_up).await?;
                let recovery_ms = started.elapsed().as_millis() as u64;
                tracing::info!(
                    shard = shard.0,
                    generation,
                    recovery_ms,
                    recovery_bytes = bytes,
                    event = "shard-owned",
                    "shard owned"
                );
                shared.status.shard(shard, |status| {
                    (status.generation, status.recovery_ms, status.recovery_bytes) = (generation, recovery_ms, bytes);
                });
                Ok((journal, owned))
            };
            match owned.await {
                Ok((journal, owned)) => {
                    let (task, actions) = ShardTask::new(shard, owned, journal, shared, sender);
                    (shard, task.run(actions, mailbox).await)
                }
                Err(fault) => (shard, End::not_owned(fault)),
            }
        });
    }

    fn ended(&mut self, ended: Result<(Shard, End), tokio::task::JoinError>) -> Result<(), Fault> {
        let (shard, end) = ended
            .map_err(|error| Fault::halt("shard-died", "a shard's task panicked: this is a bug").because(error))?;
        self.running.remove(&shard);
        match end {
            End::Released | End::Drained => drop(self.tries.remove(&shard)),
            End::Recover(why) => {
                let tries = self.tries.entry(shard).or_default();
                *tries += 1;
                let wait = AGAIN_LONGEST.min(AGAIN_FIRST * 2u32.pow((*tries).min(8) - 1));
                let wait_ms = wait.as_millis() as u64;
                tracing::warn!(shard = shard.0, why, wait_ms, event = "shard-failed", "shard will be owned again");
                self.again.insert(shard, Instant::now() + wait);
            }
            End::Halt(fault) => return Err(fault),
        }
        Ok(())
    }

    fn ask_bounds(&mut self) {
        let budget = &self.shared.budget;
        self.shared.status.memory(budget.used(), budget.bytes_max());
        self.shared.status.calls(self.shared.calls.status());
        self.shared.status.topics(topology::names_of(&self.shared.configuration.catalogue()));
        for (shard, sender) in &self.running {
            let (sender, catch_up) = (sender.clone(), self.shared.catch_up.clone());
            let partitions: Vec<TopicPartition> = self.known_of(*shard).into_keys().collect();
            tokio::spawn(async move {
                if let Ok(bounds) = catch_up.bounds(partitions).await {
                    let _ = sender.send(Mail::Bounds(bounds));
                }
            });
        }
    }

    /// Offsets for people's tools: what every lane has decided.
    fn report(&self) -> JoinSet<()> {
        let mut reports = JoinSet::new();
        let summary = self.shared.status.summary();
        let mut floors: BTreeMap<Arc<str>, BTreeMap<TopicPartition, outflow_api::Offset>> = BTreeMap::new();
        {
            let catalogue = self.shared.configuration.catalogue();
            for (track, floor) in summary.shards.values().flat_map(|shard| &shard.floors) {
                let Some(feed) = catalogue.feed(track.feed) else { continue };
                let own = floors.entry(Arc::clone(&feed.connector)).or_default();
                own.entry(track.partition).and_modify(|known| *known = (*floor).min(*known)).or_insert(*floor);
            }
        }
        for (connector, own) in floors {
            let cluster = Arc::clone(&self.worker.cluster);
            let own: Vec<_> = own.into_iter().collect();
            reports.spawn_blocking(move || {
                if let Err(fault) = cluster.report(&connector, &own) {
                    tracing::debug!(%connector, %fault, "group offsets not reported");
                }
            });
        }
        reports
    }

    async fn drain(mut self) -> Result<(), Fault> {
        let deadline = Instant::now() + self.worker.settings.drain_max;
        tracing::info!(event = "worker-drains", "draining");
        self.again.clear();
        self.running.values().for_each(|shard| drop(shard.send(Mail::Drain)));
        while !self.tasks.is_empty() {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => self.ended(ended)?,
                () = sleep_until(deadline) => {
                    tracing::warn!("the drain's time is over: the rest is read again by the next owner");
                    return Ok(());
                }
            }
        }
        let reports = self.report();
        let _ = tokio::time::timeout(LEAVE_MAX, reports.join_all()).await;
        Ok(())
    }
}

fn numbers(shards: &[Shard]) -> Vec<u32> {
    shards.iter().map(|shard| shard.0).collect()
}
