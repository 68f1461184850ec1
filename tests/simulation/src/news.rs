//! What a worker hears of the config log and its cluster, and what the config log forgets meanwhile.

use crate::{Process, Rng, World, journal::Journal, process::Answer};
use outflow_api::Revision;
use outflow_catalogue::Needs;
use outflow_engine::Event;

/// When the config log forgets. It has chances of its own: what else happens does not depend on it.
pub struct Forgetting {
    rng: Rng,
    per_mille: u64,
}

impl Forgetting {
    pub fn draw(seed: u64) -> Forgetting {
        let mut rng = Rng::new(!seed);
        let per_mille = if rng.chance(400) { 0 } else { rng.between(1, 100) };
        Forgetting { rng, per_mille }
    }

    pub fn never() -> Forgetting {
        Forgetting { rng: Rng::new(0), per_mille: 0 }
    }
}

impl World {
    /// P20: all shards are asked what they need, owned or not.
    pub fn forget_now_and_then(&mut self) {
        if self.forgetting.rng.chance(self.forgetting.per_mille) {
            let needs = |journal: &Journal| journal.peek().as_ref().map(Needs::of).unwrap_or_default();
            let needs = self.journals.iter().map(needs).reduce(Needs::and);
            needs.into_iter().for_each(|needs| self.catalogue.forget(needs));
        }
    }

    /// What the cluster and the config log have for the worker, when it gets around to it.
    pub fn inform(&mut self, process: &mut Process) -> Result<(), String> {
        let next = Revision(process.told.0 + 1);
        // What was taken before is told again here, and need not be.
        if !process.zombie && next >= process.engine.applied().revision {
            self.catalogue.must_tell(next)?;
        }
        let late = self.rng.chance(self.faults().lag);
        let partitions = self.shards_of(process.journal);
        let news = if late { None } else { process.news(&self.catalogue, &partitions) };
        self.hear(process, Answer::bare(news.unwrap_or(Event::Tick)))
    }
}
