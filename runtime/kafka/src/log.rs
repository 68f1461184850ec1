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

/// `level` as in syslog.
pub(crate) fn forward(level: i32, line: &str) {
    match level {
        ..=3 => tracing::error!(target: "kafka", "{line}"),
        4 => tracing::warn!(target: "kafka", "{line}"),
        5 | 6 => tracing::info!(target: "kafka", "{line}"),
        _ => tracing::trace!(target: "kafka", "{line}"),
    }
}

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, line: &str) {
        forward(level as i32, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.note(code, reason);
        }
        tracing::warn!(target: "kafka", "{reason}");
    }
}

impl ConsumerContext for ClientLog {}

impl ProducerContext for ClientLog {
    type DeliveryOpaque = ();

    /// The commit knows: a message that was not written fails it.
    fn delivery(&self, _result: &DeliveryResult<'_>, _opaque: ()) {}
}
