use crate::{
    disk::{failed, sync_folder},
    frame::{self, Found},
    outbox::{self, Letters},
    wire::{Take, put_bytes, put_count},
};
use outflow_api::Fault;
use outflow_journal::KeyValue;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

/// The journal's file: a head, the live state of that moment in pieces, then one frame per decision.
///
/// The head and the state are complete or the file is not there: it gets its name after it was synced.
const HEAD: u8 = b'H';
const STATE: u8 = b'S';
const DECISION: u8 = b'D';
const VERSION: u8 = 1;

const STATE_FRAME_BYTES: usize = 1 << 20;

/// Keys and values as `outflow-journal` encodes them; the last value per key.
#[derive(Default)]
pub(crate) struct Live {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: u64,
}

impl Live {
    pub fn apply(&mut self, KeyValue { key, value }: KeyValue) {
        // What the two lengths occupy in a file.
        const LENGTHS: usize = 8;
        let key_bytes = key.len();
        let size = |value: &Vec<u8>| (key_bytes + value.len() + LENGTHS) as u64;
        self.bytes += value.as_ref().map_or(0, size);
        let old = match value {
            Some(value) => self.entries.insert(key, value),
            None => self.entries.remove(&key),
        };
        self.bytes -= old.as_ref().map_or(0, size);
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }
}

/// What stands before the state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    /// Number of the last decision or change of owner within the state; rises by one with each.
    pub sequence: u64,
    /// Up to here the ledger was synced when this file was made.
    pub ledger_bytes: u64,
}

pub(crate) struct Decided {
    pub sequence: u64,
    pub entries: Vec<KeyValue>,
    pub ledger: Vec<KeyValue>,
    pub letters: Vec<Letters>,
}

#[derive(Default)]
pub(crate) struct Read {
    pub head: Head,
    pub live: Live,
    pub sequence: u64,
    /// Rows of the decisions in this file, with the decision's number.
    pub ledger: Vec<(u64, Vec<KeyValue>)>,
    /// Of the last decision: all earlier ones were sent, or there would be no later one.
    pub letters: Vec<Letters>,
    pub bytes: u64,
}

/// `None`: there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Read>, Fault> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    // The owner before may have died between write and sync: what we act upon must not be gone after a power loss.
    file.sync_data().map_err(failed("sync", path))?;
    let bytes = file.metadata().map_err(failed("look at", path))?.len();
    let (mut all, mut payload, mut position, mut pieces) = (Read { bytes, ..Read::default() }, Vec::new(), 0, None);
    loop {
        match frame::read(&file, position, bytes, &mut payload).map_err(failed("read", path))? {
            Found::Frame { next, .. } => {
                let took = take_frame(&payload, &mut all, &mut pieces);
                took.ok_or_else(|| damaged(path, position, "a frame of an unknown kind, version or form"))?;
                position = next;
            }
            Found::End if pieces == Some(0) => return Ok(Some(all)),
            Found::End => return Err(damaged(path, position, "it ends within its state")),
            Found::Broken => {
                let damage = frame::damage(&file, position, bytes).map_err(failed("read", path))?;
                return match damage {
                    None if pieces == Some(0) => Ok(Some(all)),
                    None => Err(damaged(path, position, "it is cut off within its state")),
                    Some(whole) => Err(damaged(path, position, &format!("it is whole again at byte {whole}"))),
                };
            }
        }
    }
}

/// `pieces`: frames of the state that are still to come, once the head was read.
fn take_frame(payload: &[u8], all: &mut Read, pieces: &mut Option<u32>) -> Option<()> {
    let mut take = Take(payload);
    let kind = take.byte()?;
    if take.byte()? != VERSION {
        return None;
    }
    match (kind, *pieces) {
        (HEAD, None) => {
            all.head = Head { sequence: take.u64()?, ledger_bytes: take.u64()? };
            all.sequence = all.head.sequence;
            *pieces = Some(take.u32()?);
        }
        (STATE, Some(left @ 1..)) => {
            take_entries(&mut take)?.into_iter().for_each(|entry| all.live.apply(entry));
            *pieces = Some(left - 1);
        }
        (DECISION, Some(0)) => {
            all.sequence = take.u64()?;
            take_entries(&mut take)?.into_iter().for_each(|entry| all.live.apply(entry));
            let rows = take_entries(&mut take)?;
            if !rows.is_empty() {
                all.ledger.push((all.sequence, rows));
            }
            all.letters = outbox::take(&mut take)?;
        }
        _ => return None,
    }
    take.end()
}

pub(crate) fn put_decided(out: &mut Vec<u8>, decided: &Decided) {
    out.extend_from_slice(&[DECISION, VERSION]);
    out.extend_from_slice(&decided.sequence.to_le_bytes());
    put_entries(out, &decided.entries);
    put_entries(out, &decided.ledger);
    outbox::put(out, &decided.letters);
}

pub(crate) fn put_entries(out: &mut Vec<u8>, entries: &[KeyValue]) {
    put_count(out, entries.len());
    for KeyValue { key, value } in entries {
        put_bytes(out, Some(key));
        put_bytes(out, value.as_deref());
    }
}

pub(crate) fn take_entries(take: &mut Take<'_>) -> Option<Vec<KeyValue>> {
    let count = take.u32()?;
    let mut entry = || Some(KeyValue { key: take.bytes()??.to_vec(), value: take.bytes()?.map(<[u8]>::to_vec) });
    (0..count).map(|_| entry()).collect()
}

/// Makes the file that holds the state and nothing before it, and puts it in the old one's place. Answers the file
/// and its size.
pub(crate) fn replace(path: &Path, head: Head, live: &Live) -> Result<(File, u64), Fault> {
    let new = path.with_extension("new");
    let write = || -> io::Result<(File, u64)> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&new)?;
        let bytes = write_state(&file, head, live)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        Ok((file, bytes))
    };
    let made = write().map_err(failed("write", path))?;
    sync_folder(path.parent().expect("a file is in a folder"))?;
    Ok(made)
}

fn write_state(file: &File, head: Head, live: &Live) -> io::Result<u64> {
    let mut pieces: Vec<Vec<KeyValue>> = Vec::new();
    let mut room = 0;
    for (key, value) in live.iter() {
        let bytes = key.len() + value.len();
        if room < bytes || pieces.is_empty() {
            pieces.push(Vec::new());
            room = STATE_FRAME_BYTES;
        }
        room = room.saturating_sub(bytes);
        let entry = KeyValue { key: key.to_vec(), value: Some(value.to_vec()) };
        pieces.last_mut().expect("just pushed").push(entry);
    }
    let (mut out, mut position, mut frame) = (BufWriter::new(file), 0, Vec::new());
    frame::push(&mut frame, position, |out| {
        out.extend_from_slice(&[HEAD, VERSION]);
        out.extend_from_slice(&head.sequence.to_le_bytes());
        out.extend_from_slice(&head.ledger_bytes.to_le_bytes());
        put_count(out, pieces.len());
    });
    for piece in pieces {
        out.write_all(&frame)?;
        position += frame.len() as u64;
        frame.clear();
        frame::push(&mut frame, position, |out| {
            out.extend_from_slice(&[STATE, VERSION]);
            put_entries(out, &piece);
        });
    }
    out.write_all(&frame)?;
    out.flush()?;
    Ok(position + frame.len() as u64)
}

fn damaged(path: &Path, position: u64, what: &str) -> Fault {
    let hint = format!(
        "{} is damaged at byte {position}: {what}; restore the folder, or start with an empty one and read again",
        path.display()
    );
    Fault::halt("journal-damaged", hint)
}
