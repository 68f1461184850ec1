//! Laws of the whole program on real servers. Each takes its turn; `OUTFLOW_KILLS` says how often to kill.

mod change;
mod chaos;
mod destination;
mod fleet;
mod merchants;
mod poison;
mod recovery;
mod source;
mod start;
mod stop;
