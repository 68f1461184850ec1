use crate::{Rng, RowId};

/// Whether destinations that stage say only when they are sent which rows they refuse. By chance of its own, in one
/// seed of four, so that the other worlds are what they were before there was such a thing; among them those by which
/// the rare accidents are found.
pub struct Lateness {
    rng: Rng,
    is_late: bool,
}

impl Lateness {
    pub fn none() -> Lateness {
        Lateness { rng: Rng::new(0), is_late: false }
    }

    pub fn draw(seed: u64) -> Lateness {
        let mut rng = Rng::new(seed ^ 0x854f_a64b_4af2_944a);
        let is_late = rng.chance(250);
        Lateness { rng, is_late }
    }

    /// Of rows that are to be refused and that the worker sends, those that are named this time: not always all.
    pub fn names(&mut self, refused: Vec<RowId>) -> Vec<RowId> {
        if !self.is_late || refused.is_empty() {
            return Vec::new();
        }
        let at_least = self.rng.index(refused.len());
        let named = refused.into_iter().enumerate().filter(|(at, _)| *at == at_least || self.rng.chance(500));
        named.map(|(_, row)| row).collect()
    }
}
