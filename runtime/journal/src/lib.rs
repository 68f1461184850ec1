//! Bytes of the journal, the ledger and the config log: what goes in is a [`Transaction`](outflow_api::Transaction) or
//! a [`ConfigRevision`](outflow_api::ConfigRevision), what comes out is keys and values, and back. Pure: no I/O, no
//! clock.
//!
//! # Journal: compacted, the last value per key is the truth
//!
//! | key | value | a tombstone means |
//! |---|---|---|
//! | `L` lane (u32) | where the lane stands | nothing to say about it |
//! | `F` | all floors of the shard | never written |
//! | `R` revision (u64) | from which offsets on it holds | not needed any more |
//! | `A` | how much of the config log is applied | never written |
//! | `I` | the journal's incarnation | never written |
//! | `B` | the newest owner's nonce | never written |
//!
//! # Ledger: append-only
//!
//! Key: the batch id's fields at fixed width; value: what happened to it, and by what it could be removed. The first
//! row names the journal whose decisions follow: where it is missing, others are missing.
//!
//! # Config log
//!
//! One for all shards; see [`config`].
//!
//! # Versions
//!
//! Numbers in keys are big-endian at fixed width, so keys are their own order. A value starts with its version, then
//! varints (LEB128). Topics are named by id, never by name: a topic made anew under an old name starts empty. A
//! reader knows every version that was ever released (`golden/` keeps one file of each); a writer writes the newest.

pub mod config;
mod key;
mod ledger;
mod replay;
mod transaction;
mod value;
mod wire;

pub use ledger::{decode_ledger, decode_ledger_record, encode_ledger, ledger_began};
pub use replay::Replay;
pub use transaction::{
    ENTRY_BYTES_MAX, KeyValue, LANES_MAX, TRANSACTION_BYTES_MAX, barrier, check, encode, incarnation,
};
