//! The client's errors in our words. Each code here has a test that provokes it, or is in the table's own test.

use crate::log::ClientLog;
use outflow_api::{Blame, Fault, Offset, Revision, Shard, Verdict};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// `doing` finishes the sentence "… failed while {doing}" and names the topic, group or id that it was done to.
pub(crate) fn of_error(error: KafkaError, doing: &str, log: &ClientLog) -> Fault {
    if let KafkaError::ClientConfig(_, description, key, _) = &error {
        return bad_setting(key, description);
    }
    let Some(code) = error.rdkafka_error_code() else {
        return Fault::halt("kafka-failed", format!("{doing} failed")).because(error);
    };
    of_code(code, doing, log).because(error)
}

/// A call that found no broker knows nothing but "timed out"; the client's log may know why.
pub(crate) fn of_code(code: Code, doing: &str, log: &ClientLog) -> Fault {
    let fault = verdict(code, doing);
    if fault.code != "kafka-unreachable" {
        return fault;
    }
    match log.take_trouble() {
        Some(trouble) => verdict(trouble.code, doing).because(trouble.reason),
        None => fault,
    }
}

fn verdict(code: Code, doing: &str) -> Fault {
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed => Fault::halt(
            "kafka-authentication",
            format!(
                "the brokers refused our credentials ({doing}): check sasl.mechanism, sasl.username, sasl.password"
            ),
        ),
        Code::SSL => Fault::halt(
            "kafka-tls",
            format!(
                "no TLS connection to the brokers ({doing}): check ssl.ca.location (who signed the brokers' \
                 certificate), the host names in bootstrap, and that security.protocol fits the port"
            ),
        ),
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => denied(code, doing),
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownTopicId | Code::UnknownPartition => {
            Fault::halt("topic-unknown", format!("no such topic or partition: {doing}; create it, or correct its name"))
        }
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => fenced(doing),
        Code::FencedInstanceId => Fault::halt(
            "instance-fenced",
            format!("another worker has started under our instance name; each worker needs its own ({doing})"),
        ),
        Code::MessageSizeTooLarge => {
            Fault::halt("kafka-too-large", format!("a record is larger than the topic's max.message.bytes ({doing})"))
        }
        Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::TimedOutQueue
        | Code::MessageTimedOut
        | Code::WaitingForCoordinator
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::NotCoordinator
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::NetworkException
        | Code::Retry
        | Code::BrokerNotAvailable
        | Code::NotEnoughReplicas
        | Code::ConcurrentTransactions
        | Code::NoOffset => Fault::retry(
            "kafka-unreachable",
            format!("no answer from the brokers ({doing}); tried again until they do"),
        ),
        _ => Fault::halt("kafka-failed", format!("{doing} failed")),
    }
}

pub(crate) fn fenced(doing: &str) -> Fault {
    Fault::new(Verdict::Fence, Blame::Us, "journal-fenced", format!("a newer owner has taken over: {doing}"))
}

pub(crate) fn hanging(topic: &str, partition: u32, stable: Offset, end: Offset) -> Fault {
    let hint = format!(
        "topic {topic}, partition {partition}: a transaction hangs open from offset {} on (the log ends at {}), and \
         not ours; find it with kafka-transactions find-hanging, end it with kafka-transactions abort --topic {topic} \
         --partition {partition} --start-offset {}",
        stable.0, end.0, stable.0
    );
    Fault::halt("journal-hanging-transaction", hint)
}

pub(crate) fn barrier_unseen(topic: &str, shard: Shard) -> Fault {
    let hint = format!(
        "journal {topic}, partition {}: our own barrier was written and could not be read; a newer owner may have \
         compacted it away, or the partition has no leader",
        shard.0
    );
    Fault::halt("journal-barrier-unseen", hint)
}

pub(crate) fn ledger_silent(topic: &str, shard: Shard) -> Fault {
    let hint = format!("ledger {topic}, partition {}: no record came for too long before its end", shard.0);
    Fault::retry("ledger-silent", hint)
}

/// Whether the barrier was written does not matter: the revision behind it was not sent.
pub(crate) fn config_unmarked(topic: &str) -> Fault {
    let hint =
        format!("no answer from the brokers (beginning to publish in config log {topic}); nothing was published");
    Fault::retry("kafka-unreachable", hint)
}

pub(crate) fn config_unknown(revision: Revision) -> Fault {
    let hint = format!(
        "the brokers did not say whether revision {} of the configuration was published; publishing it again tells",
        revision.0
    );
    Fault::retry("config-unknown", hint)
}

/// It was answered as written, and what is committed ends before it.
pub(crate) fn config_unseen(topic: &str, what: &str, stable: Offset, end: Offset) -> Fault {
    let (stable, end) = (stable.0, end.0);
    let hint = format!(
        "config log {topic}: {what} was written and could not be read; what is committed ends at offset {stable}, the \
         log at {end}. Where these differ for long, somebody's transaction hangs: find it with kafka-transactions \
         find-hanging, end it with kafka-transactions abort --topic {topic} --partition 0 --start-offset {stable}"
    );
    Fault::retry("config-unseen", hint)
}

pub(crate) fn config_lost(topic: &str) -> Fault {
    let hint = format!(
        "config log {topic} does not have the offset any more up to which it was read: it was deleted and made anew, \
         or lost its end; restore it from a copy"
    );
    Fault::halt("config-lost", hint)
}

fn denied(code: Code, doing: &str) -> Fault {
    let missing = match code {
        Code::TopicAuthorizationFailed => {
            "topics: Read and Describe on sources; Read, Write, Describe on journal, ledger \
             and config log (and Create, or create them yourself); Write and Describe on dead letters"
        }
        Code::GroupAuthorizationFailed => "groups: Read and Describe on the workers' group and on connect-<connector>",
        Code::TransactionalIdAuthorizationFailed => "transactional ids: Write and Describe on <group>- as a prefix",
        _ => "the cluster: Create, to make the journal, ledger and config topics",
    };
    let hint = format!("our user lacks a right ({doing}); grant on {missing}, with kafka-acls");
    Fault::halt("kafka-denied", hint)
}

/// The value is not told: it may be a password.
fn bad_setting(key: &str, description: &str) -> Fault {
    let known = !description.starts_with("No such configuration property");
    let what = if known { "has a value that is not allowed" } else { "is not known" };
    let hint = format!("the Kafka setting {key} {what}; allowed are librdkafka's settings (its CONFIGURATION.md)");
    Fault::halt("kafka-setting", hint)
}

pub(crate) fn offsets_gone(what: &str, asked: Offset, start: Offset) -> Fault {
    let lost = start.0 - asked.0;
    Fault::halt(
        "offsets-gone",
        format!(
            "{what}: offset {} is needed and the log starts at {} now: up to {lost} records were deleted before they \
             were delivered (retention, or kafka-delete-records); reset the connector's offsets to accept the loss",
            asked.0, start.0
        ),
    )
}

pub(crate) fn log_truncated(what: &str, position: Offset, end: Offset) -> Fault {
    Fault::halt(
        "log-truncated",
        format!(
            "{what}: we have read up to offset {} and the log ends at {} now: brokers lost records that were \
             delivered already (unclean leader election?); compare, then reset the connector's offsets",
            position.0, end.0
        ),
    )
}

pub(crate) fn topic_recreated(name: &str) -> Fault {
    Fault::halt(
        "topic-recreated",
        format!(
            "topic {name} was deleted and made anew: the offsets that were decided belong to the old one; \
             make the connector anew to read the new topic from its start"
        ),
    )
}

pub(crate) fn topic_gone(what: &str) -> Fault {
    Fault::halt("topic-unknown", format!("{what} does not exist; create it, or correct its name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_verdict() {
        let fault = |code| of_code(code, "reading", &ClientLog::default());
        for (code, expected, verdict) in [
            (Code::Fenced, "journal-fenced", Verdict::Fence),
            (Code::ProducerFenced, "journal-fenced", Verdict::Fence),
            (Code::InvalidProducerEpoch, "journal-fenced", Verdict::Fence),
            (Code::FencedInstanceId, "instance-fenced", Verdict::Halt),
            (Code::Authentication, "kafka-authentication", Verdict::Halt),
            (Code::SSL, "kafka-tls", Verdict::Halt),
            (Code::TopicAuthorizationFailed, "kafka-denied", Verdict::Halt),
            (Code::GroupAuthorizationFailed, "kafka-denied", Verdict::Halt),
            (Code::TransactionalIdAuthorizationFailed, "kafka-denied", Verdict::Halt),
            (Code::UnknownTopicOrPartition, "topic-unknown", Verdict::Halt),
            (Code::OperationTimedOut, "kafka-unreachable", Verdict::Retry { after: None }),
            (Code::AllBrokersDown, "kafka-unreachable", Verdict::Retry { after: None }),
            (Code::InvalidArgument, "kafka-failed", Verdict::Halt),
        ] {
            assert_eq!((fault(code).code, fault(code).verdict), (expected, verdict), "{code:?}");
        }
    }

    #[test]
    fn a_loss_is_told_with_numbers() {
        let hint = offsets_gone("topic orders, partition 3", Offset(100), Offset(140)).hint;
        assert!(hint.contains("offset 100") && hint.contains("starts at 140") && hint.contains("40 records"), "{hint}");
    }

    #[test]
    fn a_wrong_setting_is_named_and_its_value_is_not() {
        use rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID;
        let text = |part: &str| part.to_owned();
        let error = KafkaError::ClientConfig(
            RD_KAFKA_CONF_INVALID,
            text("Invalid value \"hunter2\""),
            text("sasl.password"),
            text("hunter2"),
        );
        let fault = of_error(error, "connecting", &ClientLog::default());
        assert!(fault.to_string().contains("sasl.password") && !fault.to_string().contains("hunter2"), "{fault}");
    }
}
