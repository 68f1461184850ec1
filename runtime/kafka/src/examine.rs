use crate::{
    KafkaSettings, fault,
    prepare::{self, OwnTopic},
    topics::{LIMIT, Topics},
};
use outflow_api::{Fault, Finding};
use rdkafka::consumer::Consumer;

/// Looks, and writes nothing.
pub(crate) fn examine(
    settings: &KafkaSettings,
    topics: &Topics,
    sources: &[String],
    dead_letters: &[String],
) -> Vec<Finding> {
    let brokers = brokers(settings, topics);
    let reached = brokers.result.is_ok();
    let mut findings = vec![brokers];
    // One word about brokers that can't be reached is enough.
    if reached {
        findings.extend(sources.iter().map(|name| source(topics, name)));
        findings.extend(dead_letters.iter().map(|name| letters(settings, topics, name)));
        findings.extend(prepare::own_topics(settings).iter().map(|topic| own(settings, topics, topic)));
    }
    findings
}

fn brokers(settings: &KafkaSettings, topics: &Topics) -> Finding {
    let answer = topics.client().fetch_metadata(None, LIMIT);
    let result = answer.map_err(|error| fault::of_error(error, "connecting", topics.log())).map(|metadata| {
        let names: Vec<String> =
            metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect();
        format!("{} brokers: {}", names.len(), names.join(", "))
    });
    Finding { subject: format!("brokers {}", settings.bootstrap), result }
}

fn source(topics: &Topics, name: &str) -> Finding {
    let look = || {
        let found = topics.find(name)?;
        if !found.may_read {
            return Err(missing_right(name, "Read"));
        }
        let records = (0..found.partitions).map(|partition| {
            let bounds = topics.bounds(name, partition, LIMIT)?;
            Ok(bounds.next.0 - bounds.start.0)
        });
        let records: i64 = records.sum::<Result<i64, Fault>>()?;
        Ok(format!("{} partitions, {records} offsets, readable", found.partitions))
    };
    Finding { subject: format!("topic {name}"), result: look() }
}

fn letters(settings: &KafkaSettings, topics: &Topics, name: &str) -> Finding {
    let look = || {
        let found = topics.find(name)?;
        if !found.may_write {
            return Err(missing_right(name, "Write"));
        }
        let bytes = topics.record_bytes_max(settings, name);
        Ok(format!("{} partitions, writable, records up to {bytes} bytes", found.partitions))
    };
    Finding { subject: format!("dead letter topic {name}"), result: look() }
}

fn own(settings: &KafkaSettings, topics: &Topics, own: &OwnTopic<'_>) -> Finding {
    let OwnTopic { what, name, partitions, .. } = own;
    let result = match prepare::check(settings, topics, own) {
        Ok(()) => Ok(format!("{partitions} partitions, settings as they must be")),
        Err(fault) if fault.code == "topic-unknown" => Ok("not there yet: created by the first start".to_owned()),
        Err(fault) => Err(fault),
    };
    Finding { subject: format!("{what} {name}"), result }
}

fn missing_right(topic: &str, right: &str) -> Fault {
    Fault::halt("kafka-denied", format!("our user may not do this: grant {right} on topic {topic}, with kafka-acls"))
}
