use crate::{
    place::{Place, Store},
    settings::{Settings, wrong},
};
use object_store::{
    ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    client::{HttpClient, HttpConnector, ReqwestConnector},
    gcp::GoogleCloudStorageBuilder,
    multipart::MultipartStore,
};
use outflow_api::Fault;
use std::{
    collections::HashMap,
    env,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// One bucket, with everything that we ask of it.
pub trait Client: ObjectStore + MultipartStore {}
impl<T: ObjectStore + MultipartStore> Client for T {}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How a workload proves who it is, where it has an identity of its own. Nothing here says *where* data goes.
const AWS_IDENTITY: [&str; 9] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];
const AZURE_IDENTITY: [&str; 5] =
    ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"];

/// No I/O.
pub fn open(settings: &Settings, place: &Place) -> Result<Option<Arc<dyn Client>>, Fault> {
    let failed =
        |error: object_store::Error| wrong(format!("{} cannot be opened with these settings: {error}", place.shown()));
    Ok(Some(match &place.store {
        Store::Folder(_) => return Ok(None),
        Store::S3 { bucket } => Arc::new(s3(settings, bucket).build().map_err(failed)?),
        Store::Gcs { bucket } => Arc::new(gcs(settings, bucket).build().map_err(failed)?),
        Store::Azure { account, container } => Arc::new(azure(settings, account, container)?.build().map_err(failed)?),
    }))
}

fn s3(settings: &Settings, bucket: &str) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(settings.region.as_deref().unwrap_or("us-east-1"))
        .with_allow_http(settings.allow_http)
        .with_skip_signature(settings.anonymous)
        .with_virtual_hosted_style_request(settings.virtual_hosted_style)
        .with_client_options(client_options(settings))
        .with_retry(never_again())
        .with_http_connector(Shared);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(key) = &settings.sse_kms_key_id {
        builder = builder.with_sse_kms_encryption(key);
    }
    let (Some(id), Some(secret)) = (&settings.access_key_id, &settings.secret_access_key) else {
        let own = AWS_IDENTITY.iter().filter_map(|name| Some((AmazonS3ConfigKey::from_str(name).ok()?, read(name)?)));
        return own.fold(builder, |builder, (key, value)| builder.with_config(key, value));
    };
    builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    match &settings.session_token {
        Some(token) => builder.with_token(token),
        None => builder,
    }
}

fn gcs(settings: &Settings, bucket: &str) -> GoogleCloudStorageBuilder {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_skip_signature(settings.anonymous)
        .with_client_options(client_options(settings))
        .with_retry(never_again())
        .with_http_connector(Shared);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if settings.anonymous {
        // The client asks for a token when it writes, also where it was told not to sign.
        builder = builder.with_bearer_token("anonymous");
    }
    match &settings.service_account {
        Some(key) => builder.with_service_account_key(key),
        None => builder,
    }
}

fn azure(settings: &Settings, account: &str, container: &str) -> Result<MicrosoftAzureBuilder, Fault> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_allow_http(settings.allow_http)
        .with_skip_signature(settings.anonymous)
        .with_client_options(client_options(settings))
        .with_retry(never_again())
        .with_http_connector(Shared);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if let Some(sas) = &settings.sas {
        return Ok(builder.with_config(AzureConfigKey::SasKey, sas.trim_start_matches('?')));
    }
    if let Some(key) = &settings.access_key {
        return Ok(builder.with_access_key(key));
    }
    let own = AZURE_IDENTITY.iter().filter_map(|name| Some((AzureConfigKey::from_str(name).ok()?, read(name)?)));
    Ok(own.fold(builder, |builder, (key, value)| builder.with_config(key, value)))
}

fn read(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whoever calls a sink decides about repetition, once for all sinks.
fn never_again() -> RetryConfig {
    RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() }
}

fn client_options(settings: &Settings) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(settings.allow_http)
        .with_timeout(Duration::from_secs(settings.request_timeout_s))
        .with_connect_timeout(CONNECT_TIMEOUT)
}

/// One pool of connections for all lanes: ten thousand of them must not mean ten thousand pools, each with the
/// machine's certificates in memory.
#[derive(Debug)]
struct Shared;

static CLIENTS: Mutex<Option<HashMap<String, HttpClient>>> = Mutex::new(None);

impl HttpConnector for Shared {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // Options have no equality; what they print is all that they hold, and we set no secret in them.
        let key = format!("{options:?}");
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        let clients = clients.get_or_insert_default();
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = ReqwestConnector::default().connect(options)?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}
