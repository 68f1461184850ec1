use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::ProducerContext,
};
use std::sync::{Arc, Mutex, PoisonError};

/// What the client says on its own: into our log, and the last word about why no broker can be reached, which a call
/// that timed out does not know.
#[derive(Clone, Default)]
pub(crate) struct ClientLog {
    trouble: Arc<Mutex<Option<Trouble>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) reason: String,
}

impl ClientLog {
    /// Refused credentials say more than the broken connection that follows them.
    fn note(&self, code: RDKafkaErrorCode, reason: &str) {
        let weight = |code: RDKafkaErrorCode| match code {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => 3,
            RDKafkaErrorCode::SSL => 2,
            RDKafkaErrorCode::Resolve | RDKafkaErrorCode::BrokerTransportFailure => 1,
            _ => 0,
        };
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|last| weight(last.code) <= weight(code)) {
            *last = Some(Trouble { code, reason: reason.to_owned() });
        }
    }

    pub(crate) fn take_trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The client's words for being followed by another owner. It calls that fatal; here it is how shards and the config
/// log change hands, and whoever was followed says himself what he does about it.
const FOLLOWED: &str = "fenced by a newer instance";

const WARNING: i32 = 4;

/// `level` as in syslog.
pub(crate) fn forward(level: i32, line: &str) {
    match level {
        _ if line.contains(FOLLOWED) => tracing::debug!(target: "kafka", "{line}"),
        ..=3 => tracing::error!(target: "kafka", "{line}"),
        WARNING => tracing::warn!(target: "kafka", "{line}"),
        5 | 6 => tracing::info!(target: "kafka", "{line}"),
        _ => tracing::trace!(target: "kafka", "{line}"),
    }
}

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, line: &str) {
        forward(level as i32, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // Readers ask to be told; it is no trouble.
            Some(RDKafkaErrorCode::PartitionEOF) => return,
            Some(code) => self.note(code, reason),
            None => {}
        }
        forward(WARNING, reason);
    }
}

impl ConsumerContext for ClientLog {}

impl ProducerContext for ClientLog {
    type DeliveryOpaque = ();

    /// The commit knows: a message that was not written fails it.
    fn delivery(&self, _result: &DeliveryResult<'_>, _opaque: ()) {}
}
