use crate::{ConfigLog, Fault, Journal, Ledger, Offset, Recovered, Retention, Shard, Source, TopicId, TopicPartition};
use std::{collections::BTreeMap, fmt, time::Duration};

/// Where records come from and decisions are kept: Kafka, or a folder. Hands out one object per thread.
pub trait Cluster: Send + Sync {
    /// Each name's topic; a missing one is a fault that names it.
    fn topics(&self, names: &[String]) -> Result<Vec<TopicInfo>, Fault>;

    /// All that hold people's records: our own and those of the cluster itself are left out.
    fn topic_names(&self) -> Result<Vec<String>, Fault>;

    /// How long each of these topics keeps its records; those of which we may not know it are left out.
    fn retention(&self, names: &[String]) -> Result<BTreeMap<String, Retention>, Fault> {
        Ok(names.iter().map(|name| (name.clone(), Retention::default())).collect())
    }

    /// Creates what is missing of our own topics (journal, ledger, config log), and checks the settings of what is
    /// there.
    fn prepare(&self) -> Result<(), Fault>;

    /// Creates the dead letter topics that are missing: name, and partitions if they were asked for.
    fn provide(&self, dead_letters: &[(String, Option<u32>)]) -> Result<(), Fault>;

    /// Asked before the first record is read: is anything else at work under these connectors' names, or is their
    /// journal lost?
    fn admit(&self, _connectors: &[String]) -> Result<(), Fault> {
        Ok(())
    }

    /// What it calls itself: Kafka's cluster id.
    fn name(&self) -> Result<String, Fault>;

    fn source(&self) -> Result<Box<dyn Source>, Fault>;
    fn journal(&self, shard: Shard) -> Result<Box<dyn Journal>, Fault>;
    /// What a shard's journal says, whoever owns it, without disturbing him: perhaps of some moments ago. `None`:
    /// nobody ever owned it.
    fn peek(&self, shard: Shard) -> Result<Option<Recovered>, Fault>;

    fn ledger(&self, shard: Shard) -> Result<Box<dyn Ledger>, Fault>;
    fn membership(&self) -> Result<Box<dyn Membership>, Fault>;
    /// The workers at work on this cluster, this one among them; none where there can be only one.
    fn members(&self) -> Result<Vec<Member>, Fault> {
        Ok(Vec::new())
    }

    fn config_log(&self) -> Result<Box<dyn ConfigLog>, Fault>;

    /// Positions for people and their tools (a consumer group's offsets): best effort, never read back.
    fn report(&self, connector: &str, floors: &[(TopicPartition, Offset)]) -> Result<(), Fault>;

    /// `check --connect`: brokers, topics, rights, settings of our own topics; writes nothing.
    fn examine(&self, topics: &[String], dead_letters: &[String]) -> Vec<Finding>;
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicInfo {
    pub name: String,
    pub id: TopicId,
    pub partitions: u32,
}

/// A worker, as the group knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// How others reach it: host and port.
    pub name: String,
    pub shards: Vec<Shard>,
}

/// One line of a check's answer.
#[derive(Debug)]
pub struct Finding {
    /// What was looked at: `broker 127.0.0.1:9092`, `topic orders`, `journal outflow-journal`.
    pub subject: String,
    pub result: Result<String, Fault>,
}

/// Which shards are ours. Blocking; lives on a thread that does nothing else, so that nobody's slowness costs us
/// the membership.
pub trait Membership: Send {
    /// Waits at most `wait`. Must be called again and again: calling is what proves that we are alive.
    fn poll(&mut self, wait: Duration) -> Result<Vec<MembershipEvent>, Fault>;
    /// All shards there are.
    fn shards(&self) -> u32;
    /// Leaves at once, so that others need not wait for a time-out.
    fn leave(&mut self);
}

#[derive(Debug)]
pub enum MembershipEvent {
    Assigned(Vec<Shard>),
    /// To be handed over: the others wait for `done`, but not for ever.
    Revoked(Vec<Shard>, RevokeDone),
    /// Gone already: somebody else may own them, nothing may be decided for these any more.
    Lost(Vec<Shard>),
}

/// Dropping it answers too: a forgotten answer must not hang the group.
pub struct RevokeDone(Option<Box<dyn FnOnce() + Send>>);

impl RevokeDone {
    pub fn new(done: impl FnOnce() + Send + 'static) -> RevokeDone {
        RevokeDone(Some(Box::new(done)))
    }
}

impl Drop for RevokeDone {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done();
        }
    }
}

impl fmt::Debug for RevokeDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RevokeDone")
    }
}
