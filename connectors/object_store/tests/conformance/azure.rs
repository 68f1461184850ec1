use crate::{PARTITIONS, open, reader::listed};
use async_trait::async_trait;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use outflow_api::{CommitPermit, Sink};
use outflow_conformance::sink::{self, Batch, Destination, FaultyServer, Size};
use outflow_rig::Azurite;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tempfile::TempDir;

struct Container {
    _folder: TempDir,
    _azurite: Azurite,
    faulty: FaultyServer,
    reader: MicrosoftAzure,
    partition_by: Option<&'static str>,
}

impl Container {
    fn new(partition_by: Option<&'static str>, seed: u64) -> Arc<Container> {
        let folder = tempfile::tempdir().expect("a folder");
        let azurite = Azurite::start(folder.path());
        azurite.create_container("lake");
        let faulty = FaultyServer::start(azurite.port(), seed);
        let reader = MicrosoftAzureBuilder::new()
            .with_endpoint(azurite.endpoint())
            .with_allow_http(true)
            .with_account(Azurite::ACCOUNT)
            .with_access_key(Azurite::ACCESS_KEY)
            .with_container_name("lake")
            .build()
            .expect("the settings are whole");
        Arc::new(Container { _folder: folder, _azurite: azurite, faulty, reader, partition_by })
    }

    /// Through the faulty server, which serves well until it storms.
    fn settings(&self, url: &str) -> Value {
        json!({
            "url": url,
            "endpoint": format!("http://127.0.0.1:{}/{}", self.faulty.port(), Azurite::ACCOUNT),
            "allow_http": true,
            "account": Azurite::ACCOUNT,
            "access_key": Azurite::ACCESS_KEY,
            "partition_by": self.partition_by,
            "multipart_bytes_min": 65536,
        })
    }
}

#[async_trait]
impl Destination for Container {
    fn open(&self) -> Arc<dyn Sink> {
        open(&self.settings("az://lake/orders"))
    }

    fn open_elsewhere(&self) -> Arc<dyn Sink> {
        open(&self.settings("az://lake/carts"))
    }

    fn secrets(&self) -> Vec<String> {
        vec![Azurite::ACCESS_KEY.to_owned()]
    }

    async fn visible(&self) -> BTreeMap<String, Vec<i64>> {
        listed(&self.reader).await
    }

    fn storm(&self, rages: bool) {
        self.faulty.storm(rages);
    }

    /// Blocks go by themselves, after a week.
    fn can_abort(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_keeps_the_contract() {
    for partition_by in PARTITIONS {
        sink::all(&*Container::new(partition_by, 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_the_network_loses_or_doubles_a_row_on_azure() {
    for seed in 0..3 {
        let container = Container::new(PARTITIONS[seed as usize % 2], seed);
        let destination: Arc<dyn Destination> = Arc::<Container>::clone(&container);
        let chaos = sink::chaos(destination, seed, 80).await;
        println!("seed {seed}: {} requests went wrong, {chaos:?}", container.faulty.faults());
        assert!(container.faulty.faults() > 0);
    }
}

#[tokio::test]
async fn every_refusal_of_azure_has_its_code() {
    let container = Container::new(None, 0);
    let batch = Batch::new(Size::Small, 1);
    let code = async |field: &str, value: &str| {
        let mut settings = container.settings("az://lake/orders");
        settings[field] = value.into();
        let sink = open(&settings);
        let encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
        let prepared = sink
            .prepare(batch.id, &encoded)
            .await
            .expect("small batches need no request")
            .prepared()
            .expect("no row is refused");
        sink.commit(&CommitPermit::mint(prepared), Some(&encoded)).await.expect_err("refused").code
    };
    assert_eq!(code("access_key", "d3Jvbmctc2VjcmV0").await, "bad-credentials");
    assert_eq!(code("url", "az://nowhere/orders").await, "bucket-missing");
}
