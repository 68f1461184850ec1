//! The laws of the seams, on a real broker.

mod common;
mod config_log;
mod conformance;
mod door;
mod journal;
mod markers;
mod membership;
mod million;
mod prepare;
mod retention;
mod rights;
mod source;
