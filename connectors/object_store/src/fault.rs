use crate::place::{Place, Store};
use object_store::Error;
use outflow_api::{Blame, Fault, Reach, Verdict};
use std::{error::Error as StdError, io, io::ErrorKind, path::Path};

/// What we were doing: says which grant is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    Put,
    Empty,
    Stage,
    Complete,
    Abort,
    Look,
    List,
    Delete,
}

impl Act {
    fn shown(self) -> &'static str {
        match self {
            Act::Put => "writing an object",
            Act::Empty => "replacing an object by an empty one",
            Act::Stage => "staging a multipart upload",
            Act::Complete => "completing a multipart upload",
            Act::Abort => "aborting a multipart upload",
            Act::Look => "looking for an object",
            Act::List => "listing",
            Act::Delete => "deleting an object",
        }
    }

    fn grant(self, place: &Place) -> String {
        let prefix = if place.prefix.is_empty() { String::new() } else { format!("{}/", place.prefix) };
        match &place.store {
            Store::Folder(folder) => format!("read and write in {}", folder.display()),
            Store::S3 { bucket } => {
                let object = format!("on arn:aws:s3:::{bucket}/{prefix}*");
                match self {
                    Act::Put | Act::Empty | Act::Stage | Act::Complete => format!("s3:PutObject {object}"),
                    Act::Abort => format!("s3:AbortMultipartUpload {object}"),
                    Act::Look => format!("s3:GetObject {object} and s3:ListBucket on arn:aws:s3:::{bucket}"),
                    Act::List => format!("s3:ListBucket on arn:aws:s3:::{bucket}"),
                    Act::Delete => format!("s3:DeleteObject {object}"),
                }
            }
            Store::Gcs { bucket } => {
                let right = match self {
                    Act::Put | Act::Stage | Act::Complete => "storage.objects.create",
                    Act::Empty => "storage.objects.create and storage.objects.delete",
                    Act::Abort => "storage.multipartUploads.abort",
                    Act::Look => "storage.objects.get",
                    Act::List => "storage.objects.list",
                    Act::Delete => "storage.objects.delete",
                };
                format!("{right} on bucket {bucket}")
            }
            Store::Azure { account, container } => {
                let right = match self {
                    Act::Put | Act::Empty | Act::Stage | Act::Complete | Act::Abort => "write",
                    Act::Look | Act::List => "read",
                    Act::Delete => "delete",
                };
                format!(
                    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/{right} on container {container} \
                     of account {account} (role Storage Blob Data Contributor)"
                )
            }
        }
    }
}

/// What stands in an answer: the code is the provider's own word for it.
struct Answer {
    status: u16,
    code: String,
    message: String,
    /// No answer at all: the innermost cause.
    cause: String,
    /// From the service that tells a workload who it is, not from the store.
    of_identity: bool,
}

/// Codes of S3, GCS and Azure in front, those of compatible stores behind.
const BUCKET_MISSING: &[&str] = &["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "BucketNotFound"];
const CREDENTIALS: &[&str] = &[
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidSecurity",
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "NoAuthenticationInformation",
    "XAdminUserNotFound",
];
const REGION: &[&str] =
    &["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "TemporaryRedirect"];
const THROTTLED: &[&str] =
    &["SlowDown", "SlowDownWrite", "ServerBusy", "RequestLimitExceeded", "TooManyRequests", "Throttling"];
const FULL: &[&str] = &["QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "AccountStorageLimitExceeded"];
const STAGING_GONE: &[&str] = &["NoSuchUpload", "InvalidPart", "InvalidBlockList", "InvalidBlockId"];

pub fn is_bucket_missing(error: &Error) -> bool {
    BUCKET_MISSING.contains(&answer(error).code.as_str())
}

/// The store no longer knows the upload or its parts: completed, aborted, or expired.
pub fn is_staging_gone(error: &Error) -> bool {
    let code = answer(error).code;
    let bare = code.is_empty() && matches!(error, Error::NotFound { .. });
    bare || STAGING_GONE.contains(&code.as_str())
}

pub fn of_bucket(place: &Place, act: Act, error: &Error) -> Fault {
    let answer = answer(error);
    let told = answer.told();
    let doing = format!("{} at {}", act.shown(), place.shown());
    let park = |blame, code, hint: String| Fault::park(blame, code, format!("{doing}: {hint}{told}"));
    let is = |codes: &[&str]| codes.contains(&answer.code.as_str());
    if is(&["RequestTimeTooSkewed"]) {
        return park(Blame::Us, "clock-skew", "this machine's clock is wrong: signatures carry the time".to_owned());
    }
    if is(REGION) || answer.status == 301 || answer.cause.contains("without LOCATION") {
        let hint = "the bucket is in another region: set region, and endpoint if there is one".to_owned();
        return park(Blame::Merchant, "wrong-region", hint);
    }
    let unknown = answer.status == 401 || answer.message.contains("failed to authenticate");
    if answer.of_identity && (400..500).contains(&answer.status) {
        let hint = "this machine has no identity of its own there: give credentials in the settings".to_owned();
        return park(Blame::Merchant, "bad-credentials", hint).reaching(Reach::Credential);
    }
    if is(CREDENTIALS) || unknown {
        let hint = "the credentials are not accepted: expired, revoked or mistyped; renew them".to_owned();
        return park(Blame::Merchant, "bad-credentials", hint).reaching(Reach::Credential);
    }
    let missing = answer.status == 404 || matches!(error, Error::NotFound { .. });
    if is(BUCKET_MISSING) || (act != Act::Look && missing) {
        return park(Blame::Merchant, "bucket-missing", "the bucket is not there; create it, or mend url".to_owned());
    }
    if is(FULL) || answer.status == 507 {
        return park(Blame::Merchant, "quota-exceeded", "the store is full, or its quota is used up".to_owned());
    }
    if is(THROTTLED) || answer.status == 429 {
        let hint = format!("{doing}: the store asks for fewer requests{told}");
        return Fault::retry("throttled", hint).reaching(Reach::Credential);
    }
    if answer.status == 403 {
        let grant = act.grant(place);
        return park(Blame::Merchant, "access-denied", format!("the credentials lack {grant}; grant it"));
    }
    // The service for identities says nothing about the store.
    let reach = if answer.of_identity { Reach::Credential } else { Reach::Host };
    let unavailable = || Fault::retry("unavailable", format!("{doing}: the store failed{told}"));
    if matches!(error, Error::AlreadyExists { .. }) {
        return unavailable();
    }
    if answer.status >= 500 || answer.status == 408 {
        return unavailable().reaching(reach);
    }
    if answer.status >= 400 || matches!(error, Error::NotSupported { .. } | Error::NotImplemented { .. }) {
        return park(Blame::Us, "refused", "the store refuses the request".to_owned());
    }
    Fault::retry("unreachable", format!("{doing}: no answer{told}")).reaching(reach)
}

pub fn of_folder(folder: &Path, what: &str, error: io::Error) -> Fault {
    let folder = folder.display();
    let (verdict, code, hint) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (Verdict::Retry { after: None }, "disk-full", "the disk is full; free space, and it goes on")
        }
        ErrorKind::PermissionDenied => (Verdict::Park, "access-denied", "this user may not write there"),
        ErrorKind::ReadOnlyFilesystem => (Verdict::Park, "access-denied", "the file system is mounted read-only"),
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => (Verdict::Park, "not-a-folder", "a file is in the way"),
        ErrorKind::InvalidFilename => (Verdict::Park, "key-too-long", "a file's name is too long"),
        ErrorKind::CrossesDevices => {
            (Verdict::Park, "other-file-system", "folders below it are on another file system; link them elsewhere")
        }
        ErrorKind::Unsupported => (Verdict::Park, "no-hard-links", "the file system knows no hard links"),
        _ => (Verdict::Retry { after: None }, "disk-failed", "the file system failed"),
    };
    Fault::new(verdict, Blame::Us, code, format!("files in {folder} could not be {what}: {hint}")).because(error)
}

impl Answer {
    fn told(&self) -> String {
        let status = if self.status == 0 { String::new() } else { self.status.to_string() };
        let parts = [status.as_str(), &self.code, &self.message, &self.cause];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    }
}

/// The answer is found in the error's text: the library keeps its own types to itself. What is passed on is picked
/// from it, never the whole: an address or a body may hold signatures and keys.
fn answer(error: &Error) -> Answer {
    let text = error.to_string();
    let status = text.split("status code: ").nth(1).or_else(|| text.split("error response: ").nth(1));
    let status = status.and_then(|rest| rest.get(..3)).and_then(|digits| digits.parse().ok()).unwrap_or_default();
    let code = element(&text, "Code").or_else(|| json_text(&text, "reason")).unwrap_or_default();
    let message = element(&text, "Message").or_else(|| json_text(&text, "message")).unwrap_or_default();
    let mut innermost: &dyn StdError = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let cause = if status == 0 && code.is_empty() { innermost.to_string() } else { String::new() };
    let cause = if cause.contains("://") { "the connection failed".to_owned() } else { cause };
    let of_identity = ["token request", "169.254.", "security-credentials"].iter().any(|sign| text.contains(sign));
    Answer { status, code, message: short(&message), cause: short(&cause), of_identity }
}

fn element(text: &str, name: &str) -> Option<String> {
    let start = text.find(&format!("<{name}>"))? + name.len() + 2;
    let end = text[start..].find(&format!("</{name}>"))? + start;
    Some(text[start..end].to_owned())
}

fn json_text(text: &str, name: &str) -> Option<String> {
    let rest = text.split(&format!("\"{name}\"")).nth(1)?.split_once(':')?.1.trim_start();
    Some(rest.strip_prefix('"')?.split('"').next()?.to_owned())
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place::parse("s3://lake/orders", None, None).expect("a place")
    }

    fn said(status: &str, code: &str) -> Box<dyn StdError + Send + Sync> {
        let secret = "<StringToSign>AWS4 SECRET</StringToSign>";
        let body = format!("<Error><Code>{code}</Code><Message>told so</Message>{secret}</Error>");
        format!("Server returned non-2xx status code: {status}: {body}").into()
    }

    fn generic(status: &str, code: &str) -> Error {
        Error::Generic { store: "S3", source: said(status, code) }
    }

    #[test]
    fn a_refusal_names_the_grant_that_is_missing() {
        let error = |code| Error::PermissionDenied { path: "x".to_owned(), source: said("403 Forbidden", code) };
        let fault = of_bucket(&place(), Act::Put, &error("AccessDenied"));
        assert_eq!((fault.verdict, fault.code), (Verdict::Park, "access-denied"));
        assert!(fault.hint.contains("s3:PutObject on arn:aws:s3:::lake/orders/*"), "{}", fault.hint);
        assert!(fault.hint.contains("403, AccessDenied, told so") && !fault.to_string().contains("SECRET"));
        assert_eq!(of_bucket(&place(), Act::Put, &error("SignatureDoesNotMatch")).code, "bad-credentials");
        assert_eq!(of_bucket(&place(), Act::Put, &error("RequestTimeTooSkewed")).code, "clock-skew");
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_parks() {
        let seen = |error: Error| {
            let fault = of_bucket(&place(), Act::Put, &error);
            (fault.verdict != Verdict::Park, fault.code)
        };
        assert_eq!(seen(generic("503 Service Unavailable", "SlowDown")), (true, "throttled"));
        assert_eq!(seen(generic("500 Internal Server Error", "InternalError")), (true, "unavailable"));
        assert_eq!(seen(generic("301 Moved Permanently", "PermanentRedirect")), (false, "wrong-region"));
        assert_eq!(seen(generic("400 Bad Request", "EntityTooLarge")), (false, "refused"));
        let gone = Error::NotFound { path: "x".to_owned(), source: said("404 Not Found", "NoSuchBucket") };
        assert_eq!(seen(gone), (false, "bucket-missing"));
        let io = Error::Generic { store: "S3", source: Box::new(io::Error::from(ErrorKind::ConnectionRefused)) };
        assert_eq!(seen(io), (true, "unreachable"));
    }

    #[test]
    fn what_concerns_one_lane_alone_does_not_reach_the_others_of_its_host() {
        let reach = |error: Error| of_bucket(&place(), Act::Put, &error).reach;
        let io = Error::Generic { store: "S3", source: Box::new(io::Error::from(ErrorKind::ConnectionRefused)) };
        assert_eq!(reach(io), Reach::Host);
        assert_eq!(reach(generic("503 Service Unavailable", "ServiceUnavailable")), Reach::Host);
        assert_eq!(reach(generic("503 Service Unavailable", "SlowDown")), Reach::Credential);
        assert_eq!(reach(generic("403 Forbidden", "SignatureDoesNotMatch")), Reach::Credential);
        assert_eq!(reach(generic("403 Forbidden", "AccessDenied")), Reach::Lane);
        assert_eq!(reach(generic("404 Not Found", "NoSuchBucket")), Reach::Lane);
        assert_eq!(reach(generic("507 Insufficient Storage", "XMinioStorageFull")), Reach::Lane);
    }

    #[test]
    fn staging_is_gone_only_when_the_store_says_so() {
        assert!(is_staging_gone(&generic("400 Bad Request", "InvalidBlockList")));
        let upload = Error::NotFound { path: "x".to_owned(), source: said("404 Not Found", "NoSuchUpload") };
        assert!(is_staging_gone(&upload));
        let bucket = Error::NotFound { path: "x".to_owned(), source: said("404 Not Found", "NoSuchBucket") };
        assert!(!is_staging_gone(&bucket));
        assert!(!is_staging_gone(&generic("500 Internal Server Error", "InternalError")));
    }

    #[test]
    fn a_full_disk_is_waited_for_and_a_closed_folder_parks() {
        let code = |kind: ErrorKind| of_folder(Path::new("/lake"), "written", kind.into());
        assert_eq!(code(ErrorKind::StorageFull).code, "disk-full");
        assert!(matches!(code(ErrorKind::StorageFull).verdict, Verdict::Retry { .. }));
        assert_eq!(code(ErrorKind::PermissionDenied).verdict, Verdict::Park);
    }
}
