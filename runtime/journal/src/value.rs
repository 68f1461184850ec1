use crate::wire::{Read, Reader, Writer};
use outflow_api::{
    BatchId, Generation, Incarnation, LaneId, LaneRecord, Offset, Parked, Pending, Ranges, Revision, RevisionRecord,
    Shard, TopicPartition,
};
use std::collections::BTreeMap;

/// The version that is written; all below it are read.
const VERSION: u8 = 1;

const PENDING: u8 = 1;
const PARKED: u8 = 2;

pub(crate) fn read<T>(value: &[u8], version_1: impl FnOnce(&mut Reader<'_>) -> Read<T>) -> Read<T> {
    let mut input = Reader(value);
    let decoded = match input.byte()? {
        1 => version_1(&mut input)?,
        other => return Err(format!("version {other}, this build knows versions 1 to {VERSION}")),
    };
    input.end()?;
    Ok(decoded)
}

pub(crate) fn lane(record: &LaneRecord) -> Vec<u8> {
    let LaneRecord { next, owed, pending, spent, parked } = record;
    let mut out = Writer::version(VERSION);
    out.byte(if pending.is_some() { PENDING } else { 0 } | if parked.is_some() { PARKED } else { 0 });
    out.map(next, |out, next| out.offset(*next));
    out.map(owed, |out, owed| {
        out.number(owed.as_slice().len() as u64);
        owed.as_slice().iter().for_each(|range| out.range(*range));
    });
    out.map(spent, |out, offsets| out.offsets(offsets));
    if let Some(pending) = pending {
        write_pending(&mut out, pending);
    }
    if let Some(Parked { code, hint }) = parked {
        out.bytes(code.as_bytes());
        out.bytes(hint.as_bytes());
    }
    out.0
}

pub(crate) fn read_lane(input: &mut Reader<'_>) -> Read<LaneRecord> {
    let flags = input.byte()?;
    if flags > PENDING | PARKED {
        return Err(format!("flags {flags:#04x}, known are {PENDING} and {PARKED}"));
    }
    let next = input.map(Reader::offset)?;
    let owed = input.map(|input| {
        let mut ranges = Ranges::default();
        for _ in 0..input.count()? {
            ranges.insert(input.range()?);
        }
        Ok(ranges)
    })?;
    let spent = input.map(Reader::offsets)?;
    let pending = if flags & PENDING == 0 { None } else { Some(read_pending(input)?) };
    let parked = if flags & PARKED == 0 { None } else { Some(Parked { code: input.text()?, hint: input.text()? }) };
    Ok(LaneRecord { next, owed, pending, spent, parked })
}

fn write_pending(out: &mut Writer, pending: &Pending) {
    let Pending { id, token, covers, version, rejected, rows, rows_hash } = pending;
    write_batch(out, *id);
    out.bytes(token);
    out.map(covers, |out, range| out.range(*range));
    out.number(version.0);
    out.map(rejected, |out, offsets| out.offsets(offsets));
    out.number(*rows);
    out.fixed(&rows_hash.to_be_bytes());
}

fn read_pending(input: &mut Reader<'_>) -> Read<Pending> {
    Ok(Pending {
        id: read_batch(input)?,
        token: input.bytes()?,
        covers: input.map(Reader::range)?,
        version: Revision(input.number()?),
        rejected: input.map(Reader::offsets)?,
        rows: input.number()?,
        rows_hash: u64::from_be_bytes(input.fixed()?),
    })
}

/// At fixed width, so that it can be a key.
pub(crate) fn write_batch(out: &mut Writer, id: BatchId) {
    let BatchId { incarnation, shard, generation, lane, seq } = id;
    out.fixed(&incarnation.0.to_be_bytes());
    out.fixed(&shard.0.to_be_bytes());
    out.fixed(&generation.0.to_be_bytes());
    out.fixed(&lane.0.to_be_bytes());
    out.fixed(&seq.to_be_bytes());
}

pub(crate) fn read_batch(input: &mut Reader<'_>) -> Read<BatchId> {
    Ok(BatchId {
        incarnation: Incarnation(u64::from_be_bytes(input.fixed()?)),
        shard: Shard(u32::from_be_bytes(input.fixed()?)),
        generation: Generation(u64::from_be_bytes(input.fixed()?)),
        lane: LaneId(u32::from_be_bytes(input.fixed()?)),
        seq: u32::from_be_bytes(input.fixed()?),
    })
}

pub(crate) fn floors(floors: &BTreeMap<TopicPartition, Offset>) -> Vec<u8> {
    let mut out = Writer::version(VERSION);
    out.map(floors, |out, floor| out.offset(*floor));
    out.0
}

pub(crate) fn read_floors(input: &mut Reader<'_>) -> Read<BTreeMap<TopicPartition, Offset>> {
    input.map(Reader::offset)
}

pub(crate) fn revision(record: &RevisionRecord) -> Vec<u8> {
    let mut out = Writer::version(VERSION);
    out.map(&record.starts, |out, start| out.offset(*start));
    out.bytes(&record.content);
    out.0
}

pub(crate) fn read_revision(revision: Revision, input: &mut Reader<'_>) -> Read<RevisionRecord> {
    Ok(RevisionRecord { revision, starts: input.map(Reader::offset)?, content: input.bytes()? })
}

pub(crate) fn incarnation(incarnation: Incarnation) -> Vec<u8> {
    let mut out = Writer::version(VERSION);
    out.fixed(&incarnation.0.to_be_bytes());
    out.0
}

pub(crate) fn read_incarnation(input: &mut Reader<'_>) -> Read<Incarnation> {
    Ok(Incarnation(u64::from_be_bytes(input.fixed()?)))
}

pub(crate) fn barrier(nonce: u128) -> Vec<u8> {
    let mut out = Writer::version(VERSION);
    out.fixed(&nonce.to_be_bytes());
    out.0
}

pub(crate) fn read_barrier(input: &mut Reader<'_>) -> Read<u128> {
    Ok(u128::from_be_bytes(input.fixed()?))
}
