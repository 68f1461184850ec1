//! All lanes are looked at in steps: however many there are, nobody who wants something of the shard meanwhile waits.

use super::*;
use crate::{
    shard::ages::Survey,
    status::{LaneCounts, LaneStatus},
};
use outflow_catalogue::Catalogue;
use outflow_engine::LaneView;

/// In one go: some hundred microseconds.
const STEP_LANES: usize = 1_000;
/// From one walk's beginning to the next one's.
const WALK_EVERY: Duration = Duration::from_millis(500);
/// Of those that are parked, so many are shown by name.
const SHOWN_MAX: usize = 100;

/// On its way over all lanes.
#[derive(Default)]
pub(crate) struct Walk {
    begun: Option<Instant>,
    under_way: Option<Box<Way>>,
}

#[derive(Default)]
struct Way {
    last: Option<LaneId>,
    seen: Seen,
    /// Not in every walk.
    survey: Option<Survey>,
}

/// What people are shown of all lanes.
#[derive(Default)]
pub(super) struct Seen {
    pub counts: BTreeMap<String, LaneCounts>,
    pub parked: Vec<LaneStatus>,
    /// Connectors' own lanes, of which they are shown more.
    pub own: Vec<(LaneId, String)>,
}

impl ShardTask {
    /// A step further; behind the last lane everything is shown.
    pub(super) fn walk(&mut self) {
        let mut way = match self.walk.under_way.take() {
            Some(way) => way,
            None if self.walk.begun.is_some_and(|begun| begun.elapsed() < WALK_EVERY) => return,
            None => {
                self.walk.begun = Some(Instant::now());
                Box::new(Way { survey: self.ages.is_survey_due().then(Survey::default), ..Way::default() })
            }
        };
        let mut left = STEP_LANES;
        {
            let catalogue = self.shared.configuration.catalogue();
            for (id, view) in self.engine.lane_views_behind(way.last).take(STEP_LANES) {
                left -= 1;
                way.last = Some(id);
                if let Some(survey) = &mut way.survey {
                    self.survey_lane(survey, &catalogue, id);
                }
                way.seen.see(&catalogue, id, view);
            }
        }
        if left == 0 {
            self.walk.under_way = Some(way);
            return;
        }
        let Way { seen, survey, .. } = *way;
        survey.into_iter().for_each(|survey| self.finish_survey(survey));
        self.show(seen);
    }
}

impl Seen {
    fn see(&mut self, catalogue: &Catalogue, id: LaneId, view: LaneView) {
        let Some(entry) = catalogue.lane(id) else { return };
        // Not a name for each of tens of thousands of lanes.
        if !self.counts.contains_key(&entry.connector) {
            self.counts.insert(entry.connector.clone(), LaneCounts::default());
        }
        let count = self.counts.get_mut(&entry.connector).expect("just inserted");
        count.active += 1;
        count.open_rows += view.open_rows;
        count.behind += u64::from(view.is_behind);
        // Debts of many lanes lie over the same records: the largest says how far behind the connector is.
        count.owed = count.owed.max(view.owed);
        count.parked += u64::from(view.parked.is_some());
        if entry.merchant.is_none() && !catalogue.is_gone(id) {
            self.own.push((id, entry.connector.clone()));
        }
        if let Some((code, hint)) = view.parked.filter(|_| self.parked.len() < SHOWN_MAX) {
            let (connector, merchant) = (entry.connector.clone(), entry.merchant.clone());
            self.parked.push(LaneStatus { lane: id.0, connector, merchant, code, hint });
        }
    }
}
