use crate::{encode_ledger, key::Key, value};
use outflow_api::{Blame, DeadLetter, Fault, Incarnation, Transaction, Verdict};

/// A record of the journal or the ledger. No value: a tombstone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyValue {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

impl KeyValue {
    fn new(key: Key, value: Option<Vec<u8>>) -> KeyValue {
        KeyValue { key: key.encode(), value }
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

pub const LANES_MAX: usize = 1_000;
pub const ENTRY_BYTES_MAX: usize = 256 * 1024;
/// Of everything in it: journal, ledger and dead letters.
pub const TRANSACTION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What goes to the journal's partition. The ledger's rows and the dead letters go elsewhere.
pub fn encode(transaction: &Transaction) -> Vec<KeyValue> {
    let Transaction { lanes, floors, revisions, revisions_gone, applied, ledger: _, dead_letters: _ } = transaction;
    let lane = |(id, record): &(_, Option<_>)| KeyValue::new(Key::Lane(*id), record.as_ref().map(value::lane));
    let mut entries: Vec<KeyValue> = lanes.iter().map(lane).collect();
    if !floors.is_empty() {
        entries.push(KeyValue::new(Key::Floors, Some(value::floors(floors))));
    }
    entries.extend(
        revisions.iter().map(|record| KeyValue::new(Key::Revision(record.revision), Some(value::revision(record)))),
    );
    entries.extend(applied.map(|applied| KeyValue::new(Key::Applied, Some(value::applied(applied)))));
    entries.extend(revisions_gone.iter().map(|revision| KeyValue::new(Key::Revision(*revision), None)));
    entries
}

/// Written by a new owner in a transaction of its own.
pub fn barrier(nonce: u128) -> KeyValue {
    KeyValue::new(Key::Barrier, Some(value::barrier(nonce)))
}

/// Written once, beside the barrier of the first owner.
pub fn incarnation(incarnation: Incarnation) -> KeyValue {
    KeyValue::new(Key::Incarnation, Some(value::incarnation(incarnation)))
}

/// Whether a transaction is small enough to be written. To be asked before the first byte is sent.
pub fn check(transaction: &Transaction) -> Result<(), Fault> {
    let lanes = transaction.lanes.len();
    if lanes > LANES_MAX {
        let hint = format!("a transaction of {lanes} lanes, allowed are {LANES_MAX}; it has to be split");
        return Err(too_large("transaction-too-many-lanes", hint));
    }
    let mut all = 0;
    let ledger = transaction.ledger.iter().map(encode_ledger);
    for entry in encode(transaction).into_iter().chain(ledger) {
        if entry.bytes() > ENTRY_BYTES_MAX {
            let name = Key::decode(&entry.key).map_or_else(|_| "the ledger".to_owned(), |key| key.to_string());
            let hint = format!(
                "the record of {name} has {} bytes, allowed are {ENTRY_BYTES_MAX}; batches have to be cut earlier",
                entry.bytes()
            );
            return Err(too_large("journal-entry-too-large", hint));
        }
        all += entry.bytes();
    }
    let letters: usize = transaction.dead_letters.iter().map(letter_bytes).sum();
    if all + letters > TRANSACTION_BYTES_MAX {
        let hint = format!(
            "a transaction of {} bytes ({letters} of them dead letters), allowed are {TRANSACTION_BYTES_MAX}; \
             it has to be split",
            all + letters
        );
        return Err(too_large("transaction-too-large", hint));
    }
    Ok(())
}

fn too_large(code: &'static str, hint: String) -> Fault {
    Fault::new(Verdict::Park, Blame::Us, code, hint)
}

fn letter_bytes(letter: &DeadLetter) -> usize {
    let DeadLetter { topic: _, timestamp_ms: _, key, value, headers } = letter;
    let body = key.as_ref().map_or(0, |key| key.len()) + value.as_ref().map_or(0, |value| value.len());
    body + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
}
