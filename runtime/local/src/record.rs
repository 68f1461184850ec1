use crate::wire::{Take, put_bytes, put_count};
use outflow_api::{Offset, RecordBlock};

const VERSION: u8 = 1;

/// A record on its way into a topic.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordToWrite<'a> {
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

pub(crate) const RECORD_BYTES_MAX: usize = 64 << 20;

impl RecordToWrite<'_> {
    /// What it occupies in a frame.
    pub(crate) fn bytes(&self) -> usize {
        let length = |bytes: Option<&[u8]>| 4 + bytes.map_or(0, <[u8]>::len);
        let headers: usize = self.headers.iter().map(|(name, value)| 4 + name.len() + length(*value)).sum();
        12 + length(self.key) + length(self.value) + headers
    }
}

/// Which decision of which journal wrote a dead letter: how a new owner finds out whether it is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decision {
    pub incarnation: u64,
    pub shard: u32,
    pub sequence: u64,
}

/// Neighbouring records of one frame.
pub(crate) struct Batch<'a> {
    pub base: i64,
    pub count: u32,
    pub decision: Option<Decision>,
    records: Take<'a>,
}

pub(crate) fn encode(out: &mut Vec<u8>, base: i64, decision: Option<Decision>, records: &[RecordToWrite<'_>]) {
    out.push(VERSION);
    out.extend_from_slice(&base.to_le_bytes());
    put_count(out, records.len());
    out.push(u8::from(decision.is_some()));
    if let Some(Decision { incarnation, shard, sequence }) = decision {
        out.extend_from_slice(&incarnation.to_le_bytes());
        out.extend_from_slice(&shard.to_le_bytes());
        out.extend_from_slice(&sequence.to_le_bytes());
    }
    for RecordToWrite { timestamp_ms, key, value, headers } in records {
        out.extend_from_slice(&timestamp_ms.to_le_bytes());
        put_bytes(out, *key);
        put_bytes(out, *value);
        put_count(out, headers.len());
        for (name, value) in *headers {
            put_bytes(out, Some(name.as_bytes()));
            put_bytes(out, *value);
        }
    }
}

/// `None`: a version of a newer build, or no batch at all.
pub(crate) fn decode(payload: &[u8]) -> Option<Batch<'_>> {
    let mut take = Take(payload);
    if take.byte()? != VERSION {
        return None;
    }
    let (base, count) = (take.i64()?, take.u32()?);
    let decision = match take.byte()? {
        0 => None,
        1 => Some(Decision { incarnation: take.u64()?, shard: take.u32()?, sequence: take.u64()? }),
        _ => return None,
    };
    Some(Batch { base, count, decision, records: take })
}

impl Batch<'_> {
    pub fn next(&self) -> i64 {
        self.base + i64::from(self.count)
    }

    /// Adds the records at and above `from`.
    pub fn push_to(mut self, block: &mut RecordBlock, from: Offset) -> Option<()> {
        let mut headers = Vec::new();
        for offset in self.base..self.next() {
            let timestamp_ms = self.records.i64()?;
            let (key, value) = (self.records.bytes()?, self.records.bytes()?);
            headers.clear();
            for _ in 0..self.records.u32()? {
                headers.push((self.records.text()?, self.records.bytes()?));
            }
            if offset >= from.0 {
                block.push(Offset(offset), timestamp_ms, key, value, headers.iter().copied());
            }
        }
        self.records.end()
    }
}
