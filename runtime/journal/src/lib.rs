//! Bytes of the journal and the ledger: what goes in is a [`Transaction`](outflow_api::Transaction), what comes out
//! is keys and values, and back. Pure: no I/O, no clock.
//!
//! # Journal: compacted, the last value per key is the truth
//!
//! | key | value | a tombstone means |
//! |---|---|---|
//! | `L` lane (u32) | where the lane stands | nothing to say about it |
//! | `F` | all floors of the shard | never written |
//! | `R` revision (u64) | starts and content | not needed any more |
//! | `I` | the journal's incarnation | never written |
//! | `B` | the newest owner's nonce | never written |
//!
//! # Ledger: append-only
//!
//! Key: the batch id's fields at fixed width; value: what happened to it.
//!
//! # Versions
//!
//! Numbers in keys are big-endian at fixed width, so keys are their own order. A value starts with its version, then
//! varints (LEB128). Topics are named by id, never by name: a topic made anew under an old name starts empty. A
//! reader knows every version that was ever released (`golden/` keeps one file of each); a writer writes the newest.

mod key;
mod ledger;
mod replay;
mod transaction;
mod value;
mod wire;

pub use ledger::{decode_ledger, encode_ledger};
pub use replay::Replay;
pub use transaction::{
    ENTRY_BYTES_MAX, KeyValue, LANES_MAX, TRANSACTION_BYTES_MAX, barrier, check, encode, incarnation,
};
