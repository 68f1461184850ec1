//! The sink contract, line by line: each law is a function that a sink's own tests run against its destination.

mod chaos;
mod cut;
mod faulty;
mod laws;
mod refusals;
mod rows;
mod wire;

pub use chaos::{Chaos, chaos};
pub use cut::cut_off;
pub use faulty::{FaultyServer, Translation};
pub use laws::{all, laws};
pub use rows::{Batch, Random, Size, context, is_gone, schema, settled};
pub use wire::FaultyWire;

use async_trait::async_trait;
use outflow_api::Sink;
use std::{collections::BTreeMap, sync::Arc};

/// A destination as the laws see it.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Another instance, which shares nothing with the others but the destination: another process has the same.
    fn open(&self) -> Arc<dyn Sink>;

    /// The same kind of sink at another place.
    fn open_elsewhere(&self) -> Arc<dyn Sink>;

    /// What a reader finds who lists and reads everything, by object: the values of column `row`. Never through the
    /// sink.
    ///
    /// # Panics
    /// If an object is no whole file.
    async fn visible(&self) -> BTreeMap<String, Vec<i64>>;

    /// What no name that people see may hold: passwords, keys, signatures.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// From now on requests may be lost, answered never, half, or late; or no longer.
    fn storm(&self, _rages: bool) {}

    /// From now on the destination refuses this row for good, whoever sends it. False: it refuses none.
    fn refuse(&self, _row: i64) -> bool {
        false
    }

    /// False where the provider has nothing that ends a staged upload before its time.
    fn can_abort(&self) -> bool {
        true
    }

    /// False where each preparation stages the batch anew, under a name that the provider makes: two of them would both
    /// be revealed, and what keeps them apart is that the engine journals one token of a batch.
    fn knows_batches(&self) -> bool {
        true
    }

    /// False where nobody can be asked whether a batch is there: its rows are sent again, and change nothing.
    fn remembers(&self) -> bool {
        true
    }
}
