//! Bytes of the config log: what goes in is a [`ConfigRevision`], what comes out is keys and values, and back.
//!
//! | key | value |
//! |---|---|
//! | `E` revision (u64) object (the rest) | what it says of the object: [`CONTENT`] and the content, or [`GONE`] |
//! | `C` revision (u64) | behind all entries of the revision: it is complete, and has so many of them |
//! | `B` | the newest publisher's nonce |
//! | `F` | up to which revision (u64) entries may have been forgotten |
//!
//! Each revision's keys are its own, so compaction takes nothing but old barriers and what was forgotten: an entry
//! whose key has a tombstone. The records of a revision are neighbours in the log, in this order. A revision with fewer
//! entries than it was published with is whole if an `F`, wherever it stands, is at or above it.

use crate::{
    KeyValue,
    key::hex,
    value::read,
    wire::{Read, Reader, Writer},
};
use bytes::Bytes;
use outflow_api::{Blame, ConfigEntry, ConfigRevision, Fault, Forgotten, Revision, Verdict};
use std::{collections::HashSet, fmt, iter};

/// What one `read` of a config log answers, in bytes, unless a single revision is larger.
pub const READ_BYTES: usize = 8 << 20;
/// Of markers and barriers.
const VERSION: u8 = 1;
/// First bytes of an entry's value; another form of content gets another number.
const CONTENT: u8 = 1;
const GONE: u8 = 2;

pub const ENTRIES_MAX: usize = 100_000;
/// Of all keys and values of a revision.
pub const BYTES_MAX: usize = 256 << 20;
/// Of one key and value.
pub const ENTRY_BYTES_MAX: usize = 900 << 10;
pub const OBJECT_BYTES_MAX: usize = 1_000;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Key {
    Entry(Revision, String),
    Complete(Revision),
    Barrier,
    Forgotten,
}

impl Key {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Key::Entry(revision, object) => entry_key(&mut out, *revision, object),
            Key::Complete(revision) => {
                out.byte(b'C');
                out.fixed(&revision.0.to_be_bytes());
            }
            Key::Barrier => out.byte(b'B'),
            Key::Forgotten => out.byte(b'F'),
        }
        out.0
    }

    fn decode(bytes: &[u8]) -> Read<Key> {
        let mut input = Reader(bytes);
        let kind = input.byte()?;
        let revision = |input: &mut Reader<'_>| input.fixed().map(|bytes| Revision(u64::from_be_bytes(bytes)));
        let key = match kind {
            b'E' => {
                let revision = revision(&mut input)?;
                let object = std::str::from_utf8(std::mem::take(&mut input.0));
                Key::Entry(revision, object.map_err(|error| format!("an object's name is not UTF-8: {error}"))?.into())
            }
            b'C' => Key::Complete(revision(&mut input)?),
            b'B' => Key::Barrier,
            b'F' => Key::Forgotten,
            other => return Err(format!("kind {other:#04x}, known are E, C, B and F")),
        };
        input.end()?;
        Ok(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Entry(revision, object) => write!(f, "{object} in revision {}", revision.0),
            Key::Complete(revision) => write!(f, "the end of revision {}", revision.0),
            Key::Barrier => f.write_str("a barrier"),
            Key::Forgotten => f.write_str("the mark of what is forgotten"),
        }
    }
}

fn entry_key(out: &mut Writer, revision: Revision, object: &str) {
    out.byte(b'E');
    out.fixed(&revision.0.to_be_bytes());
    out.fixed(object.as_bytes());
}

fn encode_entry(revision: Revision, entry: &ConfigEntry) -> KeyValue {
    let (mut key, mut value) = (Writer::default(), Writer::default());
    entry_key(&mut key, revision, &entry.object);
    match &entry.content {
        Some(content) => {
            value.byte(CONTENT);
            value.fixed(content);
        }
        None => value.byte(GONE),
    }
    KeyValue { key: key.0, value: Some(value.0) }
}

/// The records of a publication, in the order in which they are written, in one transaction.
pub fn encode(revision: &ConfigRevision) -> impl Iterator<Item = KeyValue> {
    let ConfigRevision { revision: number, entries } = revision;
    let complete = || {
        let mut value = Writer::version(VERSION);
        value.number(entries.len() as u64);
        KeyValue { key: Key::Complete(*number).encode(), value: Some(value.0) }
    };
    entries.iter().map(|entry| encode_entry(*number, entry)).chain(iter::once_with(complete))
}

/// Written by a new publisher in a transaction of its own.
pub fn barrier(nonce: u128) -> KeyValue {
    let mut value = Writer::version(VERSION);
    value.fixed(&nonce.to_be_bytes());
    KeyValue { key: Key::Barrier.encode(), value: Some(value.0) }
}

/// The mark, and a tombstone for each entry, in the order in which they are written, in one transaction.
pub fn encode_forgotten(Forgotten { until, entries }: &Forgotten) -> impl Iterator<Item = KeyValue> {
    let tombstone = |(revision, object): &(Revision, String)| KeyValue {
        key: Key::Entry(*revision, object.clone()).encode(),
        value: None,
    };
    iter::once(forgotten(*until)).chain(entries.iter().map(tombstone))
}

pub fn forgotten(until: Revision) -> KeyValue {
    let mut value = Writer::version(VERSION);
    value.fixed(&until.0.to_be_bytes());
    KeyValue { key: Key::Forgotten.encode(), value: Some(value.0) }
}

/// Whether a revision may be published. To be asked before the first byte is sent.
pub fn check(revision: &ConfigRevision) -> Result<(), Fault> {
    let ConfigRevision { revision: Revision(number), entries } = revision;
    let refuse = |code, hint| Err(Fault::new(Verdict::Park, Blame::Us, code, hint));
    if entries.len() > ENTRIES_MAX {
        let hint = format!(
            "revision {number} has {} entries, allowed are {ENTRIES_MAX}; publish the change in several revisions",
            entries.len()
        );
        return refuse("config-too-many-entries", hint);
    }
    let (mut bytes, mut objects) = (0, HashSet::with_capacity(entries.len()));
    for ConfigEntry { object, content } in entries {
        if object.is_empty() || object.len() > OBJECT_BYTES_MAX {
            let shown: String = object.chars().take(100).collect();
            let hint = format!("an object's name has 1 to {OBJECT_BYTES_MAX} bytes; {shown:?} has {}", object.len());
            return refuse("config-wrong-object", hint);
        }
        if !objects.insert(object.as_str()) {
            let hint = format!("revision {number} names {object} twice; a revision says one thing of an object");
            return refuse("config-wrong-object", hint);
        }
        let entry = 1 + size_of::<u64>() + object.len() + 1 + content.as_ref().map_or(0, Bytes::len);
        if entry > ENTRY_BYTES_MAX {
            let hint = format!("{object} has {entry} bytes, allowed are {ENTRY_BYTES_MAX}; divide it, or shorten it");
            return refuse("config-entry-too-large", hint);
        }
        bytes += entry;
    }
    if bytes > BYTES_MAX {
        let hint = format!(
            "revision {number} has {bytes} bytes, allowed are {BYTES_MAX}; publish the change in several revisions"
        );
        return refuse("config-too-large", hint);
    }
    Ok(())
}

/// Makes revisions of records again.
#[derive(Default)]
pub struct Replay {
    newest: Revision,
    /// The last one that this reading came by: below `newest`, where the log is read once more.
    passed: Revision,
    forgotten: Revision,
    /// The last one that came with fewer entries than it was published with.
    short: Revision,
    /// Of the revision that follows.
    open: Vec<ConfigEntry>,
    open_bytes: usize,
    complete: Vec<ConfigRevision>,
    complete_bytes: usize,
    nonce: Option<u128>,
}

impl Replay {
    /// The records in their order; `offset` is told if one makes no sense.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>, offset: i64) -> Result<(), Fault> {
        let place = |what: &dyn fmt::Display| format!("{what} at config log offset {offset}");
        let key_bytes = key;
        let key = Key::decode(key)
            .map_err(|found| unreadable(&place(&format_args!("the key {}", hex(key_bytes))), &found))?;
        let trouble = |found: String| unreadable(&place(&key), &found);
        let value = match (&key, value) {
            (_, Some(value)) => value,
            // What was read of it before its end was already believed.
            (Key::Entry(revision, _), None) if *revision <= self.passed => return Ok(()),
            (_, None) => return Err(trouble("it is a tombstone".to_owned())),
        };
        match &key {
            Key::Entry(revision, object) => {
                self.expect(*revision, offset)?;
                let content = read_content(value).map_err(trouble)?;
                self.open_bytes += object.len() + value.len();
                self.open.push(ConfigEntry { object: object.clone(), content });
            }
            Key::Complete(revision) => {
                self.expect(*revision, offset)?;
                let count = read(value, |input| input.number()).map_err(trouble)?;
                let found = self.open.len() as u64;
                if found > count {
                    return Err(lost(&place(&key), &format!("{found} entries are there, not {count}")));
                }
                self.complete(*revision, found < count);
            }
            Key::Forgotten => {
                let until = read(value, |input| input.fixed().map(u64::from_be_bytes)).map_err(trouble)?;
                self.forgotten = self.forgotten.max(Revision(until));
            }
            Key::Barrier => {
                let nonce = read(value, |input| input.fixed().map(u128::from_be_bytes));
                self.nonce = Some(nonce.map_err(trouble)?);
            }
        }
        Ok(())
    }

    fn complete(&mut self, revision: Revision, is_short: bool) {
        self.passed = revision;
        let (entries, bytes) = (std::mem::take(&mut self.open), std::mem::take(&mut self.open_bytes));
        if revision > self.newest {
            self.newest = revision;
            self.short = if is_short { revision } else { self.short };
            self.complete_bytes += bytes;
            self.complete.push(ConfigRevision { revision, entries });
        }
    }

    /// The log follows once more from its start: what was read before is not answered again.
    pub fn restart(&mut self) {
        self.passed = Revision(0);
        self.open.clear();
        self.open_bytes = 0;
    }

    /// Entries are missing, and nobody said so far that they were forgotten. At the log's end: they are lost.
    pub fn is_short(&self) -> bool {
        self.short > self.forgotten
    }

    /// Of a log that [is short](Replay::is_short) and has ended.
    pub fn lost(&self) -> Fault {
        lost(&format!("revision {}", self.short.0), "not all of its entries are there")
    }

    /// Up to here entries may be missing.
    pub fn forgotten(&self) -> Revision {
        self.forgotten
    }

    fn expect(&self, revision: Revision, offset: i64) -> Result<(), Fault> {
        let expected = self.passed.0 + 1;
        if revision.0 == expected {
            return Ok(());
        }
        let place = format!("revision {} at config log offset {offset}", revision.0);
        Err(lost(&place, &format!("revision {expected} should come first")))
    }

    /// Of the revisions that are complete. 0: there is none.
    pub fn newest(&self) -> Revision {
        self.newest
    }

    /// What was complete and not taken, in bytes; none is zero. Nothing is complete while it is short.
    pub fn bytes(&self) -> usize {
        if self.is_short() { 0 } else { self.complete_bytes.max(self.complete.len()) }
    }

    pub fn take(&mut self) -> Vec<ConfigRevision> {
        if self.is_short() {
            return Vec::new();
        }
        self.complete_bytes = 0;
        std::mem::take(&mut self.complete)
    }

    /// Whether the newest barrier is the one with this nonce.
    pub fn saw(&self, nonce: u128) -> bool {
        self.nonce == Some(nonce)
    }
}

fn read_content(value: &[u8]) -> Read<Option<Bytes>> {
    match value.split_first() {
        Some((&CONTENT, content)) => Ok(Some(Bytes::copy_from_slice(content))),
        Some((&GONE, [])) => Ok(None),
        Some((&GONE, rest)) => Err(format!("{} bytes behind the end", rest.len())),
        Some((other, _)) => Err(format!("form {other}, this build knows {CONTENT} and {GONE}")),
        None => Err("it is empty".to_owned()),
    }
}

fn unreadable(place: &str, found: &str) -> Fault {
    let hint = format!(
        "the record of {place} cannot be read: {found}; if a newer build wrote it, run that build; otherwise somebody \
         else has written to the config log, or it is damaged and has to be restored"
    );
    Fault::halt("config-unreadable", hint)
}

fn lost(place: &str, found: &str) -> Fault {
    let hint = format!(
        "{place}: {found}; records of the config log were deleted (by retention, or by hand); restore it from a copy"
    );
    Fault::halt("config-lost", hint)
}
