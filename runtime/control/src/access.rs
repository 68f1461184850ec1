//! Who may ask what. Without tokens, whoever reaches the address may ask everything: it is loopback then.

use crate::Refusal;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

/// Somebody who may ask, known by the hash of his token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    pub name: String,
    pub role: Role,
    pub sha256: [u8; 32],
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// All.
    Admin,
    /// Sees all, and gives commands; changes no configuration.
    Operator,
    /// Sees all.
    Viewer,
    /// Sees and steers his own deliveries alone.
    Merchant(String),
}

/// What a request needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// Anybody: probes.
    Nothing,
    See,
    Command,
    Configure,
    /// Of a merchant: himself, or who may do it to all.
    SeeMerchant(String),
    CommandMerchant(String),
}

/// Cheap to clone.
#[derive(Clone, Default)]
pub struct Access(Arc<Inner>);

#[derive(Default)]
struct Inner {
    known: RwLock<Arc<Known>>,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Default, PartialEq)]
struct Known {
    tokens: Vec<Token>,
    requests_per_second: u32,
}

struct Bucket {
    left: f64,
    at: Instant,
}

/// Who asks, for the audit log.
#[derive(Clone, Debug)]
struct Who(String);

/// Requests without a right token share this name.
const STRANGERS: &str = "";
/// Of strangers, a second: guessing is slow.
const STRANGERS_PER_SECOND: u32 = 10;

impl Access {
    /// `requests_per_second`: of each token; a second's worth may come at once.
    pub fn new(tokens: Vec<Token>, requests_per_second: u32) -> Access {
        let known = RwLock::new(Arc::new(Known { tokens, requests_per_second }));
        Access(Arc::new(Inner { known, buckets: Mutex::default() }))
    }

    /// From the next request on; true if that changes something. Nobody gets a second bucket by it, and who is gone
    /// leaves none behind.
    pub fn replace(&self, tokens: Vec<Token>, requests_per_second: u32) -> bool {
        let new = Known { tokens, requests_per_second };
        if *self.now() == new {
            return false;
        }
        let mut buckets = self.0.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|name, _| name == STRANGERS || new.tokens.iter().any(|token| token.name == *name));
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        true
    }

    fn now(&self) -> Arc<Known> {
        Arc::clone(&self.0.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn is_open(&self) -> bool {
        self.now().tokens.is_empty()
    }

    fn take(&self, who: &str, per_second: u32) -> Result<(), Refusal> {
        let (now, most) = (Instant::now(), f64::from(per_second));
        let mut buckets = self.0.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(who.to_owned()).or_insert(Bucket { left: most, at: now });
        bucket.left = (bucket.left + now.duration_since(bucket.at).as_secs_f64() * most).min(most);
        bucket.at = now;
        if bucket.left < 1.0 {
            let message = format!("more than {per_second} requests a second: wait, and ask again");
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, message));
        }
        bucket.left -= 1.0;
        Ok(())
    }

    fn admit(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Who, Refusal> {
        let need = need(method, path);
        let now = self.now();
        if now.tokens.is_empty() {
            return Ok(Who("local".to_owned()));
        }
        if need == Need::Nothing {
            return Ok(Who("probe".to_owned()));
        }
        let Some(token) = known(&now, headers) else {
            self.take(STRANGERS, STRANGERS_PER_SECOND)?;
            let message = "a token is needed: send `Authorization: Bearer TOKEN`";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, message));
        };
        self.take(&token.name, now.requests_per_second)?;
        if token.role.may(&need) {
            return Ok(Who(token.name.clone()));
        }
        let message = format!("{} may not do this: it needs {}", token.role.told(), need.told());
        Err(Refusal::forbidden(message))
    }
}

/// Looks at every token, in the same time whichever it is.
fn known<'n>(now: &'n Known, headers: &HeaderMap) -> Option<&'n Token> {
    let hash: [u8; 32] = Sha256::digest(secret(headers)?).into();
    let mut known = None;
    for token in &now.tokens {
        if bool::from(token.sha256.ct_eq(&hash)) {
            known = Some(token);
        }
    }
    known
}

impl Role {
    pub(crate) fn may(&self, need: &Need) -> bool {
        match (self, need) {
            (Role::Admin, _) | (_, Need::Nothing) => true,
            (Role::Operator, need) => *need != Need::Configure,
            (Role::Viewer, need) => matches!(need, Need::See | Need::SeeMerchant(_)),
            (Role::Merchant(own), Need::SeeMerchant(id) | Need::CommandMerchant(id)) => own == id,
            (Role::Merchant(_), Need::See | Need::Command | Need::Configure) => false,
        }
    }

    fn told(&self) -> &'static str {
        match self {
            Role::Admin => "an admin",
            Role::Operator => "an operator",
            Role::Viewer => "a viewer",
            Role::Merchant(_) => "a merchant",
        }
    }
}

impl Need {
    fn told(&self) -> &'static str {
        match self {
            Need::Nothing => "nothing",
            Need::See => "the role viewer, operator or admin",
            Need::Command => "the role operator or admin",
            Need::Configure => "the role admin",
            Need::SeeMerchant(_) => "the merchant himself, or the role viewer, operator or admin",
            Need::CommandMerchant(_) => "the merchant himself, or the role operator or admin",
        }
    }
}

/// What is not known here needs the most.
pub(crate) fn need(method: &Method, path: &str) -> Need {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match segments.as_slice() {
        ["health"] | ["health", "live" | "ready"] if is_read => Need::Nothing,
        ["v1", "merchants", id] | ["v1", "merchants", id, "config" | "dead-letters" | "events"] if is_read => {
            Need::SeeMerchant(decoded(id))
        }
        ["v1", "merchants", id, action] if method == Method::POST && *action != "config" => {
            Need::CommandMerchant(decoded(id))
        }
        _ if is_read => Need::See,
        ["connectors", _, "pause" | "resume" | "stop"] if method == Method::PUT => Need::Command,
        ["connectors", _, "restart"] | ["connectors", _, "tasks", _, "restart"] if method == Method::POST => {
            Need::Command
        }
        ["v1", "dead-letters", "send-again"] if method == Method::POST => Need::Command,
        ["v1", "dry-run"] if method == Method::POST => Need::Command,
        ["connectors", _, "offsets"] | ["connectors", _, "topics", "reset"] => Need::Command,
        ["connector-plugins", _, "config", "validate"] if method == Method::PUT => Need::Command,
        _ => Need::Configure,
    }
}

fn decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// `Bearer TOKEN`, or `Basic` with the token as password, for clients that know no other way.
fn secret(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().as_bytes().to_owned());
    }
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(rest.trim()).ok())??;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded[colon + 1..].to_owned())
}

/// Lets in who may; what is changed is written down.
pub(crate) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let who = match access.admit(&method, &path, request.headers()) {
        Ok(who) => who,
        Err(refused) => {
            let status = refused.status();
            tracing::warn!(target: "outflow_audit", %method, path, status, event = "refused", "refused");
            let mut response = refused.into_response();
            if status == StatusCode::UNAUTHORIZED.as_u16() {
                let schemes = HeaderValue::from_static("Bearer, Basic realm=\"outflow\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, schemes);
            }
            return response;
        }
    };
    let response = next.run(request).await;
    if !matches!(method, Method::GET | Method::HEAD) {
        let status = response.status().as_u16();
        tracing::info!(target: "outflow_audit", who = who.0, %method, path, status, event = "asked", "asked");
    }
    response
}

/// The hash of a token, as the worker's file has it.
pub fn token_hash(token: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(token).into();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_of_people_gives_nobody_a_second_helping_and_leaves_no_bucket_of_who_is_gone() {
        let token = |name: &str| Token { name: name.to_owned(), role: Role::Viewer, sha256: [0; 32] };
        let access = Access::new(vec![token("stays"), token("goes")], 1);
        for name in ["stays", "goes", STRANGERS] {
            assert!(access.take(name, 1).is_ok(), "{name:?}");
        }
        assert!(access.replace(vec![token("stays"), token("comes")], 1));
        assert!(access.take("stays", 1).is_err(), "its second's worth is spent");
        let buckets = access.0.buckets.lock().expect("nobody died");
        assert_eq!(buckets.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(), ["", "stays"].into());
    }
}
