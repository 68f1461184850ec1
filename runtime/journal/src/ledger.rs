use crate::{
    KeyValue,
    key::{hex, unreadable},
    value::{read, read_batch, write_batch},
    wire::{Read, Reader, Writer},
};
use outflow_api::{Fault, LedgerEvent, LedgerRow, Revision};

const VERSION: u8 = 1;

const DECIDED: u8 = 0;
const REVEALED: u8 = 1;
const LOST: u8 = 2;
const ABANDONED: u8 = 3;
const SKIPPED: u8 = 4;

pub fn encode_ledger(row: &LedgerRow) -> KeyValue {
    let mut key = Writer::default();
    write_batch(&mut key, row.batch);
    let mut out = Writer::version(VERSION);
    match &row.event {
        LedgerEvent::Decided { covers, version, run, rows, rejected, rows_hash } => {
            out.byte(DECIDED);
            out.map(covers, |out, range| out.range(*range));
            out.number(version.0);
            out.number(run.map_or(0, |run| run.0));
            out.number(*rows);
            out.number(*rejected);
            out.fixed(&rows_hash.to_be_bytes());
        }
        LedgerEvent::Revealed => out.byte(REVEALED),
        LedgerEvent::Lost => out.byte(LOST),
        LedgerEvent::Abandoned => out.byte(ABANDONED),
        LedgerEvent::Skipped { run, covers } => {
            out.byte(SKIPPED);
            out.number(run.map_or(0, |run| run.0));
            out.map(covers, |out, range| out.range(*range));
        }
    }
    KeyValue { key: key.0, value: Some(out.0) }
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
        DECIDED => LedgerEvent::Decided {
            covers: input.map(Reader::range)?,
            version: Revision(input.number()?),
            run: read_run(input)?,
            rows: input.number()?,
            rejected: input.number()?,
            rows_hash: u64::from_be_bytes(input.fixed()?),
        },
        REVEALED => LedgerEvent::Revealed,
        LOST => LedgerEvent::Lost,
        ABANDONED => LedgerEvent::Abandoned,
        SKIPPED => LedgerEvent::Skipped { run: read_run(input)?, covers: input.map(Reader::range)? },
        other => return Err(format!("event {other}, known are {DECIDED} to {SKIPPED}")),
    })
}
