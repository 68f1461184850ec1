//! A seeded world around the engine: topics, journals, destinations and workers that crash, lose answers, come back
//! from the dead and change their minds. A seed gives a run; a run passes, or says what went wrong. Touches nothing
//! outside of its own memory.

mod calm;
mod catalogue;
mod checker;
mod commands;
mod destination;
mod execute;
mod fates;
mod held;
mod journal;
mod lateness;
mod log;
mod news;
mod options;
mod process;
mod repairs;
mod replacements;
mod rng;
pub mod small;
mod world;

pub use catalogue::Catalogue;
pub use checker::Checker;
pub use destination::{Destination, Kind};
pub use held::Held;
pub use journal::Journal;
pub use log::{Fit, Log, Row, RowId};
pub use options::{Faults, Limits, Options};
pub use process::Process;
pub use rng::Rng;
pub use world::{Passed, World};

use std::panic::{AssertUnwindSafe, catch_unwind};

/// One run. A broken assertion of the engine is a failure like any other.
pub fn run(seed: u64, tells: bool) -> Result<Passed, String> {
    let mut world = World::new(seed);
    world.tells = tells;
    catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    })
}
