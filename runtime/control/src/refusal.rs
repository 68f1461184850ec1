use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use outflow_api::{Fault, Verdict};
use serde_json::json;

/// Why something that was asked is not done, as Kafka Connect says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }

    /// The request cannot be read.
    pub fn malformed(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }

    /// It can be read, and says what cannot be.
    pub fn wrong(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    pub fn unknown(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, message)
    }

    /// It may not be asked here.
    pub fn forbidden(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, message)
    }

    /// It is there already, or somebody else was faster.
    pub fn conflict(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::CONFLICT, message)
    }

    /// It is not as the caller has seen it.
    pub fn outdated(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::PRECONDITION_FAILED, message)
    }

    /// As Kafka Connect answers where it does not know a class.
    pub fn internal(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// It cannot be undone, and nobody said that he means it.
    pub fn unconfirmed(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::CONFLICT, message)
    }

    /// This version does not have it.
    pub fn missing(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        let status = match fault.verdict {
            Verdict::Retry { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Verdict::Park | Verdict::Fence | Verdict::Halt => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal::new(status, fault.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error_code": self.status.as_u16(), "message": self.message });
        (self.status, Json(body)).into_response()
    }
}
