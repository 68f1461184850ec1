use crate::common::{LIMIT, Record, committed, writer};
use outflow_api::{Cluster, Journal, Ledger, Shard, Transaction};
use outflow_conformance::journal::{Harness, laws, sample::DEAD_LETTER_TOPIC};
use outflow_kafka::{KafkaCluster, KafkaSettings};
use outflow_rig::Kafka;
use rdkafka::producer::{BaseRecord, Producer};
use std::sync::atomic::{AtomicU32, Ordering};

const SHARDS: u32 = 24;

struct OnKafka {
    kafka: &'static Kafka,
    settings: KafkaSettings,
    cluster: KafkaCluster,
    next: AtomicU32,
}

impl OnKafka {
    fn read(&self, topic: &str, partition: Shard) -> Vec<Record> {
        committed(self.kafka, topic, partition.0.cast_signed())
    }
}

impl Harness for OnKafka {
    fn fresh_shard(&self) -> Shard {
        let shard = self.next.fetch_add(1, Ordering::Relaxed);
        assert!(shard < SHARDS, "the laws need more shards");
        Shard(shard)
    }

    fn journal(&self, shard: Shard) -> Box<dyn Journal> {
        self.cluster.journal(shard).expect("the settings work")
    }

    fn die_within(&self, shard: Shard, transaction: &Transaction) -> bool {
        let producer = writer(self.kafka, Some(&format!("{}-{}", self.settings.group, shard.0)));
        producer.begin_transaction().expect("the broker answers");
        for entry in outflow_journal::encode(transaction) {
            let record = BaseRecord::to(&self.settings.journal_topic).partition(shard.0.cast_signed());
            let mut record: BaseRecord<'_, [u8], [u8]> = record.key(entry.key.as_slice());
            record.payload = entry.value.as_deref();
            producer.send(record).map_err(|(error, _)| error).expect("there is room");
        }
        producer.flush(LIMIT).expect("the broker answers");
        true
    }

    fn ledger(&self, shard: Shard) -> Box<dyn Ledger> {
        self.cluster.ledger(shard).expect("the settings work")
    }

    fn dead_letters(&self, shard: Shard) -> Option<Vec<Vec<u8>>> {
        let own = format!("{}/", shard.0).into_bytes();
        let values = self.read(DEAD_LETTER_TOPIC, shard).into_iter().filter_map(|(_, value)| value);
        Some(values.filter(|value| value.starts_with(&own)).collect())
    }
}

#[test]
fn the_laws_of_a_journal_hold() {
    let kafka = Kafka::shared();
    kafka.create_topic(DEAD_LETTER_TOPIC, SHARDS.cast_signed(), &[]);
    let settings = crate::common::settings(kafka, SHARDS);
    let cluster = KafkaCluster::new(settings.clone()).expect("the settings are valid");
    cluster.prepare().expect("the broker is ours");
    let harness = OnKafka { kafka, settings, cluster, next: AtomicU32::new(0) };
    for (name, law) in laws() {
        println!("{name}");
        law(&harness);
    }
}
