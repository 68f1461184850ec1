use crate::wire::{Read, Reader, Writer};
use outflow_api::{
    Applied, BatchId, Delivered, FeedId, Generation, Incarnation, LaneId, LaneRecord, Offset, Parked, Pending, Pins,
    Ranges, Replacing, Revision, RevisionRecord, Run, Shard, TopicPartition, Track,
};
use std::collections::BTreeMap;

/// The versions that are written; all below are read.
const VERSION: u8 = 1;
/// Since 2 a run says apart whose its rows are and what they become.
const LANE_VERSION: u8 = 2;

const PENDING: u8 = 1;
const PARKED: u8 = 2;
const HELD: u8 = 4;
const REPLACING: u8 = 8;

/// Of a record that has one version.
pub(crate) fn read<T>(value: &[u8], version_1: impl FnOnce(&mut Reader<'_>) -> Read<T>) -> Read<T> {
    read_versions(value, VERSION, |input, _| version_1(input))
}

fn read_versions<T>(value: &[u8], newest: u8, decode: impl FnOnce(&mut Reader<'_>, u8) -> Read<T>) -> Read<T> {
    let mut input = Reader(value);
    let version = input.byte()?;
    if !(1..=newest).contains(&version) {
        return Err(format!("version {version}, this build knows versions 1 to {newest}"));
    }
    let decoded = decode(&mut input, version)?;
    input.end()?;
    Ok(decoded)
}

pub(crate) fn lane(record: &LaneRecord) -> Vec<u8> {
    let LaneRecord { feed, next, owed, runs, pending, spent, parked, replacing } = record;
    let mut out = Writer::version(LANE_VERSION);
    let held = parked.as_ref().is_some_and(|parked| parked.held);
    let flags =
        [(PENDING, pending.is_some()), (PARKED, parked.is_some()), (HELD, held), (REPLACING, replacing.is_some())];
    out.byte(flags.iter().filter(|(_, set)| *set).map(|(flag, _)| flag).sum());
    out.number(u64::from(feed.0));
    out.map(next, |out, next| out.offset(*next));
    write_owed(&mut out, owed);
    out.number(runs.len() as u64);
    for Run { id, by, owed, spent } in runs {
        write_run(&mut out, *id, *by);
        write_owed(&mut out, owed);
        out.map(spent, |out, offsets| out.offsets(offsets));
    }
    out.map(spent, |out, offsets| out.offsets(offsets));
    if let Some(pending) = pending {
        write_pending(&mut out, pending);
    }
    if let Some(Parked { code, hint, held: _ }) = parked {
        out.bytes(code.as_bytes());
        out.bytes(hint.as_bytes());
    }
    if let Some(Replacing { run, old }) = replacing {
        out.number(run.0);
        out.number(old.len() as u64);
        for Delivered { id, receipt } in old {
            write_batch(&mut out, *id);
            out.bytes(receipt);
        }
    }
    out.0
}

pub(crate) fn read_lane(value: &[u8]) -> Read<LaneRecord> {
    read_versions(value, LANE_VERSION, read_lane_of)
}

fn read_lane_of(input: &mut Reader<'_>, version: u8) -> Read<LaneRecord> {
    let flags = input.byte()?;
    if flags > PENDING | PARKED | HELD | REPLACING {
        return Err(format!("flags {flags:#04x}, known are {PENDING}, {PARKED}, {HELD} and {REPLACING}"));
    }
    let feed = FeedId(input.number32()?);
    let next = input.map(Reader::offset)?;
    let owed = read_owed(input)?;
    let mut runs = Vec::new();
    for _ in 0..input.count()? {
        let (id, by) = read_run(input, version)?;
        runs.push(Run { id, by, owed: read_owed(input)?, spent: input.map(Reader::offsets)? });
    }
    let spent = input.map(Reader::offsets)?;
    let pending = if flags & PENDING == 0 { None } else { Some(read_pending(input, version)?) };
    let held = flags & HELD != 0;
    let parked =
        if flags & PARKED == 0 { None } else { Some(Parked { code: input.text()?, hint: input.text()?, held }) };
    let replacing = if flags & REPLACING == 0 { None } else { Some(read_replacing(input)?) };
    Ok(LaneRecord { feed, next, owed, runs, pending, spent, parked, replacing })
}

fn read_replacing(input: &mut Reader<'_>) -> Read<Replacing> {
    let run = Revision(input.number()?);
    let mut old = Vec::new();
    for _ in 0..input.count()? {
        old.push(Delivered { id: read_batch(input)?, receipt: input.bytes()? });
    }
    Ok(Replacing { run, old })
}

/// Revisions count from 1: 0 is the live stream, or a row's own offset.
fn write_run(out: &mut Writer, id: Option<Revision>, by: Pins) {
    let Pins { whose, shape } = by;
    for revision in [id, whose, shape] {
        out.number(revision.map_or(0, |revision| revision.0));
    }
}

/// Version 1 had one revision for both.
fn read_run(input: &mut Reader<'_>, version: u8) -> Read<(Option<Revision>, Pins)> {
    let mut revision = || -> Read<_> { Ok(Some(Revision(input.number()?)).filter(|revision| revision.0 > 0)) };
    let (id, whose) = (revision()?, revision()?);
    let shape = if version == 1 { whose } else { revision()? };
    Ok((id, Pins { whose, shape }))
}

fn write_owed(out: &mut Writer, owed: &BTreeMap<TopicPartition, Ranges>) {
    out.map(owed, |out, owed| {
        out.number(owed.as_slice().len() as u64);
        owed.as_slice().iter().for_each(|range| out.range(*range));
    });
}

fn read_owed(input: &mut Reader<'_>) -> Read<BTreeMap<TopicPartition, Ranges>> {
    input.map(|input| {
        let mut ranges = Ranges::default();
        for _ in 0..input.count()? {
            ranges.insert(input.range()?);
        }
        Ok(ranges)
    })
}

fn write_pending(out: &mut Writer, pending: &Pending) {
    let Pending { id, token, covers, version, run, by, rejected, rows, rows_hash } = pending;
    write_batch(out, *id);
    out.bytes(token);
    out.map(covers, |out, range| out.range(*range));
    out.number(version.0);
    write_run(out, *run, *by);
    out.map(rejected, |out, offsets| out.offsets(offsets));
    out.number(*rows);
    out.fixed(&rows_hash.to_be_bytes());
}

fn read_pending(input: &mut Reader<'_>, version_written: u8) -> Read<Pending> {
    let (id, token, covers) = (read_batch(input)?, input.bytes()?, input.map(Reader::range)?);
    let version = Revision(input.number()?);
    let (run, by) = read_run(input, version_written)?;
    Ok(Pending {
        id,
        token,
        covers,
        version,
        run,
        by,
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

pub(crate) fn floors(floors: &BTreeMap<Track, Offset>) -> Vec<u8> {
    let mut feeds: BTreeMap<FeedId, BTreeMap<TopicPartition, Offset>> = BTreeMap::new();
    for (Track { feed, partition }, floor) in floors {
        feeds.entry(*feed).or_default().insert(*partition, *floor);
    }
    let mut out = Writer::version(VERSION);
    out.number(feeds.len() as u64);
    for (feed, floors) in feeds {
        out.number(u64::from(feed.0));
        out.map(&floors, |out, floor| out.offset(*floor));
    }
    out.0
}

pub(crate) fn read_floors(input: &mut Reader<'_>) -> Read<BTreeMap<Track, Offset>> {
    let mut floors = BTreeMap::new();
    for _ in 0..input.count()? {
        let feed = FeedId(input.number32()?);
        let own = input.map(Reader::offset)?;
        floors.extend(own.into_iter().map(|(partition, floor)| (Track { feed, partition }, floor)));
    }
    Ok(floors)
}

pub(crate) fn revision(record: &RevisionRecord) -> Vec<u8> {
    let mut out = Writer::version(VERSION);
    out.map(&record.starts, |out, start| out.offset(*start));
    out.0
}

pub(crate) fn read_revision(revision: Revision, input: &mut Reader<'_>) -> Read<RevisionRecord> {
    Ok(RevisionRecord { revision, starts: input.map(Reader::offset)? })
}

pub(crate) fn applied(applied: Applied) -> Vec<u8> {
    let mut out = Writer::version(VERSION);
    out.number(applied.revision.0);
    out.number(u64::from(applied.commands));
    out.0
}

pub(crate) fn read_applied(input: &mut Reader<'_>) -> Read<Applied> {
    Ok(Applied { revision: Revision(input.number()?), commands: input.number32()? })
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
