//! What the services answer → what the engine does about it.

use bigquery_storage::google::{
    cloud::bigquery::storage::v1::{StorageError, storage_error::StorageErrorCode},
    rpc,
};
use outflow_api::{BatchId, Blame, Fault, Reach};
use prost::Message;
use serde_json::Value;
use std::error::Error;
use tonic::{Code, Status};

/// What we were doing: says which grant is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    CreateStream,
    Append,
    Finalize,
    Commit,
    LookAtStream,
    LookAtTable,
    MakeTable,
    ChangeTable,
    StartJob,
    LookAtJob,
}

impl Act {
    fn shown(self) -> &'static str {
        match self {
            Act::CreateStream => "creating a write stream",
            Act::Append => "appending rows",
            Act::Finalize => "finalizing a write stream",
            Act::Commit => "committing a write stream",
            Act::LookAtStream => "looking at a write stream",
            Act::LookAtTable => "looking at the table",
            Act::MakeTable => "making the table",
            Act::ChangeTable => "adding columns",
            Act::StartJob => "starting a load job",
            Act::LookAtJob => "looking at a load job",
        }
    }

    fn grant(self) -> &'static str {
        match self {
            Act::CreateStream | Act::Append | Act::Finalize | Act::Commit => "bigquery.tables.updateData",
            Act::LookAtStream => "bigquery.tables.get, bigquery.tables.updateData",
            Act::LookAtTable => "bigquery.tables.get and bigquery.datasets.get",
            Act::MakeTable => "bigquery.tables.create",
            Act::ChangeTable => "bigquery.tables.get and bigquery.tables.update",
            Act::StartJob => "bigquery.jobs.create on the project",
            Act::LookAtJob => "bigquery.jobs.get on the project",
        }
    }
}

const ERROR_TYPE: &str = "google.cloud.bigquery.storage.v1.StorageError";
const TOLD_CHARS_MAX: usize = 300;

/// The service's own words for what is wrong with a table or a stream.
pub fn storage_code(details: &[prost_types::Any]) -> Option<StorageErrorCode> {
    let error = details.iter().find(|detail| detail.type_url.ends_with(ERROR_TYPE))?;
    StorageErrorCode::try_from(StorageError::decode(error.value.as_slice()).ok()?.code).ok()
}

pub fn storage_code_of(status: &Status) -> Option<StorageErrorCode> {
    storage_code(&rpc::Status::decode(status.details()).ok()?.details)
}

/// Of an answer that comes within a stream of answers.
pub fn of_answer(table: &str, act: Act, answer: &rpc::Status) -> Fault {
    of(table, act, Code::from_i32(answer.code), storage_code(&answer.details), &answer.message)
}

pub fn of_status(table: &str, act: Act, status: &Status) -> Fault {
    // No answer of the service, but what our side made of a connection that failed.
    if let Some(cause) = status.source() {
        let hint = format!("{} of {table}: no answer, or the connection broke{}", act.shown(), told(&innermost(cause)));
        return Fault::retry("unreachable", hint).reaching(Reach::Host);
    }
    of(table, act, status.code(), storage_code_of(status), status.message())
}

fn of(table: &str, act: Act, code: Code, storage: Option<StorageErrorCode>, message: &str) -> Fault {
    let doing = format!("{} of {table}", act.shown());
    let told = told(message);
    let park = |blame, code, hint: &str| Fault::park(blame, code, format!("{doing}: {hint}{told}"));
    let retry = |code, hint: &str| Fault::retry(code, format!("{doing}: {hint}{told}"));
    match storage {
        Some(StorageErrorCode::TableNotFound) => return missing(&doing, &told),
        Some(StorageErrorCode::SchemaMismatchExtraFields) => {
            return retry("schema-spreads", "the service does not know the newest columns yet");
        }
        Some(
            StorageErrorCode::CmekNotProvided
            | StorageErrorCode::InvalidCmekProvided
            | StorageErrorCode::CmekEncryptionError
            | StorageErrorCode::KmsPermissionDenied,
        ) => {
            return park(Blame::Merchant, "key-refused", "the dataset's encryption key cannot be used: see its grants");
        }
        _ => {}
    }
    match code {
        Code::Unauthenticated => {
            park(Blame::Merchant, "bad-credentials", "the credentials are not accepted: renew them")
                .reaching(Reach::Credential)
        }
        Code::PermissionDenied => {
            park(Blame::Merchant, "access-denied", &format!("the credentials lack {}; grant it", act.grant()))
        }
        Code::NotFound => missing(&doing, &told),
        Code::ResourceExhausted => {
            retry("quota-exceeded", "a quota of the project is used up for now").reaching(Reach::Credential)
        }
        Code::Unavailable => retry("unavailable", "the service is not available").reaching(Reach::Host),
        // Of one table among all that are there.
        Code::Internal | Code::Unknown | Code::Aborted | Code::Cancelled | Code::DeadlineExceeded => {
            retry("service-failed", "the service failed, or did not finish")
        }
        // Of a stream that nobody else has: a new one is made by the next call.
        Code::AlreadyExists | Code::OutOfRange | Code::FailedPrecondition => {
            retry("stream-unusable", "the stream is not as it was left")
        }
        Code::Ok | Code::InvalidArgument | Code::DataLoss | Code::Unimplemented => {
            park(Blame::Us, "refused", "the service refuses the request")
        }
    }
}

fn missing(doing: &str, told: &str) -> Fault {
    let hint = format!("{doing}: there is no such table: make it, or mend project, dataset and table{told}");
    Fault::park(Blame::Merchant, "table-missing", hint)
}

/// An answer of the tables' interface.
pub fn of_http(table: &str, act: Act, status: u16, body: &Value) -> Fault {
    let error = &body["error"];
    let reason = error["errors"][0]["reason"].as_str().unwrap_or_default();
    let told = told(error["message"].as_str().unwrap_or_default());
    let doing = format!("{} of {table}", act.shown());
    let park = |blame, code, hint: &str| Fault::park(blame, code, format!("{doing}: {hint}{told}"));
    let retry = |code, hint: &str| Fault::retry(code, format!("{doing}: {hint}{told}"));
    match (status, reason) {
        (429, _) | (403, "rateLimitExceeded" | "quotaExceeded" | "userRateLimitExceeded") => {
            retry("quota-exceeded", "a quota of the project is used up for now").reaching(Reach::Credential)
        }
        (401, _) => park(Blame::Merchant, "bad-credentials", "the credentials are not accepted: renew them")
            .reaching(Reach::Credential),
        (403, _) => park(Blame::Merchant, "access-denied", &format!("the credentials lack {}; grant it", act.grant())),
        (404, _) if act == Act::MakeTable => {
            let hint = "there is no such dataset: make it, or mend project and dataset";
            park(Blame::Merchant, "dataset-missing", hint)
        }
        (404, _) => missing(&doing, &told),
        (409 | 412, _) => retry("table-changes", "somebody else changes the table"),
        (503, _) => retry("unavailable", "the service is not available").reaching(Reach::Host),
        (408, _) | (500.., _) => retry("service-failed", "the service failed, or did not finish"),
        _ => park(Blame::Us, "refused", "the service refuses the request"),
    }
}

pub fn of_request(table: &str, act: Act, error: &reqwest::Error) -> Fault {
    let cause = error.source().map(innermost).unwrap_or_default();
    let hint = format!("{} of {table}: no answer, or the connection broke{}", act.shown(), told(&cause));
    Fault::retry("unreachable", hint).reaching(Reach::Host)
}

/// What a load job came to. Nothing of its rows is in the table, and nothing ever will be.
pub fn of_job(table: &str, id: BatchId, reason: &str, message: &str) -> Fault {
    let told = told(message);
    let doing = format!("loading batch {id} into {table}");
    match reason {
        "backendError" | "internalError" | "jobBackendError" | "jobInternalError" | "tableUnavailable" | "stopped"
        | "timeout" => {
            Fault::retry("load-failed", format!("{doing}: the job failed ({reason}), and another follows{told}"))
        }
        "quotaExceeded" | "rateLimitExceeded" | "jobRateLimitExceeded" => {
            let hint = format!("{doing}: a quota of the project is used up for now{told}");
            Fault::retry("quota-exceeded", hint).reaching(Reach::Credential)
        }
        "accessDenied" => {
            let hint = format!(
                "{doing}: the job may not do it: grant storage.objects.get on the staging bucket and \
                 bigquery.tables.updateData on the table{told}"
            );
            Fault::park(Blame::Merchant, "access-denied", hint)
        }
        // A file that is gone is put there again.
        "notFound" => Fault::retry("load-failed", format!("{doing}: something is not there, and is looked for{told}")),
        _ => {
            let hint = format!("{doing}: the job was refused ({reason}), and is tried again ever more seldom{told}");
            Fault::park(Blame::Merchant, "load-refused", hint)
        }
    }
}

pub fn of_staging(doing: &str, error: &object_store::Error) -> Fault {
    use object_store::Error as Failed;
    let because = told(&innermost(error));
    match error {
        Failed::PermissionDenied { .. } => {
            let grants = "storage.objects.create, storage.objects.get and storage.objects.delete";
            let hint = format!("{doing}: the credentials lack a grant: {grants}{because}");
            Fault::park(Blame::Merchant, "access-denied", hint)
        }
        Failed::Unauthenticated { .. } => {
            let hint = format!("{doing}: the credentials are not accepted: renew them{because}");
            Fault::park(Blame::Merchant, "bad-credentials", hint).reaching(Reach::Credential)
        }
        Failed::NotFound { .. } => {
            let hint = format!("{doing}: there is no such bucket: make it, or mend staging{because}");
            Fault::park(Blame::Merchant, "staging-missing", hint)
        }
        _ => Fault::retry("staging-fails", format!("{doing}: no answer, or the store failed{because}")),
    }
}

pub fn of_credentials(why: &str, is_transient: bool) -> Fault {
    if is_transient {
        let hint = format!("no token can be had for the credentials now{}", told(why));
        return Fault::retry("no-token", hint).reaching(Reach::Credential);
    }
    let hint = format!("the credentials cannot be used: renew them, or give others{}", told(why));
    Fault::park(Blame::Merchant, "bad-credentials", hint).reaching(Reach::Credential)
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

fn told(message: &str) -> String {
    let shown = shortened(message);
    if shown.is_empty() { shown } else { format!(" ({shown})") }
}

/// As much of it as people need, on one line.
pub fn shortened(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(TOLD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::Verdict;
    use serde_json::json;

    fn shown(fault: &Fault) -> (&'static str, bool, Reach) {
        (fault.code, matches!(fault.verdict, Verdict::Retry { .. }), fault.reach)
    }

    fn of_code(code: Code) -> (&'static str, bool, Reach) {
        shown(&of_status("t", Act::Append, &Status::new(code, "said")))
    }

    fn of_storage(storage: StorageErrorCode) -> (&'static str, bool, Reach) {
        let error = StorageError { code: storage.into(), ..StorageError::default() };
        let detail = prost_types::Any { type_url: format!("x/{ERROR_TYPE}"), value: error.encode_to_vec() };
        let status = rpc::Status { code: 3, message: "said".to_owned(), details: vec![detail] };
        let same = Status::with_details(Code::InvalidArgument, "said", status.encode_to_vec().into());
        let (one, other) = (of_answer("t", Act::Append, &status), of_status("t", Act::Append, &same));
        assert_eq!(shown(&one), shown(&other), "the same is said in two ways");
        shown(&one)
    }

    #[test]
    fn each_answer_of_the_write_service_has_its_code_and_reach() {
        assert_eq!(of_code(Code::Unavailable), ("unavailable", true, Reach::Host));
        assert_eq!(of_code(Code::Internal), ("service-failed", true, Reach::Lane));
        assert_eq!(of_code(Code::DeadlineExceeded), ("service-failed", true, Reach::Lane));
        assert_eq!(of_code(Code::ResourceExhausted), ("quota-exceeded", true, Reach::Credential));
        assert_eq!(of_code(Code::OutOfRange), ("stream-unusable", true, Reach::Lane));
        assert_eq!(of_code(Code::Unauthenticated), ("bad-credentials", false, Reach::Credential));
        assert_eq!(of_code(Code::PermissionDenied), ("access-denied", false, Reach::Lane));
        assert_eq!(of_code(Code::NotFound), ("table-missing", false, Reach::Lane));
        assert_eq!(of_code(Code::InvalidArgument), ("refused", false, Reach::Lane));
        assert_eq!(of_storage(StorageErrorCode::TableNotFound), ("table-missing", false, Reach::Lane));
        let spreads = of_storage(StorageErrorCode::SchemaMismatchExtraFields);
        assert_eq!(spreads, ("schema-spreads", true, Reach::Lane));
        assert_eq!(of_storage(StorageErrorCode::KmsPermissionDenied), ("key-refused", false, Reach::Lane));
    }

    #[test]
    fn each_answer_of_the_tables_service_has_its_code_and_reach() {
        let of = |act, status, reason: &str| {
            let body = json!({ "error": { "message": "said", "errors": [{ "reason": reason }] } });
            shown(&of_http("t", act, status, &body))
        };
        let look = |status, reason| of(Act::LookAtTable, status, reason);
        assert_eq!(look(401, "authError"), ("bad-credentials", false, Reach::Credential));
        assert_eq!(look(403, "accessDenied"), ("access-denied", false, Reach::Lane));
        assert_eq!(look(403, "rateLimitExceeded"), ("quota-exceeded", true, Reach::Credential));
        assert_eq!(look(429, ""), ("quota-exceeded", true, Reach::Credential));
        assert_eq!(look(404, "notFound"), ("table-missing", false, Reach::Lane));
        assert_eq!(of(Act::MakeTable, 404, "notFound"), ("dataset-missing", false, Reach::Lane));
        assert_eq!(of(Act::ChangeTable, 412, "conditionNotMet"), ("table-changes", true, Reach::Lane));
        assert_eq!(look(500, "internalError"), ("service-failed", true, Reach::Lane));
        assert_eq!(look(503, "backendError"), ("unavailable", true, Reach::Host));
        assert_eq!(look(400, "invalid"), ("refused", false, Reach::Lane));
    }

    #[test]
    fn a_refusal_names_the_grant_and_what_was_said_is_cut() {
        let status = Status::permission_denied("x".repeat(5_000));
        let fault = of_status("shop.lake.orders", Act::Commit, &status);
        assert!(fault.hint.contains("bigquery.tables.updateData") && fault.hint.contains("shop.lake.orders"));
        assert!(fault.hint.len() < 600, "{fault}");
    }
}
