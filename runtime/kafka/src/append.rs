//! One transaction, and what its errors mean. Before the first record is sent nothing is written; behind it only the
//! coordinator knows, and anything but its word is Unknown.

use crate::{fault, journal::ShardProducer};
use outflow_api::{AppendOutcome, Fault, Verdict};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{BaseRecord, Producer},
};
use std::time::{Duration, Instant};

/// Of all of it; below the shard's own patience, above a broker's restart.
const LIMIT: Duration = Duration::from_secs(30);
const COMMIT_LIMIT: Duration = Duration::from_secs(3);
/// The client's own `poll` spins through the last millisecond of its time: whoever waits sleeps, and looks.
const NAP: Duration = Duration::from_millis(1);

pub(crate) fn fault(producer: &ShardProducer, error: KafkaError, doing: &str) -> Fault {
    producer.poll(Duration::from_millis(20));
    fault::of_error(error, doing, producer.client().context())
}

/// Room is made by waiting: the client's queue is larger than any transaction.
pub(crate) fn send(producer: &ShardProducer, record: BaseRecord<'_, [u8], [u8]>) -> Result<(), KafkaError> {
    let deadline = Instant::now() + LIMIT;
    let mut waiting = record;
    loop {
        match producer.send(waiting) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(Code::QueueFull), back)) if Instant::now() < deadline => {
                look(producer);
                waiting = back;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// One poll without time takes one answer, which may be that of many records.
fn look(producer: &ShardProducer) {
    std::thread::sleep(NAP);
    producer.poll(Duration::ZERO);
}

pub(crate) fn transact(
    producer: &ShardProducer,
    send_all: impl FnOnce(&ShardProducer) -> Result<(), KafkaError>,
) -> AppendOutcome {
    transact_within(producer, LIMIT, send_all)
}

pub(crate) fn transact_within(
    producer: &ShardProducer,
    limit: Duration,
    send_all: impl FnOnce(&ShardProducer) -> Result<(), KafkaError>,
) -> AppendOutcome {
    let deadline = Instant::now() + limit;
    if let Err(error) = producer.begin_transaction() {
        return before_commit(producer, error);
    }
    if let Err(error) = send_all(producer) {
        return before_commit(producer, error);
    }
    // The client's own flush takes a tenth of a second.
    while producer.in_flight_count() > 0 && Instant::now() < deadline {
        look(producer);
    }
    if is_fenced(producer) {
        return AppendOutcome::Fenced;
    }
    commit(producer, deadline)
}

/// The commit was not asked for: it can only be aborted.
fn before_commit(producer: &ShardProducer, error: KafkaError) -> AppendOutcome {
    let fault = fault(producer, error, "writing a transaction");
    if fault.verdict == Verdict::Fence || is_fenced(producer) {
        return AppendOutcome::Fenced;
    }
    AppendOutcome::Unknown(unknown(fault))
}

fn commit(producer: &ShardProducer, deadline: Instant) -> AppendOutcome {
    loop {
        let Err(error) = producer.commit_transaction(COMMIT_LIMIT) else { return AppendOutcome::Done };
        if !may_ask_again(&error) || Instant::now() > deadline {
            // Fenced here is Unknown too: the client may have asked twice, and the first word may have been heard.
            return AppendOutcome::Unknown(unknown(fault(producer, error, "committing a transaction")));
        }
    }
}

fn may_ask_again(error: &KafkaError) -> bool {
    match error {
        // Not all records are acknowledged: the commit was not asked for yet.
        KafkaError::Flush(_) => true,
        KafkaError::Transaction(error) => error.is_retriable() && !error.is_fatal() && !error.txn_requires_abort(),
        _ => false,
    }
}

pub(crate) fn is_fenced(producer: &ShardProducer) -> bool {
    let fatal = producer.client().fatal_error();
    fatal.is_some_and(|(code, _)| matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch))
}

fn unknown(fault: Fault) -> Fault {
    let hint = "the brokers did not say whether the transaction was written; the shard recovers by reading";
    Fault::retry("journal-unknown", hint).because(fault)
}
