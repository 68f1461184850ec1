//! The contracts of the seams as laws: every journal, every config log and every sink runs them against the real thing,
//! and a law that is broken panics with what was seen. Touches nothing but what it is given.

pub mod config_log;
pub mod journal;
pub mod sink;
