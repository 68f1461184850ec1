//! Laws of the whole program on real servers. Each takes its turn; `OUTFLOW_KILLS` says how often to kill.

mod ages;
mod arrivals;
mod backup;
mod change;
mod chaos;
mod circuits;
mod clients;
mod contract;
mod control;
mod destination;
mod fleet;
mod merchants;
mod passes;
mod poison;
mod postgres;
mod resend;
mod routing;
mod shops;
mod source;
mod start;
mod stop;
