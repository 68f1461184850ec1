use outflow_api::{Cluster, Offset, RecordView, Source, SourceEvent, TopicPartition};
use outflow_control::{LetterContent as Content, LetterPlace as Place, LetterRecord as Record, Refusal};
use std::time::{Duration, Instant};

const POLL_MAX: Duration = Duration::from_millis(200);
/// Longer keys, values and headers are counted, not shown.
const SHOWN_BYTES_MAX: usize = 16 << 10;
/// As the driver writes them.
const PREFIX: &str = "__connect.errors.";

/// One way through dead letter topics: one after the other, each partition from its start to the end that it has now.
pub struct Scan {
    pub topics: Vec<String>,
    pub after: Option<Place>,
    /// Letters of records that are older come before any others, or are left to whoever looks.
    pub since_ms: Option<i64>,
    pub limit: Duration,
}

/// A dead letter.
pub struct Found {
    pub connector: String,
    pub lane: Option<u32>,
    pub topic: String,
    pub partition: u32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub code: String,
    pub message: String,
    pub place: Place,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    /// Of a value that the letter goes without.
    omitted_bytes: Option<u64>,
    headers: Vec<(String, Vec<u8>)>,
}

pub struct Over {
    /// `None`: all was looked through.
    pub next: Option<Place>,
    pub looked_at: u64,
}

impl Scan {
    /// Until `each` has enough, or time is up. Blocking.
    pub fn run(&self, cluster: &dyn Cluster, each: &mut dyn FnMut(Found) -> bool) -> Result<Over, Refusal> {
        let until = Instant::now() + self.limit;
        // The embedded cluster makes the topic for the first letter.
        let there = cluster.topic_names()?;
        let names: Vec<String> = self.topics.iter().filter(|topic| there.contains(topic)).cloned().collect();
        let mut infos = cluster.topics(&names)?;
        infos.sort_by(|one, other| one.name.cmp(&other.name));
        let mut looked_at = 0;
        let mut source = cluster.source()?;
        for info in &infos {
            for partition in 0..info.partitions {
                let own = |after: &Place| (after.topic.as_str(), after.partition).cmp(&(&info.name, partition));
                let first = match self.after.as_ref().map(|after| (own(after), after.offset)) {
                    Some((std::cmp::Ordering::Greater, _)) => continue,
                    Some((std::cmp::Ordering::Equal, offset)) => Some(offset),
                    _ => None,
                };
                let key = TopicPartition { topic: info.id, partition };
                let next = self.read(source.as_mut(), key, first, until, &mut |record| {
                    looked_at += 1;
                    found(&info.name, record).is_none_or(&mut *each)
                })?;
                if let Some(offset) = next {
                    let place = Place { topic: info.name.clone(), partition, offset };
                    return Ok(Over { next: Some(place), looked_at });
                }
            }
        }
        Ok(Over { next: None, looked_at })
    }

    /// Where it was left off.
    fn read(
        &self,
        source: &mut dyn Source,
        key: TopicPartition,
        first: Option<i64>,
        until: Instant,
        each: &mut dyn FnMut(&RecordView<'_>) -> bool,
    ) -> Result<Option<i64>, Refusal> {
        let log = source.bounds(key)?;
        let begin = match (first, self.since_ms) {
            (Some(first), _) => Offset(first),
            (None, Some(since_ms)) => source.offset_at(key, since_ms)?,
            (None, None) => log.start,
        };
        let mut at = begin.max(log.start);
        if at >= log.next {
            return Ok(None);
        }
        source.assign(&[(key, at)])?;
        let left_off = loop {
            if at >= log.next {
                break None;
            }
            if Instant::now() > until {
                break Some(at.0);
            }
            let mut events = Vec::new();
            source.poll(POLL_MAX, &mut events)?;
            let mut is_enough = None;
            for event in events {
                match event {
                    SourceEvent::Fetched { range, block } if block.partition() == key => {
                        for record in (0..block.len()).map(|row| block.get(row)) {
                            if is_enough.is_none() && record.offset < log.next && !each(&record) {
                                is_enough = Some(record.offset.after().0);
                            }
                        }
                        at = at.max(range.next);
                    }
                    SourceEvent::AtEnd { partition, end } if partition == key => at = at.max(end),
                    SourceEvent::Failed { partition, fault } if partition == key => return Err(fault.into()),
                    _ => {}
                }
            }
            if let Some(next) = is_enough {
                break (next < log.next.0).then_some(next).or(Some(log.next.0));
            }
        };
        source.unassign(&[key]);
        Ok(left_off)
    }
}

/// None is no letter of ours: a barrier, or somebody else's.
fn found(topic: &str, record: &RecordView<'_>) -> Option<Found> {
    let (mut own, mut headers) = (std::collections::BTreeMap::new(), Vec::new());
    for (name, value) in record.headers.iter() {
        match name.strip_prefix(PREFIX) {
            Some(name) => drop(own.insert(name, String::from_utf8_lossy(value.unwrap_or_default()).into_owned())),
            None => headers.push((name.to_owned(), value.unwrap_or_default().to_owned())),
        }
    }
    Some(Found {
        connector: own.remove("connector.name")?,
        lane: own.get("lane.id").and_then(|lane| lane.parse().ok()),
        topic: own.remove("topic")?,
        partition: own.get("partition")?.parse().ok()?,
        offset: own.get("offset")?.parse().ok()?,
        timestamp_ms: record.timestamp_ms,
        code: own.remove("exception.class.name").unwrap_or_default(),
        message: own.remove("exception.message").unwrap_or_default(),
        place: Place { topic: topic.to_owned(), partition: record.partition.partition, offset: record.offset.0 },
        key: record.key.map(<[u8]>::to_owned),
        value: record.value.map(<[u8]>::to_owned),
        omitted_bytes: own.get("value.omitted.bytes").and_then(|bytes| bytes.parse().ok()),
        headers,
    })
}

impl Found {
    /// For people.
    pub fn record(&self) -> Record {
        let omitted = self.omitted_bytes.map(Content::Bytes);
        Record {
            key: self.key.as_deref().map(content),
            value: self.value.as_deref().map(content).or(omitted),
            headers: self.headers.iter().map(|(name, value)| (name.clone(), content(value))).collect(),
        }
    }

    pub fn shown_bytes(&self) -> usize {
        let parts = self.key.iter().chain(&self.value).chain(self.headers.iter().map(|(_, value)| value));
        512 + self.message.len() + parts.map(|part| part.len().min(SHOWN_BYTES_MAX)).sum::<usize>()
    }
}

fn content(bytes: &[u8]) -> Content {
    use base64::{Engine, engine::general_purpose::STANDARD};
    match std::str::from_utf8(bytes) {
        _ if bytes.len() > SHOWN_BYTES_MAX => Content::Bytes(bytes.len() as u64),
        Ok(text) => Content::Text(text.to_owned()),
        Err(_) => Content::Base64(STANDARD.encode(bytes)),
    }
}
