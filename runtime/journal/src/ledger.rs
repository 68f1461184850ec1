use crate::{
    KeyValue,
    key::{Key, hex, unreadable},
    value::{read, read_batch, write_batch},
    wire::{Read, Reader, Writer},
};
use bytes::Bytes;
use outflow_api::{BatchId, Fault, Generation, Incarnation, LaneId, LedgerEvent, LedgerRow, Revision, Shard};
use std::collections::BTreeMap;

const VERSION: u8 = 1;

const DECIDED: u8 = 0;
const REVEALED: u8 = 1;
const LOST: u8 = 2;
const ABANDONED: u8 = 3;
const SKIPPED: u8 = 4;
const BEGAN: u8 = 5;
/// As 2, with the rows whose dead letters are out.
const LOST_BUT: u8 = 6;
/// As 0, with the receipt.
const DECIDED_FOR_RECEIPT: u8 = 7;
const REMOVED: u8 = 8;

pub fn encode_ledger(row: &LedgerRow) -> KeyValue {
    let mut key = Writer::default();
    write_batch(&mut key, row.batch);
    let mut out = Writer::version(VERSION);
    match &row.event {
        LedgerEvent::Began => out.byte(BEGAN),
        LedgerEvent::Decided { covers, version, run, rows, rejected, rows_hash, receipt } => {
            out.byte(if receipt.is_empty() { DECIDED } else { DECIDED_FOR_RECEIPT });
            out.map(covers, |out, range| out.range(*range));
            out.number(version.0);
            out.number(run.map_or(0, |run| run.0));
            out.number(*rows);
            out.number(*rejected);
            out.fixed(&rows_hash.to_be_bytes());
            if !receipt.is_empty() {
                out.bytes(receipt);
            }
        }
        LedgerEvent::Removed { run } => {
            out.byte(REMOVED);
            out.number(run.0);
        }
        LedgerEvent::Revealed => out.byte(REVEALED),
        LedgerEvent::Lost { spent } if spent.is_empty() => out.byte(LOST),
        LedgerEvent::Lost { spent } => {
            out.byte(LOST_BUT);
            out.map(spent, |out, offsets| out.offsets(offsets));
        }
        LedgerEvent::Abandoned => out.byte(ABANDONED),
        LedgerEvent::Skipped { run, covers } => {
            out.byte(SKIPPED);
            out.number(run.map_or(0, |run| run.0));
            out.map(covers, |out, range| out.range(*range));
        }
    }
    KeyValue { key: key.0, value: Some(out.0) }
}

/// The first row of the ledger of a journal that begins with this generation.
pub fn ledger_began(incarnation: Incarnation, shard: Shard, generation: Generation) -> KeyValue {
    let batch = BatchId { incarnation, shard, generation, lane: LaneId(0), seq: 0 };
    encode_ledger(&LedgerRow { batch, event: LedgerEvent::Began })
}

/// Of a ledger that has the owners' barriers between its rows: those say nothing.
pub fn decode_ledger_record(key: &[u8], value: Option<&[u8]>) -> Result<Option<LedgerRow>, Fault> {
    match Key::decode(key) {
        Ok(Key::Barrier) => Ok(None),
        _ => decode_ledger(key, value.unwrap_or_default()).map(Some),
    }
}

pub fn decode_ledger(key: &[u8], value: &[u8]) -> Result<LedgerRow, Fault> {
    let mut input = Reader(key);
    let batch = read_batch(&mut input).and_then(|batch| input.end().map(|()| batch));
    let batch = batch.map_err(|found| unreadable(format_args!("the ledger's key {}", hex(key)), found))?;
    let event = read(value, read_event).map_err(|found| unreadable(format_args!("batch {batch} in the ledger"), found));
    Ok(LedgerRow { batch, event: event? })
}

/// Revisions count from 1: 0 is the live run.
fn read_run(input: &mut Reader<'_>) -> Read<Option<Revision>> {
    Ok(Some(Revision(input.number()?)).filter(|run| run.0 > 0))
}

fn read_event(input: &mut Reader<'_>) -> Read<LedgerEvent> {
    Ok(match input.byte()? {
        decided @ (DECIDED | DECIDED_FOR_RECEIPT) => LedgerEvent::Decided {
            covers: input.map(Reader::range)?,
            version: Revision(input.number()?),
            run: read_run(input)?,
            rows: input.number()?,
            rejected: input.number()?,
            rows_hash: u64::from_be_bytes(input.fixed()?),
            receipt: if decided == DECIDED { Bytes::new() } else { input.bytes()? },
        },
        REMOVED => LedgerEvent::Removed { run: Revision(input.number()?) },
        REVEALED => LedgerEvent::Revealed,
        LOST => LedgerEvent::Lost { spent: BTreeMap::new() },
        LOST_BUT => LedgerEvent::Lost { spent: input.map(Reader::offsets)? },
        BEGAN => LedgerEvent::Began,
        ABANDONED => LedgerEvent::Abandoned,
        SKIPPED => LedgerEvent::Skipped { run: read_run(input)?, covers: input.map(Reader::range)? },
        other => return Err(format!("event {other}, known are {DECIDED} to {REMOVED}")),
    })
}
