//! The laws of the seams, on a real broker.

mod common;
mod journal;
mod membership;
mod prepare;
mod rights;
mod source;
