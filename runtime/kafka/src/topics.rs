use crate::{
    KafkaSettings, fault,
    log::ClientLog,
    native::{self, DescribedTopic},
};
use outflow_api::{Fault, Offset, OffsetRange, TopicId, TopicInfo};
use rdkafka::{
    TopicPartitionList,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Longer than a broker takes to come back, shorter than anybody's patience.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Names and ids of topics, and what one asks brokers about them; shared by all threads.
pub(crate) struct Topics {
    client: BaseConsumer<ClientLog>,
    uncommitted: BaseConsumer<ClientLog>,
    log: ClientLog,
    names: Mutex<BTreeMap<TopicId, String>>,
    dead_letters: Mutex<BTreeSet<String>>,
}

pub(crate) enum Settled {
    Yes,
    /// Somebody's transaction is open, or has lost its marker.
    No {
        stable: Offset,
        high: Offset,
    },
}

impl Topics {
    pub(crate) fn new(settings: &KafkaSettings) -> Result<Topics, Fault> {
        let log = ClientLog::default();
        let client = |config: rdkafka::ClientConfig| {
            config.create_with_context(log.clone()).map_err(|error| fault::of_error(error, "making a client", &log))
        };
        let (client, uncommitted) = (client(settings.plain())?, client(settings.uncommitted())?);
        Ok(Topics { client, uncommitted, log, names: Mutex::default(), dead_letters: Mutex::default() })
    }

    /// Topics that shards may write dead letters to: a new owner looks after what its predecessors wrote there.
    pub(crate) fn are_dead_letters(&self, names: impl IntoIterator<Item = String>) {
        self.dead_letters.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    pub(crate) fn dead_letters(&self) -> Vec<String> {
        self.dead_letters.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn admin(&self, settings: &KafkaSettings) -> Result<AdminClient<ClientLog>, Fault> {
        let made = settings.plain().create_with_context(self.log.clone());
        made.map_err(|error| fault::of_error(error, "making a client", &self.log))
    }

    /// What the clients have to say is said while they are polled; asked for when a call has failed.
    pub(crate) fn log(&self) -> &ClientLog {
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(100) {
            for client in [&self.client, &self.uncommitted] {
                client.poll(Duration::from_millis(5));
            }
        }
        &self.log
    }

    /// All that we may see.
    pub(crate) fn names(&self) -> Result<Vec<String>, Fault> {
        let metadata = self.client.client().fetch_metadata(None, LIMIT);
        let metadata = metadata.map_err(|error| fault::of_error(error, "listing topics", self.log()))?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    /// Of each name, in their order.
    pub(crate) fn describe(
        &self,
        names: &[&str],
        limit: Duration,
    ) -> Result<Vec<Result<DescribedTopic, RDKafkaErrorCode>>, Fault> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let answer = native::describe_topics(self.client.client().native_client(), names, limit);
        let described = answer.map_err(|(code, reason)| {
            fault::of_code(code, &format!("looking up topics {}", names.join(", ")), self.log()).because(reason)
        })?;
        let mut known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in &described {
            if let Ok(found) = topic.found {
                known.insert(TopicId(found.id), topic.name.clone());
            }
        }
        let of_name = |name: &&str| {
            let found = described.iter().find(|topic| topic.name == *name);
            found.map_or(Err(RDKafkaErrorCode::UnknownTopicOrPartition), |topic| topic.found)
        };
        Ok(names.iter().map(of_name).collect())
    }

    pub(crate) fn find(&self, name: &str) -> Result<DescribedTopic, Fault> {
        let found = self.describe(&[name], LIMIT)?.remove(0);
        found.map_err(|code| fault::of_code(code, &format!("topic {name}"), &self.log))
    }

    pub(crate) fn infos(&self, names: &[String]) -> Result<Vec<TopicInfo>, Fault> {
        let texts: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = self.describe(&texts, LIMIT)?;
        let info = |(name, found): (&String, Result<DescribedTopic, RDKafkaErrorCode>)| {
            let found = found.map_err(|code| fault::of_code(code, &format!("topic {name}"), &self.log))?;
            Ok(TopicInfo { name: name.clone(), id: TopicId(found.id), partitions: found.partitions })
        };
        names.iter().zip(found).map(info).collect()
    }

    /// The name under which the id was last seen. An id from the journal may be new to this process: then all topics
    /// are looked through, once.
    pub(crate) fn name(&self, id: TopicId) -> Result<String, Fault> {
        let known = || self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(name) = known() {
            return Ok(name);
        }
        let metadata = self.client.fetch_metadata(None, LIMIT);
        let metadata = metadata.map_err(|error| fault::of_error(error, "listing topics", self.log()))?;
        let all: Vec<&str> = metadata.topics().iter().map(|topic| topic.name()).collect();
        self.describe(&all, LIMIT)?;
        let gone = || Fault::halt("topic-recreated", format!("the topic with id {id:?} was deleted, or made anew"));
        known().ok_or_else(gone)
    }

    /// Start, and the end of what is committed.
    pub(crate) fn bounds(&self, name: &str, partition: u32, limit: Duration) -> Result<OffsetRange, Fault> {
        self.watermarks(&self.client, name, partition, limit)
    }

    /// The first offset whose record is not older, or the end of what is committed.
    pub(crate) fn offset_at(&self, name: &str, partition: u32, timestamp_ms: i64) -> Result<Offset, Fault> {
        let trouble = |error| {
            let doing = format!("asking topic {name}, partition {partition} for the offset at {timestamp_ms} ms");
            fault::of_error(error, &doing, self.log())
        };
        let mut asked = TopicPartitionList::new();
        let at = rdkafka::Offset::Offset(timestamp_ms.max(0));
        asked.add_partition_offset(name, partition.cast_signed(), at).map_err(trouble)?;
        let found = self.client.offsets_for_times(asked, LIMIT).map_err(trouble)?;
        match found.elements().first().map(|element| element.offset()) {
            Some(rdkafka::Offset::Offset(offset)) => Ok(Offset(offset)),
            _ => Ok(self.bounds(name, partition, LIMIT)?.next),
        }
    }

    /// The end of what was written, committed or not.
    pub(crate) fn high_watermark(&self, name: &str, partition: u32, limit: Duration) -> Result<Offset, Fault> {
        self.watermarks(&self.uncommitted, name, partition, limit).map(|bounds| bounds.next)
    }

    /// Waits until every transaction that has a record here by now has its marker too. Answers what is stable and what
    /// is written where that takes longer than `limit`.
    pub(crate) fn settled(&self, name: &str, partition: u32, limit: Duration) -> Result<Settled, Fault> {
        let deadline = Instant::now() + limit;
        let high = self.high_watermark(name, partition, LIMIT)?;
        loop {
            let stable = self.bounds(name, partition, LIMIT)?.next;
            if stable >= high {
                return Ok(Settled::Yes);
            }
            if Instant::now() > deadline {
                return Ok(Settled::No { stable, high });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn watermarks(
        &self,
        client: &BaseConsumer<ClientLog>,
        name: &str,
        partition: u32,
        limit: Duration,
    ) -> Result<OffsetRange, Fault> {
        let (start, end) = client.fetch_watermarks(name, partition.cast_signed(), limit).map_err(|error| {
            fault::of_error(error, &format!("asking for the bounds of topic {name}, partition {partition}"), self.log())
        })?;
        Ok(OffsetRange::new(Offset(start.min(end)), Offset(end)))
    }

    pub(crate) fn busy_groups(&self) -> Result<Vec<String>, Fault> {
        native::busy_groups(self.client.client().native_client(), LIMIT)
            .map_err(|(code, reason)| fault::of_code(code, "listing groups", self.log()).because(reason))
    }

    /// Settings of a topic by name; none where we may not see them.
    pub(crate) fn configs(&self, settings: &KafkaSettings, topic: &str) -> Result<BTreeMap<String, String>, Fault> {
        let doing = format!("reading the settings of topic {topic}");
        let admin = self.admin(settings)?;
        let answer =
            futures::executor::block_on(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &admin_options()));
        let answer = answer.map_err(|error| fault::of_error(error, &doing, self.log()))?.pop();
        let found = answer.unwrap_or(Err(RDKafkaErrorCode::UnknownTopicOrPartition));
        let found = found.map_err(|code| fault::of_code(code, &doing, self.log()))?;
        Ok(found.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// A user who may not see settings gets the brokers' default.
    pub(crate) fn record_bytes_max(&self, settings: &KafkaSettings, topic: &str) -> usize {
        let configs = self.configs(settings, topic).unwrap_or_default();
        configs.get("max.message.bytes").and_then(|text| text.parse().ok()).unwrap_or(1_048_588)
    }

    pub(crate) fn client(&self) -> &BaseConsumer<ClientLog> {
        &self.client
    }
}

pub(crate) fn admin_options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(LIMIT)).request_timeout(Some(LIMIT))
}
