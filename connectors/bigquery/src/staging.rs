//! Files of mode `load`, in Cloud Storage. What is there and never loaded goes by the bucket's own rule.

use crate::{
    client::Client,
    fault,
    settings::{Settings, wrong},
};
use async_trait::async_trait;
use object_store::{
    ClientOptions, CredentialProvider, Error, ObjectStore, ObjectStoreExt, RetryConfig,
    client::{HttpClient, HttpConnector, ReqwestConnector},
    gcp::{GcpCredential, GoogleCloudStorageBuilder},
    path::Path,
};
use outflow_api::{BatchId, Fault, Piece};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Staging {
    store: Arc<dyn ObjectStore>,
    bucket: String,
    prefix: String,
}

/// Bucket and prefix.
pub fn parsed(url: &str) -> Option<(&str, &str)> {
    let place = url.strip_prefix("gs://")?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let is_bucket = (3..=222).contains(&bucket.len()) && bucket.chars().all(allowed);
    let has_names = !prefix.starts_with('/') && !prefix.contains("//");
    let is_prefix = has_names && prefix.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=".contains(c));
    (is_bucket && is_prefix).then_some((bucket, prefix.trim_end_matches('/')))
}

impl Staging {
    /// No I/O.
    pub fn open(settings: &Settings, url: &str, client: &Arc<Client>) -> Result<Staging, Fault> {
        let (bucket, prefix) = parsed(url).ok_or_else(|| wrong("staging must be gs://bucket/prefix"))?;
        let options = ClientOptions::new()
            .with_allow_http(settings.allow_http)
            .with_timeout(Duration::from_secs(settings.request_timeout_s))
            .with_connect_timeout(CONNECT_TIMEOUT);
        let never_again = RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() };
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_client_options(options)
            .with_retry(never_again)
            .with_http_connector(Shared)
            .with_credentials(Arc::new(Bearer(Arc::clone(client))));
        if let Some(endpoint) = &settings.staging_endpoint {
            builder = builder.with_base_url(endpoint);
        }
        let store = builder.build().map_err(|error| wrong(format!("staging cannot be opened: {error}")))?;
        Ok(Staging { store: Arc::new(store), bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// Of a batch's one file.
    fn path(&self, id: BatchId) -> Path {
        Path::from(format!("{}/{id}.parquet", self.prefix))
    }

    /// As a job names it.
    pub fn uri(&self, id: BatchId) -> String {
        format!("gs://{}/{}", self.bucket, self.path(id))
    }

    /// The same batch has the same bytes, so what is there may be replaced.
    pub async fn put(&self, id: BatchId, piece: &Piece) -> Result<(), Fault> {
        let bytes: object_store::PutPayload = piece.bytes.iter().cloned().collect();
        self.store.put(&self.path(id), bytes).await.map(drop).map_err(|error| self.fault("writing", &error))
    }

    pub async fn is_there(&self, id: BatchId) -> Result<bool, Fault> {
        match self.store.head(&self.path(id)).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.fault("looking for", &error)),
        }
    }

    /// Done, too, where it is not there.
    pub async fn remove(&self, id: BatchId) -> Result<(), Fault> {
        match self.store.delete(&self.path(id)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault("removing", &error)),
        }
    }

    pub fn shown(&self) -> String {
        format!("gs://{}/{}", self.bucket, self.prefix)
    }

    /// Whether it can be asked for a file, which is not there.
    pub async fn examine(&self) -> Result<(), Fault> {
        let nothing = Path::from(format!("{}/outflow-examines", self.prefix));
        match self.store.head(&nothing).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault("looking for", &error)),
        }
    }

    fn fault(&self, doing: &str, error: &Error) -> Fault {
        fault::of_staging(&format!("{doing} a file in {}", self.shown()), error)
    }
}

/// Who asks BigQuery asks Cloud Storage.
#[derive(Debug)]
struct Bearer(Arc<Client>);

#[async_trait]
impl CredentialProvider for Bearer {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let headers = self
            .0
            .headers()
            .await
            .map_err(|fault| Error::Unauthenticated { path: String::new(), source: fault.hint.into() })?;
        let header = headers.get("authorization").and_then(|header| header.to_str().ok());
        // Emulators ask for none, and the client wants one.
        let bearer = header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or("anonymous").to_owned();
        Ok(Arc::new(GcpCredential { bearer }))
    }
}

/// One pool of connections for all lanes whose options are the same.
#[derive(Debug)]
struct Shared;

static CLIENTS: Mutex<Option<HashMap<String, HttpClient>>> = Mutex::new(None);

impl HttpConnector for Shared {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // Options have no equality; what they print is all that they hold, and no secret is among them.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_for_files_is_a_bucket_and_a_prefix() {
        assert_eq!(parsed("gs://lake/staging/orders/"), Some(("lake", "staging/orders")));
        assert_eq!(parsed("gs://lake"), Some(("lake", "")));
        for wrong in ["s3://lake/x", "gs://", "gs://Lake", "gs://lake//x", "gs://lake/x y", "gs://lake/*", "/lake"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
