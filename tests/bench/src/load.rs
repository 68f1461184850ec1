use crate::{
    producer::{self, ANSWER_LIMIT},
    workload::{FIRST_MERCHANT, events, happened_at},
};
use outflow_rig::Kafka;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What a producer of single events does: they are on their way within a few milliseconds.
pub const SETTINGS: [(&str, &str); 1] = [("linger.ms", "5")];
const BREATH: Duration = Duration::from_millis(2);

/// Events at a steady pace, from a thread of its own, until it is told to stop.
pub struct Load {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Sent>>,
}

pub struct Pace {
    pub topic: String,
    /// Events a second.
    pub rate: u32,
    pub merchants: u32,
    /// Who gets nothing.
    pub without: Option<u32>,
}

pub struct Sent {
    /// By rank.
    pub by_merchant: Vec<u64>,
    /// How far it was behind its pace at worst.
    pub late: Duration,
}

impl Load {
    pub fn start(kafka: &Kafka, pace: Pace) -> Load {
        let is_over = Arc::new(AtomicBool::new(false));
        let producer = producer::producer(kafka, &SETTINGS);
        let told = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || send(&producer, &pace, &told));
        Load { is_over, thread: Some(thread) }
    }

    /// Once the broker has all of them.
    pub fn finish(mut self) -> Sent {
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is taken only here");
        thread.join().expect("the broker takes every event")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Sent {
    pub fn events(&self) -> u64 {
        self.by_merchant.iter().sum()
    }

    /// To these merchants alone.
    pub fn events_of(&self, ids: &[u32]) -> u64 {
        ids.iter().map(|id| self.by_merchant[(id - FIRST_MERCHANT) as usize]).sum()
    }
}

fn send(producer: &BaseProducer, pace: &Pace, is_over: &AtomicBool) -> Sent {
    let (mut events, mut event) = (events(pace.merchants), Vec::new());
    let mut sent = Sent { by_merchant: vec![0; pace.merchants as usize], late: Duration::ZERO };
    let (started, mut number) = (Instant::now(), 0);
    while !is_over.load(Ordering::Relaxed) {
        let due_at = Duration::from_secs_f64(number as f64 / f64::from(pace.rate));
        let Some(late) = started.elapsed().checked_sub(due_at) else {
            producer.poll(Duration::ZERO);
            std::thread::sleep(BREATH);
            continue;
        };
        sent.late = sent.late.max(late);
        event.clear();
        let made = events.append(happened_at(number), &mut event);
        number += 1;
        if pace.without != Some(FIRST_MERCHANT + made.merchant) {
            producer::send(producer, BaseRecord::to(&pace.topic).key(events.key(made)).payload(&event));
            sent.by_merchant[made.merchant as usize] += 1;
        }
    }
    producer.flush(ANSWER_LIMIT).expect("the broker answers");
    sent
}
