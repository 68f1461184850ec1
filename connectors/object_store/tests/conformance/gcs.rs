//! fake-gcs-server takes uploads by the JSON API only, and the client speaks XML: one is put into the other on the way,
//! with the same condition. Staged uploads are not covered: the server knows none, so all objects are put whole here.

use crate::{PARTITIONS, open, reader::listed};
use async_trait::async_trait;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use outflow_api::{CommitPermit, Sink};
use outflow_conformance::sink::{self, Batch, Destination, FaultyServer, Size, Translation};
use outflow_rig::Gcs;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tempfile::TempDir;

struct Bucket {
    _folder: TempDir,
    _gcs: Gcs,
    faulty: FaultyServer,
    reader: GoogleCloudStorage,
    partition_by: Option<&'static str>,
}

impl Bucket {
    fn new(partition_by: Option<&'static str>, seed: u64) -> Arc<Bucket> {
        let folder = tempfile::tempdir().expect("a folder");
        let gcs = Gcs::start(folder.path());
        gcs.create_bucket("lake");
        let translation = Translation { request: to_json, answer: with_etag };
        let faulty = FaultyServer::translating(gcs.port(), seed, translation);
        let reader = GoogleCloudStorageBuilder::new()
            .with_base_url(&gcs.endpoint())
            .with_client_options(object_store::ClientOptions::new().with_allow_http(true))
            .with_skip_signature(true)
            .with_bucket_name("lake")
            .build()
            .expect("the settings are whole");
        Arc::new(Bucket { _folder: folder, _gcs: gcs, faulty, reader, partition_by })
    }

    /// Through the faulty server, which serves well until it storms.
    fn settings(&self, url: &str) -> Value {
        json!({
            "url": url,
            "endpoint": format!("http://127.0.0.1:{}", self.faulty.port()),
            "allow_http": true,
            "anonymous": true,
            "partition_by": self.partition_by,
            "multipart_bytes_min": 1 << 30,
        })
    }
}

/// `PUT /bucket/key` with its condition becomes a simple upload.
fn to_json(request: Vec<u8>) -> Vec<u8> {
    let line_end = request.iter().position(|byte| *byte == b'\n').map_or(request.len(), |at| at + 1);
    let (line, rest) = request.split_at(line_end);
    let line = String::from_utf8_lossy(line);
    let head = String::from_utf8_lossy(&rest[..rest.len().min(4096)]).to_ascii_lowercase();
    let mut words = line.split_whitespace();
    let (Some("PUT"), Some(path)) = (words.next(), words.next()) else { return request };
    let Some((bucket, key)) = path.trim_start_matches('/').split_once('/') else { return request };
    let condition = if head.contains("x-goog-if-generation-match: 0") { "&ifGenerationMatch=0" } else { "" };
    let line = format!("PUT /{bucket}/{key}?uploadType=media&name={key}{condition} HTTP/1.1\r\n");
    [line.as_bytes(), rest].concat()
}

/// The JSON API answers the tag in its body, the XML API in a header.
fn with_etag(answer: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&answer[..answer.len().min(4096)]).to_ascii_lowercase();
    let line_end = answer.iter().position(|byte| *byte == b'\n').map_or(answer.len(), |at| at + 1);
    if text.contains("\netag:") || !text.starts_with("http/1.1 200") {
        return answer;
    }
    [&answer[..line_end], b"ETag: \"translated\"\r\n", &answer[line_end..]].concat()
}

#[async_trait]
impl Destination for Bucket {
    fn open(&self) -> Arc<dyn Sink> {
        open(&self.settings("gs://lake/orders"))
    }

    fn open_elsewhere(&self) -> Arc<dyn Sink> {
        open(&self.settings("gs://lake/carts"))
    }

    async fn visible(&self) -> BTreeMap<String, Vec<i64>> {
        listed(&self.reader).await
    }

    fn storm(&self, rages: bool) {
        self.faulty.storm(rages);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gcs_keeps_the_contract_for_objects_that_are_put_whole() {
    for partition_by in PARTITIONS {
        sink::laws(&*Bucket::new(partition_by, 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_the_network_loses_or_doubles_a_row_on_gcs() {
    for seed in 0..3 {
        let bucket = Bucket::new(PARTITIONS[seed as usize % 2], seed);
        let destination: Arc<dyn Destination> = Arc::<Bucket>::clone(&bucket);
        let chaos = sink::chaos(destination, seed, 120).await;
        println!("seed {seed}: {} requests went wrong, {chaos:?}", bucket.faulty.faults());
        assert!(bucket.faulty.faults() > 0);
    }
}

#[tokio::test]
async fn a_bucket_of_gcs_that_is_not_there_parks() {
    let bucket = Bucket::new(None, 0);
    let (sink, batch) = (open(&bucket.settings("gs://nowhere/orders")), Batch::new(Size::Small, 1));
    let encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
    let prepared = sink
        .prepare(batch.id, &encoded)
        .await
        .expect("objects that are put whole need no request")
        .prepared()
        .expect("no row is refused");
    let fault = sink.commit(&CommitPermit::mint(prepared), Some(&encoded)).await.expect_err("no such bucket");
    assert_eq!(fault.code, "bucket-missing");
}
