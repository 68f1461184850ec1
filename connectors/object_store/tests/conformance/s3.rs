use crate::{PARTITIONS, open, reader::listed};
use async_trait::async_trait;
use object_store::{
    ObjectStoreExt,
    aws::{AmazonS3, AmazonS3Builder},
};
use outflow_api::{CommitOutcome, CommitPermit, Sink, Verdict};
use outflow_conformance::sink::{self, Batch, Destination, FaultyServer, Size, Translation, settled};
use outflow_rig::S3;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tempfile::TempDir;

struct Bucket {
    _folder: TempDir,
    s3: S3,
    faulty: FaultyServer,
    reader: AmazonS3,
    partition_by: Option<&'static str>,
}

impl Bucket {
    fn new(partition_by: Option<&'static str>, seed: u64) -> Arc<Bucket> {
        Bucket::behind(partition_by, |port| FaultyServer::start(port, seed))
    }

    fn behind(partition_by: Option<&'static str>, faulty: impl FnOnce(u16) -> FaultyServer) -> Arc<Bucket> {
        let folder = tempfile::tempdir().expect("a folder");
        let s3 = S3::start(folder.path());
        s3.create_bucket("lake");
        let faulty = faulty(s3.port());
        let reader = AmazonS3Builder::new()
            .with_endpoint(s3.endpoint())
            .with_allow_http(true)
            .with_bucket_name("lake")
            .with_access_key_id(S3::ACCESS_KEY_ID)
            .with_secret_access_key(S3::SECRET_ACCESS_KEY)
            .build()
            .expect("the settings are whole");
        Arc::new(Bucket { _folder: folder, s3, faulty, reader, partition_by })
    }

    /// Through the faulty server, which serves well until it storms.
    fn settings(&self, url: &str) -> Value {
        json!({
            "url": url,
            "endpoint": format!("http://127.0.0.1:{}", self.faulty.port()),
            "allow_http": true,
            "access_key_id": S3::ACCESS_KEY_ID,
            "secret_access_key": S3::SECRET_ACCESS_KEY,
            "partition_by": self.partition_by,
            "multipart_bytes_min": 65536,
        })
    }
}

#[async_trait]
impl Destination for Bucket {
    fn open(&self) -> Arc<dyn Sink> {
        open(&self.settings("s3://lake/orders"))
    }

    fn open_elsewhere(&self) -> Arc<dyn Sink> {
        open(&self.settings("s3://lake/carts"))
    }

    fn secrets(&self) -> Vec<String> {
        vec![S3::SECRET_ACCESS_KEY.to_owned(), S3::ACCESS_KEY_ID.to_owned()]
    }

    async fn visible(&self) -> BTreeMap<String, Vec<i64>> {
        listed(&self.reader).await
    }

    fn storm(&self, rages: bool) {
        self.faulty.storm(rages);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_the_contract() {
    for partition_by in PARTITIONS {
        sink::all(&*Bucket::new(partition_by, 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_the_network_loses_or_doubles_a_row_on_s3() {
    for seed in 0..8 {
        let bucket = Bucket::new(PARTITIONS[seed as usize % 2], seed);
        let destination: Arc<dyn Destination> = Arc::<Bucket>::clone(&bucket);
        let chaos = sink::chaos(destination, seed, 200).await;
        println!("seed {seed}: {} requests went wrong, {chaos:?}", bucket.faulty.faults());
        assert!(bucket.faulty.faults() > 0);
    }
}

#[tokio::test]
async fn an_object_of_many_parts_is_staged_and_completed() {
    let bucket = Bucket::new(None, 0);
    let (sink, batch) = (bucket.open(), Batch::new(Size::Large, 1));
    let mut encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
    // The store does not look into it: three parts of random size.
    encoded.pieces[0].bytes = (0..21).map(|n| vec![n; 1_000_003].into()).collect();
    let prepared = sink.prepare(batch.id, &encoded).await.expect("calm").prepared().expect("no row is refused");
    assert!(String::from_utf8_lossy(&prepared.token).matches('-').count() > 3);
    let permit = CommitPermit::mint(prepared);
    assert_eq!(sink.commit(&permit, None).await.expect("calm"), CommitOutcome::Committed);
    bucket.open().commit(&permit, None).await.expect("a repetition finds it done");
    let path = object_store::path::Path::from(format!("orders/{}", encoded.pieces[0].name));
    let seen = bucket.reader.get(&path).await.expect("visible").bytes().await.expect("readable");
    assert_eq!(seen, encoded.pieces[0].bytes.concat());
}

/// As versitygw answers while another completion of the same upload is still at work, which may yet fail.
#[tokio::test]
async fn a_completion_that_is_answered_well_and_not_done_loses_no_row() {
    let translation = Translation { request: spoiled_completion, answer: good_answer };
    let bucket = Bucket::behind(None, |port| FaultyServer::translating(port, 0, translation));
    let (sink, batch) = (bucket.open(), Batch::new(Size::Large, 1));
    let encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
    let permit = CommitPermit::mint(
        sink.prepare(batch.id, &encoded).await.expect("calm").prepared().expect("no row is refused"),
    );
    assert!(!bucket.s3.staged_files("lake").is_empty(), "it is staged");
    assert_eq!(sink.commit(&permit, None).await.expect("calm"), CommitOutcome::NeedsRows);
    assert_eq!(sink.commit(&permit, Some(&encoded)).await.expect("calm"), CommitOutcome::Committed);
    assert!(settled(&bucket.visible().await, &batch));
}

/// Of a query that S3 does not know: it answers 405.
fn spoiled_completion(mut request: Vec<u8>) -> Vec<u8> {
    let name = b"uploadId=";
    if request.starts_with(b"POST ")
        && let Some(at) = request.windows(name.len()).position(|window| window == name)
    {
        request[at] = b'U';
    }
    request
}

fn good_answer(answer: Vec<u8>) -> Vec<u8> {
    if !answer.starts_with(b"HTTP/1.1 405 ") {
        return answer;
    }
    let body = "<CompleteMultipartUploadResult><ETag>\"-\"</ETag></CompleteMultipartUploadResult>";
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn an_object_of_somebody_else_under_our_key_parks() {
    let bucket = Bucket::new(None, 0);
    let (sink, batch) = (bucket.open(), Batch::new(Size::Small, 1));
    let encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
    let prepared = sink.prepare(batch.id, &encoded).await.expect("calm").prepared().expect("no row is refused");
    let path = object_store::path::Path::from(format!("orders/{}", encoded.pieces[0].name));
    bucket.reader.put(&path, "something else".into()).await.expect("calm");
    for rows in [None, Some(&encoded)] {
        let fault = sink.commit(&CommitPermit::mint(prepared.clone()), rows).await.expect_err("not ours");
        assert_eq!((fault.verdict, fault.code), (Verdict::Park, "object-differs"));
    }
}

#[tokio::test]
async fn every_refusal_of_s3_has_its_code() {
    let bucket = Bucket::new(None, 0);
    let batch = Batch::new(Size::Small, 1);
    let code = async |change: Value| {
        let mut settings = bucket.settings("s3://lake/orders");
        let fields = settings.as_object_mut().expect("an object");
        fields.extend(change.as_object().expect("an object").clone());
        let sink = open(&settings);
        let encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
        let prepared = sink
            .prepare(batch.id, &encoded)
            .await
            .expect("small batches need no request")
            .prepared()
            .expect("no row is refused");
        let fault = sink.commit(&CommitPermit::mint(prepared), Some(&encoded)).await.expect_err("refused");
        assert!(!fault.to_string().contains("wrong-secret"), "{fault}");
        let examined = sink.examine().await.into_iter().find_map(|finding| finding.result.err());
        let examined = examined.expect("a check sees it too");
        assert_eq!(examined.code, fault.code, "{examined}");
        fault.code
    };
    assert_eq!(code(json!({ "secret_access_key": "wrong-secret" })).await, "bad-credentials");
    assert_eq!(code(json!({ "access_key_id": "nobody" })).await, "bad-credentials");
    assert_eq!(code(json!({ "url": "s3://nowhere/orders" })).await, "bucket-missing");
    assert_eq!(code(json!({ "region": "eu-west-9" })).await, "wrong-region");
    assert_eq!(
        code(json!({ "endpoint": format!("http://127.0.0.1:{}", outflow_rig::free_port()) })).await,
        "unreachable"
    );
    bucket.s3.remove_bucket("lake");
    assert_eq!(code(json!({})).await, "bucket-missing");
}

#[tokio::test]
async fn ten_thousand_lanes_open_without_a_request() {
    let nobody = format!("http://127.0.0.1:{}", outflow_rig::free_port());
    let lane = |n: u32| {
        open(&json!({
            "url": format!("s3://bucket-{n}/orders"), "endpoint": nobody, "allow_http": true,
            "access_key_id": format!("merchant-{n}"), "secret_access_key": "x",
        }))
    };
    let before = resident_kb();
    let lanes: Vec<Arc<dyn Sink>> = (0..10_000).map(lane).collect();
    let per_lane = (resident_kb() - before) / 10;
    println!("{} lanes, {per_lane} bytes each", lanes.len());
    assert!(per_lane < 20_000, "a lane takes {per_lane} bytes before it does anything");
}

fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("it is always there");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number of kB")
}

#[tokio::test]
async fn an_upload_that_has_expired_is_written_whole_from_its_rows() {
    let bucket = Bucket::new(PARTITIONS[1], 0);
    let (sink, batch) = (bucket.open(), Batch::new(Size::Large, 1));
    let encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
    let prepared = sink.prepare(batch.id, &encoded).await.expect("calm").prepared().expect("no row is refused");
    // As a lifecycle rule does.
    sink.abort(&prepared).await.expect("calm");
    let permit = CommitPermit::mint(prepared);
    assert_eq!(sink.commit(&permit, None).await.expect("calm"), CommitOutcome::NeedsRows);
    assert_eq!(sink.commit(&permit, Some(&encoded)).await.expect("calm"), CommitOutcome::Committed);
    // This server takes a completion for done as soon as an object is there.
    let again = bucket.open().commit(&permit, None).await.expect("calm");
    assert!(matches!(again, CommitOutcome::Committed | CommitOutcome::AlreadyCommitted), "{again:?}");
    assert!(sink::settled(&bucket.visible().await, &batch));
}
