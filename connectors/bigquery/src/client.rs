//! Connections and credentials, shared by all lanes that have them in common: one connection for each credential at
//! each endpoint. They are made by the first call, for `open` does no I/O. The gRPC connection is driven by a task of
//! its library, and so are tokens of a credential, which are renewed before they expire.

use crate::{
    fault,
    settings::{Settings, host_of},
};
use bigquery_storage::google::cloud::bigquery::storage::v1::big_query_write_client::BigQueryWriteClient;
use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials, impersonated, service_account};
use outflow_api::{Fault, Remote};
use serde_json::Value;
use std::{
    collections::HashMap,
    hash::Hasher,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::OnceCell;
use tonic::{
    codegen::http::{Extensions, HeaderMap},
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use twox_hash::XxHash64;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
/// Files of load jobs are Cloud Storage's.
const SCOPE_OF_STAGING: &str = "https://www.googleapis.com/auth/devstorage.read_write";
const SCOPE_OF_IMPERSONATION: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Where, and as whom.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Party {
    endpoint: String,
    whom: Whom,
    impersonate: Option<String>,
    stages: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Whom {
    Nobody,
    /// The workload's own identity, as Google's libraries find it.
    Own,
    /// A service account's key.
    Account(String),
}

impl std::fmt::Debug for Client {
    /// Nothing: it holds secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

pub struct Client {
    party: Party,
    channel: OnceCell<Channel>,
    credentials: OnceCell<Option<Credentials>>,
}

static CLIENTS: Mutex<Option<HashMap<Party, Weak<Client>>>> = Mutex::new(None);
static HTTP: OnceLock<reqwest::Client> = OnceLock::new();

/// No I/O.
pub fn shared(settings: &Settings) -> Arc<Client> {
    let party = Party::of(settings);
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let clients = clients.get_or_insert_default();
    if let Some(client) = clients.get(&party).and_then(Weak::upgrade) {
        return client;
    }
    clients.retain(|_, client| client.strong_count() > 0);
    let client = Arc::new(Client { party: party.clone(), channel: OnceCell::new(), credentials: OnceCell::new() });
    clients.insert(party, Arc::downgrade(&client));
    client
}

/// By names that people may see.
pub fn remote(settings: &Settings) -> Remote {
    let named = |kind: &str, id: &str| {
        let mut hash = XxHash64::with_seed(0);
        hash.write(id.as_bytes());
        format!("{kind} {:016x}", hash.finish())
    };
    let whom = match Party::of(settings).whom {
        Whom::Nobody => "nobody".to_owned(),
        Whom::Own => "the workload's own".to_owned(),
        Whom::Account(key) => {
            let key: Value = serde_json::from_str(&key).unwrap_or_default();
            named("service account", key["client_email"].as_str().unwrap_or_default())
        }
    };
    let whom = match &settings.impersonate {
        Some(account) => format!("{whom} as {}", named("service account", account)),
        None => whom,
    };
    Remote::new(&host_of(settings.endpoint()), &whom)
}

impl Party {
    fn of(settings: &Settings) -> Party {
        let whom = match &settings.credentials {
            _ if settings.anonymous => Whom::Nobody,
            Some(key) => Whom::Account(key.clone()),
            None => Whom::Own,
        };
        Party {
            endpoint: settings.endpoint().to_owned(),
            whom,
            impersonate: settings.impersonate.clone(),
            stages: settings.staging.is_some(),
        }
    }

    fn credentials(&self) -> Result<Option<Credentials>, Fault> {
        let own = if self.stages { vec![SCOPE, SCOPE_OF_STAGING] } else { vec![SCOPE] };
        let scopes = if self.impersonate.is_some() { vec![SCOPE_OF_IMPERSONATION] } else { own.clone() };
        let made = match &self.whom {
            Whom::Nobody => return Ok(None),
            Whom::Own => Builder::default().with_scopes(scopes).build(),
            Whom::Account(key) => {
                let access = service_account::AccessSpecifier::from_scopes(scopes);
                let key = serde_json::from_str(key).unwrap_or_default();
                service_account::Builder::new(key).with_access_specifier(access).build()
            }
        };
        let made = made.map_err(|error| fault::of_credentials(&error.to_string(), false))?;
        let Some(account) = &self.impersonate else { return Ok(Some(made)) };
        let other = impersonated::Builder::from_source_credentials(made).with_target_principal(account);
        let other = other.with_scopes(own).build();
        other.map(Some).map_err(|error| fault::of_credentials(&error.to_string(), false))
    }
}

impl Client {
    /// Says who we are.
    pub async fn headers(&self) -> Result<HeaderMap, Fault> {
        let Some(credentials) = self.credentials.get_or_try_init(async || self.party.credentials()).await? else {
            return Ok(HeaderMap::new());
        };
        match credentials.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            Ok(CacheableResource::NotModified) => {
                Err(fault::of_credentials("headers that we do not have are said to be unchanged", true))
            }
            Err(error) => Err(fault::of_credentials(&error.to_string(), error.is_transient())),
        }
    }

    pub async fn write(&self) -> Result<BigQueryWriteClient<Channel>, Fault> {
        let channel = self.channel.get_or_try_init(async || connection(&self.party.endpoint)).await?;
        Ok(BigQueryWriteClient::new(channel.clone()))
    }
}

/// Connects at the first request, and again after it broke.
fn connection(endpoint: &str) -> Result<Channel, Fault> {
    let made = Endpoint::from_shared(endpoint.to_owned()).and_then(|made| {
        let made = made
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(ALIVE_INTERVAL)
            .keep_alive_timeout(ALIVE_TIMEOUT)
            .tcp_nodelay(true);
        match endpoint.starts_with("https://") {
            true => made.tls_config(ClientTlsConfig::new().with_native_roots()),
            false => Ok(made),
        }
    });
    let made = made.map_err(|error| crate::settings::wrong(format!("endpoint {endpoint}: {error}")))?;
    Ok(made.connect_lazy())
}

/// One pool for all lanes.
pub fn http() -> Result<&'static reqwest::Client, Fault> {
    if let Some(http) = HTTP.get() {
        return Ok(http);
    }
    let made = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .build();
    let made = made.map_err(|error| Fault::halt("no-https", "this machine cannot do HTTPS").because(error))?;
    Ok(HTTP.get_or_init(|| made))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(changes: &Value) -> Settings {
        let mut settings = json!({ "project": "p", "dataset": "d", "table": "t" });
        let fields = settings.as_object_mut().expect("an object");
        fields.extend(changes.as_object().expect("an object").clone());
        Settings::read(&settings).expect("right")
    }

    fn key(email: &str, secret: &str) -> String {
        json!({ "type": "service_account", "client_email": email, "private_key": secret }).to_string()
    }

    #[test]
    fn a_credential_is_named_the_same_in_each_lane_without_key_or_address() {
        let named = |email, secret| remote(&settings(&json!({ "credentials": key(email, secret) })));
        assert_eq!(named("etl@acme", "hunter2"), named("etl@acme", "renewed"));
        assert_ne!(named("etl@acme", "hunter2"), named("other@acme", "hunter2"));
        let shown = named("etl@acme", "hunter2").to_string();
        assert!(!shown.contains("acme") && !shown.contains("hunter2"), "{shown}");
        assert!(shown.ends_with(" at bigquerystorage.googleapis.com"), "{shown}");
        let own = remote(&settings(&json!({ "impersonate": "etl@acme" }))).to_string();
        assert!(own.contains("the workload's own as service account") && !own.contains("acme"), "{own}");
    }

    #[test]
    fn lanes_share_a_connection_as_long_as_they_call_the_same_host_as_the_same() {
        let open = |changes: Value| shared(&settings(&changes));
        let one = open(json!({ "anonymous": true }));
        assert!(Arc::ptr_eq(&one, &open(json!({ "anonymous": true, "table": "other" }))));
        assert!(!Arc::ptr_eq(&one, &open(json!({}))));
        assert!(!Arc::ptr_eq(&one, &open(json!({ "anonymous": true, "endpoint": "https://h:1" }))));
    }
}
