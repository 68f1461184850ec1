//! One process's share of the group: which shards are ours, owning them, handing them over, draining.

use crate::{
    catch_up::CatchUp,
    compute::Compute,
    definitions::Wanted,
    lanes::Opener,
    memory::Budget,
    ownership::{self, JournalThread},
    reader::Reader,
    retry::Waits,
    shard::{End, Mail, ShardTask, Shared},
    status::Status,
};
use outflow_api::{
    Cluster, Fault, Identity, Membership, MembershipEvent, RevokeDone, Shard, Source, TopicInfo, TopicPartition,
    Verdict,
};
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

/// What is to be read and delivered, as the configuration has it.
#[derive(Clone, Debug)]
pub struct ConnectorPlan {
    pub name: String,
    pub topics: Vec<String>,
    pub identity: Identity,
    /// What a row becomes and where it goes: journaled with every revision. No secrets.
    pub pinned: serde_json::Value,
    /// Topic, and its partitions if they were asked for.
    pub dead_letters: Option<(String, Option<u32>)>,
}

#[derive(Clone)]
pub struct WorkerSettings {
    /// The engine's settings; the shard is filled in.
    pub engine: Settings,
    pub memory_bytes_max: usize,
    /// Encoders at once.
    pub cores: usize,
    /// How long a drain may take before the rest is left to the next owner.
    pub drain_max: Duration,
}

pub struct Worker {
    cluster: Arc<dyn Cluster>,
    opener: Arc<dyn Opener>,
    plans: Vec<ConnectorPlan>,
    settings: WorkerSettings,
    status: Status,
}

/// A shard that failed is owned again after this long, longer each time.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_LONGEST: Duration = Duration::from_secs(20);
const TOPICS_EVERY: Duration = Duration::from_secs(10);
const BOUNDS_EVERY: Duration = Duration::from_secs(2);
const REPORT_EVERY: Duration = Duration::from_secs(15);
/// For goodbyes: who does not answer by then is left standing.
const LEAVE_MAX: Duration = Duration::from_secs(5);
const MEMBERSHIP_POLL: Duration = Duration::from_millis(200);

/// What a worker needs of its cluster.
struct Entrance {
    source: Box<dyn Source>,
    second: Box<dyn Source>,
    membership: Box<dyn Membership>,
    wanted: Vec<(Wanted, Vec<TopicInfo>)>,
}

enum News {
    Membership(MembershipEvent),
    Failed(Fault),
}

impl Worker {
    pub fn new(
        cluster: Arc<dyn Cluster>,
        opener: Arc<dyn Opener>,
        plans: Vec<ConnectorPlan>,
        settings: WorkerSettings,
        status: Status,
    ) -> Worker {
        Worker { cluster, opener, plans, settings, status }
    }

    /// Until `stop` turns true (then everything that was read is delivered first, within the drain's limit), or until
    /// something is wrong that only a person or a new process can mend.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), Fault> {
        let mut stopping = stop.clone();
        let entrance = tokio::select! {
            entrance = self.enter() => entrance?,
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        };
        let Entrance { source, second, mut membership, wanted } = entrance;
        let budget = Budget::new(self.settings.memory_bytes_max);
        let (news, inbox) = mpsc::unbounded_channel();
        let failed = news.clone();
        let (reader, reader_thread) =
            Reader::start(source, budget.clone(), move |fault| drop(failed.send(News::Failed(fault))));
        let shards = membership.shards();
        let leave = Arc::new(AtomicBool::new(false));
        let left = Arc::clone(&leave);
        let poll = move || {
            while !left.load(Ordering::Relaxed) {
                match membership.poll(MEMBERSHIP_POLL) {
                    Ok(events) => events.into_iter().for_each(|event| drop(news.send(News::Membership(event)))),
                    Err(fault) => return drop(news.send(News::Failed(fault))),
                }
            }
            membership.leave();
        };
        let membership_thread =
            std::thread::Builder::new().name("membership".into()).spawn(poll).expect("a thread can be started");
        let shared = Shared {
            reader: reader.clone(),
            catch_up: CatchUp::start(second, budget.clone()),
            budget,
            status: self.status.clone(),
            compute: Compute::start(self.settings.cores),
        };
        let office = Office {
            worker: self,
            shared,
            shards,
            wanted,
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

    /// A cluster that does not answer yet is waited for; one that answers "no" ends the start.
    async fn enter(&self) -> Result<Entrance, Fault> {
        let mut waits = Waits::new();
        loop {
            let fault = match self.try_to_enter().await {
                Err(fault) if matches!(fault.verdict, Verdict::Retry { .. }) => fault,
                result => return result,
            };
            tracing::warn!(code = fault.code, %fault, "the cluster does not answer yet: tried again");
            self.status.trouble(Some(fault.to_string()));
            tokio::time::sleep(waits.next(&fault)).await;
        }
    }

    async fn try_to_enter(&self) -> Result<Entrance, Fault> {
        let cluster = Arc::clone(&self.cluster);
        let names: Vec<String> = self.plans.iter().map(|plan| plan.name.clone()).collect();
        let dead_letters: Vec<_> = self.plans.iter().filter_map(|plan| plan.dead_letters.clone()).collect();
        let admitted = blocking(move || {
            cluster.prepare()?;
            cluster.admit(&names)?;
            cluster.provide(&dead_letters)
        });
        admitted.await?;
        let wanted = self.wanted().await?;
        let cluster = Arc::clone(&self.cluster);
        let clients = blocking(move || Ok((cluster.source()?, cluster.source()?, cluster.membership()?)));
        let (source, second, membership) = clients.await?;
        self.status.trouble(None);
        Ok(Entrance { source, second, membership, wanted })
    }

    async fn wanted(&self) -> Result<Vec<(Wanted, Vec<TopicInfo>)>, Fault> {
        let (cluster, plans) = (Arc::clone(&self.cluster), self.plans.clone());
        let look_up = move || {
            let topics_of = |plan: ConnectorPlan| {
                let infos = cluster.topics(&plan.topics)?;
                let topics = infos.iter().map(|info| (info.name.clone(), info.id)).collect();
                let ConnectorPlan { name, identity, pinned, .. } = plan;
                Ok((Wanted { connector: name, topics, identity, pinned }, infos))
            };
            plans.into_iter().map(topics_of).collect()
        };
        blocking(look_up).await
    }
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    let died = |error| Fault::halt("thread-died", "a blocking call panicked: this is a bug").because(error);
    tokio::task::spawn_blocking(call).await.unwrap_or_else(|error| Err(died(error)))
}

/// The worker while it runs.
struct Office {
    worker: Worker,
    shared: Shared,
    shards: u32,
    wanted: Vec<(Wanted, Vec<TopicInfo>)>,
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
        topics.tick().await;
        loop {
            let due = self.again.values().min().copied();
            tokio::select! {
                news = inbox.recv() => match news {
                    Some(News::Membership(event)) => self.membership(event).await?,
                    Some(News::Failed(fault)) => return Err(fault),
                    None => return Err(Fault::halt("membership-gone", "the membership's thread ended: this is a bug")),
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended)?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.own_due(),
                _ = topics.tick() => self.refresh_topics().await,
                _ = bounds.tick() => self.ask_bounds(),
                _ = report.tick() => self.report().detach_all(),
                _ = stop.wait_for(|stop| *stop) => return self.drain().await,
            }
        }
    }

    async fn membership(&mut self, event: MembershipEvent) -> Result<(), Fault> {
        match event {
            MembershipEvent::Assigned(shards) => {
                tracing::info!(shards = ?shards.iter().map(|shard| shard.0).collect::<Vec<_>>(), "shards assigned");
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
        tracing::info!(shards = ?shards.iter().map(|shard| shard.0).collect::<Vec<_>>(), "shards given up");
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

    fn partitions(&self, shard: Shard) -> Vec<TopicPartition> {
        let infos = self.wanted.iter().flat_map(|(_, infos)| infos);
        let all =
            infos.flat_map(|info| (0..info.partitions).map(|partition| TopicPartition { topic: info.id, partition }));
        let own: BTreeSet<_> = all.filter(|key| key.partition % self.shards == shard.0).collect();
        own.into_iter().collect()
    }

    fn own(&mut self, shard: Shard) {
        let (sender, mailbox) = mpsc::unbounded_channel();
        self.running.insert(shard, sender.clone());
        let mut settings = self.worker.settings.engine.clone();
        settings.shard = shard;
        let (cluster, opener) = (Arc::clone(&self.worker.cluster), Arc::clone(&self.worker.opener));
        let wanted: Vec<Wanted> = self.wanted.iter().map(|(wanted, _)| wanted.clone()).collect();
        let (partitions, shared) = (self.partitions(shard), self.shared.clone());
        self.tasks.spawn(async move {
            let started = Instant::now();
            let owned = async {
                let (journal, recovered) = JournalThread::own(shard, move || cluster.journal(shard)).await?;
                let (generation, bytes) = (recovered.generation.0, recovered.bytes_read);
                let owned =
                    ownership::recover(settings, recovered, opener, &wanted, partitions, &shared.catch_up).await?;
                let recovery_ms = started.elapsed().as_millis() as u64;
                tracing::info!(shard = shard.0, generation, recovery_ms, recovery_bytes = bytes, "shard owned");
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
                Err(fault) => (shard, not_owned(fault)),
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
                tracing::warn!(shard = shard.0, why, wait_ms = wait.as_millis() as u64, "shard will be owned again");
                self.again.insert(shard, Instant::now() + wait);
            }
            End::Halt(fault) => return Err(fault),
        }
        Ok(())
    }

    async fn refresh_topics(&mut self) {
        let wanted = match self.worker.wanted().await {
            Ok(wanted) => wanted,
            Err(fault) => {
                tracing::warn!(code = fault.code, %fault, "topics cannot be looked up");
                return self.shared.status.trouble(Some(fault.to_string()));
            }
        };
        self.shared.status.trouble(None);
        if wanted == self.wanted {
            return;
        }
        // More partitions, or a topic made anew: owning the shards again takes both in, by the same path as a start.
        tracing::info!("topics changed, shards are owned again");
        self.wanted = wanted;
        for shard in self.assigned.clone() {
            self.send(shard, Mail::Release);
            self.again.insert(shard, Instant::now() + AGAIN_FIRST);
        }
    }

    fn ask_bounds(&mut self) {
        let budget = &self.shared.budget;
        self.shared.status.memory(budget.used(), budget.bytes_max());
        let names = |infos: &[TopicInfo]| infos.iter().map(|info| info.name.clone()).collect();
        let topics = self.wanted.iter().map(|(wanted, infos)| (wanted.connector.clone(), names(infos)));
        self.shared.status.topics(topics.collect());
        for (shard, sender) in &self.running {
            let (sender, catch_up, partitions) =
                (sender.clone(), self.shared.catch_up.clone(), self.partitions(*shard));
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
        let floors = summary.shards.values().flat_map(|shard| &shard.partitions);
        let floors: BTreeMap<_, _> = floors.map(|(key, partition)| (*key, partition.floor)).collect();
        for (wanted, _) in &self.wanted {
            let topics: BTreeSet<_> = wanted.topics.iter().map(|(_, id)| *id).collect();
            let own: Vec<_> =
                floors.iter().filter(|(key, _)| topics.contains(&key.topic)).map(|(key, at)| (*key, *at)).collect();
            let (cluster, connector) = (Arc::clone(&self.worker.cluster), wanted.connector.clone());
            if !own.is_empty() {
                reports.spawn_blocking(move || {
                    if let Err(fault) = cluster.report(&connector, &own) {
                        tracing::debug!(connector, %fault, "group offsets not reported");
                    }
                });
            }
        }
        reports
    }

    async fn drain(mut self) -> Result<(), Fault> {
        let deadline = Instant::now() + self.worker.settings.drain_max;
        tracing::info!("draining");
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

fn not_owned(fault: Fault) -> End {
    match fault.verdict {
        Verdict::Halt => End::Halt(fault),
        Verdict::Retry { .. } | Verdict::Park | Verdict::Fence => End::Recover(fault.to_string()),
    }
}
