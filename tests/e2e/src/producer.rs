use outflow_demo::{Events, MERCHANTS};
use outflow_rig::Kafka;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const SEED: u64 = 11;
const FLUSH_LIMIT: Duration = Duration::from_secs(120);

/// A shop event with its number in front, and its key.
pub fn event(events: &mut Events) -> (Vec<u8>, Vec<u8>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
    let mut value = format!("{{\"number\":{},", events.number()).into_bytes();
    let brace = value.len();
    let made = events.append(i64::try_from(now).expect("this century"), &mut value);
    value.remove(brace);
    (events.key(made).to_vec(), value)
}

/// Writes numbered events on and on, at a bounded rate, whatever happens to the broker.
pub struct Producer {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Producer {
    pub fn start(kafka: &Kafka, topic: &str, per_second: u64) -> Producer {
        Producer::start_with(kafka, topic, per_second, MERCHANTS)
    }

    pub fn start_with(kafka: &Kafka, topic: &str, per_second: u64, merchants: u32) -> Producer {
        let mut config = kafka.config();
        let patient = [("enable.idempotence", "true"), ("message.timeout.ms", "0"), ("linger.ms", "20")];
        for (key, value) in patient {
            config.set(key, value);
        }
        let producer: BaseProducer = config.create().expect("the settings are valid");
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter, topic) = (Arc::clone(&stop), Arc::clone(&sent), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let mut events = Events::new(SEED, merchants);
            let started = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let due = started.elapsed().as_millis() as u64 * per_second / 1000;
                while events.number() < due {
                    send(&producer, &topic, &mut events);
                    counter.store(events.number(), Ordering::Relaxed);
                }
                producer.poll(Duration::from_millis(10));
            }
            producer.flush(FLUSH_LIMIT).expect("the broker takes everything in the end");
        });
        Producer { stop, sent, thread }
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until the broker has everything, and answers how many events there are.
    ///
    /// # Panics
    /// If the broker does not take everything.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the broker took everything");
        self.sent.load(Ordering::Relaxed)
    }
}

fn send(producer: &BaseProducer, topic: &str, events: &mut Events) {
    let (key, value) = event(events);
    loop {
        match producer.send(BaseRecord::to(topic).key(&key).payload(&value)) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(50));
            }
            Err((error, _)) => panic!("the client refuses an event: {error}"),
        }
    }
}
