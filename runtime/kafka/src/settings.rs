use outflow_api::{Fault, Shard};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel};
use std::{collections::BTreeMap, fmt, time::Duration};

/// A batch of records that each fit may be too large together: brokers count batches. A topic must take twice this.
pub(crate) const BATCH_BYTES_MAX: usize = 128 * 1024;

const SHARDS_MAX: u32 = 1000;

/// Other names of settings that are ours.
const ALIASES: [&str; 4] =
    ["metadata.broker.list", "request.required.acks", "max.partition.fetch.bytes", "queue.buffering.max.ms"];

/// How to reach the brokers, and what is ours there.
#[derive(Clone)]
pub struct KafkaSettings {
    pub bootstrap: String,
    /// The workers' consumer group; also the first part of every name of ours.
    pub group: String,
    pub shards: u32,
    /// librdkafka's own settings, passed through (`security.protocol`, `sasl.…`, `ssl.…`, …); where exactly once rests
    /// on a setting, ours wins.
    pub properties: BTreeMap<String, String>,
    pub journal_topic: String,
    pub ledger_topic: String,
    pub config_topic: String,
    /// Of topics that we create; by default 3, or the number of brokers if there are fewer.
    pub replication: Option<u16>,
    /// A worker that is silent for so long loses its shards. 6 to 10 s suit most.
    pub session_timeout: Duration,
    /// A name that outlives restarts (`worker-3`): a worker that is back in time finds its shards waiting.
    pub instance: Option<String>,
    /// What the group calls this worker: where others reach it.
    pub name: Option<String>,
}

impl KafkaSettings {
    pub fn new(bootstrap: impl Into<String>, group: impl Into<String>, shards: u32) -> KafkaSettings {
        let group = group.into();
        KafkaSettings {
            bootstrap: bootstrap.into(),
            journal_topic: format!("{group}-journal"),
            ledger_topic: format!("{group}-ledger"),
            config_topic: format!("{group}-config"),
            group,
            shards,
            properties: BTreeMap::new(),
            replication: None,
            session_timeout: Duration::from_secs(8),
            instance: None,
            name: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        let refuse = |hint: &str| Err(Fault::halt("kafka-setting", hint));
        if self.bootstrap.trim().is_empty() {
            return refuse("kafka.bootstrap is empty; it names brokers, as in broker-1:9092,broker-2:9092");
        }
        if self.shards == 0 || self.shards > SHARDS_MAX {
            return refuse("shards must be from 1 to 1000");
        }
        let letter = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let (journal, ledger, config) = (&self.journal_topic, &self.ledger_topic, &self.config_topic);
        for (what, name) in [("group", &self.group), ("journal", journal), ("ledger", ledger), ("config", config)] {
            if name.is_empty() || name.len() > 200 || !name.chars().all(letter) {
                return refuse(&format!("{what} {name:?}: 1 to 200 of the letters a-z A-Z 0-9 . _ - are allowed"));
            }
        }
        if journal == ledger || journal == config || ledger == config {
            return refuse(&format!(
                "journal ({journal}), ledger ({ledger}) and config ({config}) must be three different topics"
            ));
        }
        Ok(())
    }

    /// The settings of a client: the user's, and ours over them.
    fn client(&self, ours: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in self.properties.iter().filter(|(key, _)| !ALIASES.contains(&key.as_str())) {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.bootstrap);
        config.set("client.id", &self.group);
        if !self.properties.contains_key("reconnect.backoff.max.ms") {
            config.set("reconnect.backoff.max.ms", "2000");
        }
        for (key, value) in ours {
            config.set(*key, *value);
        }
        config
    }

    /// For metadata, watermarks and administration: in no group.
    pub(crate) fn plain(&self) -> ClientConfig {
        self.client(&[("isolation.level", "read_committed")])
    }

    /// Reads what it is given by hand. Memory ahead of the caller: 16 MiB in its queue, and what each broker has in
    /// flight: 2 MiB, compressed, five to ten times that when it has come. A batch that is larger comes through alone.
    pub(crate) fn source(&self) -> ClientConfig {
        let debug = match self.properties.get("debug") {
            // The topic's log says when a topic was made anew under its name.
            Some(debug) => format!("topic,{debug}"),
            None => "topic".to_owned(),
        };
        let mut config = self.client(&[
            ("group.id", &self.group),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("queued.min.messages", "1000000"),
            ("queued.max.messages.kbytes", "16384"),
            ("fetch.max.bytes", "2097152"),
            ("fetch.message.max.bytes", "1048576"),
            ("receive.message.max.bytes", "134217728"),
            ("fetch.wait.max.ms", "100"),
            // The default, a second, leaves the queue empty whenever it was full.
            ("fetch.queue.backoff.ms", "20"),
            ("debug", &debug),
        ]);
        config.set_log_level(RDKafkaLogLevel::Debug);
        config
    }

    pub(crate) fn transactional_id(&self, shard: Shard) -> String {
        format!("{}-{}", self.group, shard.0)
    }

    /// Of whoever publishes configuration.
    pub(crate) fn publishing_id(&self) -> String {
        format!("{}-config", self.group)
    }

    pub(crate) fn producer(&self, shard: Shard) -> ClientConfig {
        // Longer than any tick; a silent owner blocks the readers of the dead letters for so long.
        self.transactional(&self.transactional_id(shard), "15000")
    }

    pub(crate) fn publisher(&self) -> ClientConfig {
        // Longer than the largest publication takes. A silent publisher blocks nobody: the next one aborts it.
        self.transactional(&self.publishing_id(), "120000")
    }

    fn transactional(&self, id: &str, timeout_ms: &str) -> ClientConfig {
        self.client(&[
            ("transactional.id", id),
            ("transaction.timeout.ms", timeout_ms),
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("linger.ms", "0"),
            // A transaction that begins right behind another waits for this, 100 ms by default.
            ("retry.backoff.ms", "10"),
            ("batch.size", &BATCH_BYTES_MAX.to_string()),
            // Sizes are checked before a transaction begins, against what the topics take.
            ("message.max.bytes", "33554432"),
            ("queue.buffering.max.kbytes", "131072"),
            ("queue.buffering.max.messages", "200000"),
        ])
    }

    /// Reads a journal, or the config log, from its start.
    pub(crate) fn recovery(&self) -> ClientConfig {
        self.client(&[
            ("group.id", &self.group),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            // The end is seen after one empty long poll.
            ("fetch.wait.max.ms", "50"),
            ("fetch.queue.backoff.ms", "20"),
            ("fetch.message.max.bytes", "8388608"),
        ])
    }

    /// The high watermark, not the last stable offset.
    pub(crate) fn uncommitted(&self) -> ClientConfig {
        self.client(&[("isolation.level", "read_uncommitted")])
    }

    pub(crate) fn member(&self) -> ClientConfig {
        let session = self.session_timeout.as_millis().to_string();
        let heartbeat = (self.session_timeout / 8).min(Duration::from_secs(1)).as_millis().max(1).to_string();
        let mut config = self.client(&[
            ("group.id", &self.group),
            ("group.protocol", "classic"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", &session),
            ("heartbeat.interval.ms", &heartbeat),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // Nothing is read here; a position that is gone must not become an error.
            ("auto.offset.reset", "latest"),
            ("queued.max.messages.kbytes", "64"),
        ]);
        if let Some(instance) = &self.instance {
            config.set("group.instance.id", instance);
        }
        if let Some(name) = &self.name {
            config.set("client.id", name);
        }
        config
    }

    /// Commits positions for people, as a member of nothing.
    pub(crate) fn reporter(&self, group: &str) -> ClientConfig {
        self.client(&[("group.id", group), ("enable.auto.commit", "false")])
    }
}

/// No property's value is shown: a password may hide under any name.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("bootstrap", &self.bootstrap)
            .field("group", &self.group)
            .field("shards", &self.shards)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("journal_topic", &self.journal_topic)
            .field("ledger_topic", &self.ledger_topic)
            .field("config_topic", &self.config_topic)
            .field("replication", &self.replication)
            .field("session_timeout", &self.session_timeout)
            .field("instance", &self.instance)
            .field("name", &self.name)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_printed_without_secrets() {
        let mut settings = KafkaSettings::new("broker:9092", "outflow", 4);
        settings.properties.insert("sasl.password".to_owned(), "hunter2".to_owned());
        let printed = format!("{settings:?}");
        assert!(printed.contains("sasl.password") && !printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn our_topics_are_three() {
        let settings = KafkaSettings::new("broker:9092", "outflow", 4);
        settings.check().expect("they are, by default");
        for other in ["outflow-journal", "outflow-ledger"] {
            let fault = KafkaSettings { config_topic: other.to_owned(), ..settings.clone() }.check();
            let fault = fault.expect_err("one topic for two things");
            assert!(fault.code == "kafka-setting" && fault.hint.contains(&format!("config ({other})")), "{fault}");
        }
        let fault = KafkaSettings { config_topic: "a b".to_owned(), ..settings }.check().expect_err("a blank");
        assert!(fault.hint.contains("config \"a b\""), "{fault}");
    }

    #[test]
    fn what_exactly_once_rests_on_cannot_be_overridden() {
        let mut settings = KafkaSettings::new("broker:9092", "outflow", 4);
        for (key, value) in [
            ("isolation.level", "read_uncommitted"),
            ("auto.offset.reset", "latest"),
            ("enable.auto.commit", "true"),
            ("acks", "0"),
            ("transactional.id", "other"),
            ("bootstrap.servers", "elsewhere:9092"),
        ] {
            settings.properties.insert(key.to_owned(), value.to_owned());
        }
        let (source, producer) = (settings.source(), settings.producer(Shard(3)));
        assert_eq!(source.get("isolation.level"), Some("read_committed"));
        assert_eq!(source.get("auto.offset.reset"), Some("error"));
        assert_eq!(source.get("enable.auto.commit"), Some("false"));
        assert_eq!(producer.get("acks"), Some("all"));
        assert_eq!(producer.get("transactional.id"), Some("outflow-3"));
        assert_eq!(producer.get("bootstrap.servers"), Some("broker:9092"));
    }
}
