use crate::Rng;
use outflow_api::{LaneId, Revision};

/// All sets of definitions that were ever published: which key belongs to which lane, and since which revision each
/// lane is what it is.
pub struct Catalogue(Vec<Definitions>);

#[derive(Clone)]
struct Definitions {
    lane_of: Vec<LaneId>,
    version_of: Vec<Revision>,
}

/// Rows without a lane go here; all of them are dead letters.
pub const REJECT_LANE: LaneId = LaneId(0);

impl Catalogue {
    pub fn new(lane_of: Vec<LaneId>, lanes: u32) -> Catalogue {
        Catalogue(vec![Definitions { lane_of, version_of: vec![Revision(1); lanes as usize] }])
    }

    pub fn draw(rng: &mut Rng, keys: u32, lanes: u32) -> Catalogue {
        let lane_of = (0..keys).map(|_| LaneId(rng.below(lanes.into()) as u32)).collect();
        Catalogue::new(lane_of, lanes)
    }

    pub fn newest(&self) -> Revision {
        Revision(self.0.len() as u64)
    }

    /// A key moves, or a lane changes, or something that matters to neither.
    pub fn change(&mut self, rng: &mut Rng) {
        let mut next = self.0.last().expect("there is a first").clone();
        let revision = Revision(self.0.len() as u64 + 1);
        if rng.chance(600) {
            let (key, lane) = (rng.index(next.lane_of.len()), rng.index(next.version_of.len()));
            next.lane_of[key] = LaneId(lane as u32);
        }
        if rng.chance(500) {
            let lane = rng.index(next.version_of.len());
            next.version_of[lane] = revision;
        }
        self.0.push(next);
    }

    pub fn lane(&self, revision: Revision, key: u8) -> LaneId {
        self.0[revision.0 as usize - 1].lane_of[usize::from(key)]
    }

    pub fn version(&self, revision: Revision, lane: LaneId) -> Revision {
        self.0[revision.0 as usize - 1].version_of[lane.0 as usize]
    }
}
