//! The contracts of the seams as laws: every journal and every sink runs them against the real thing, and a law
//! that is broken panics with what was seen. Touches nothing but what it is given.

pub mod journal;
pub mod sink;
