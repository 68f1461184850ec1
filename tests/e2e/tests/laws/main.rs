//! Laws of the whole program on real servers. Each takes its turn; `OUTFLOW_KILLS` says how often to kill.

mod chaos;
mod fleet;
