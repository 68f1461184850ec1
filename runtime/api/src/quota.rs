use std::collections::BTreeMap;

/// What one batch of a lane takes of a limit that its destination sets for all who share it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Charge {
    /// What is counted, and for whom: `stream creations of project shop`. Lanes that say the same share it.
    pub quota: String,
    pub per_batch: u64,
    pub per_hour_max: u64,
    /// What people can do who need more, besides delivering less often.
    pub otherwise: &'static str,
}

/// How often a lane delivers that always has rows: as often as they come of age, in each of its shards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pace {
    pub every_ms: u64,
    pub shards: u32,
}

/// What lanes take of such limits, all together.
#[derive(Default)]
pub struct Demand(BTreeMap<String, Taken>);

struct Taken {
    per_hour_max: u64,
    otherwise: &'static str,
    /// By pace and by what a batch is charged.
    lanes: BTreeMap<(Pace, u64), Lanes>,
}

struct Lanes {
    count: u64,
    /// Where the first of them is configured.
    first: String,
}

const HOUR_MS: u128 = 3_600_000;
/// A message shows the largest terms of a sum.
const TERMS_SHOWN: usize = 4;

impl Demand {
    /// `source`: where the lane is configured.
    pub fn add(&mut self, charges: Vec<Charge>, pace: Pace, source: &str) {
        let pace = Pace { every_ms: pace.every_ms.max(1), ..pace };
        for Charge { quota, per_batch, per_hour_max, otherwise } in charges {
            let new = || Taken { per_hour_max, otherwise, lanes: BTreeMap::new() };
            let taken = self.0.entry(quota).or_insert_with(new);
            let lanes = taken.lanes.entry((pace, per_batch));
            lanes.or_insert_with(|| Lanes { count: 0, first: source.to_owned() }).count += 1;
        }
    }

    /// Limits that cannot carry what is asked of them, each with the arithmetic and with what fits.
    pub fn exceeded(&self) -> Vec<String> {
        self.exceeded_beyond(&Demand::default())
    }

    /// Of those, the limits of which more is asked than before.
    pub fn exceeded_beyond(&self, before: &Demand) -> Vec<String> {
        let before = |quota: &String| before.0.get(quota).map_or(0, Taken::per_hour);
        let is_over = |(quota, taken): &(&String, &Taken)| {
            taken.per_hour() > u128::from(taken.per_hour_max) && taken.per_hour() > before(quota)
        };
        self.0.iter().filter(is_over).map(|(quota, taken)| taken.shown(quota)).collect()
    }
}

impl Taken {
    fn per_hour(&self) -> u128 {
        self.lanes.iter().map(|((pace, per_batch), lanes)| of(*pace, *per_batch, lanes.count)).sum()
    }

    fn shown(&self, quota: &str) -> String {
        let mut terms: Vec<(u128, String)> = self
            .lanes
            .iter()
            .map(|((pace, per_batch), lanes)| {
                let Lanes { count, first } = lanes;
                let per_hour = of(*pace, *per_batch, *count);
                let mut shown = format!("3600 s ÷ {} s × {count} lanes", pace.every_ms as f64 / 1_000.0);
                if pace.shards > 1 {
                    shown += &format!(" × {} shards", pace.shards);
                }
                if *per_batch > 1 {
                    shown += &format!(" × {per_batch} for a batch");
                }
                (per_hour, format!("{shown} = {per_hour}, first of all for {first}"))
            })
            .collect();
        terms.sort_by(|one, other| other.cmp(one));
        let more = terms.len().saturating_sub(TERMS_SHOWN);
        let mut sum: Vec<String> = terms.into_iter().take(TERMS_SHOWN).map(|(_, shown)| shown).collect();
        if more > 0 {
            sum.push(format!("{more} more"));
        }
        format!(
            "{quota}: {} an hour are allowed, and {} would be taken ({}). Deliver less often: with a `flush.age` or \
             `schedule` of {} s or more for all of them it fits; {}",
            self.per_hour_max,
            self.per_hour(),
            sum.join("; "),
            self.fitting_s(),
            self.otherwise
        )
    }

    /// If all lanes had one pace.
    fn fitting_s(&self) -> u128 {
        let each = |((pace, per_batch), lanes): (&(Pace, u64), &Lanes)| {
            u128::from(pace.shards) * u128::from(*per_batch) * u128::from(lanes.count)
        };
        let in_one_go: u128 = self.lanes.iter().map(each).sum();
        (in_one_go * HOUR_MS / 1_000).div_ceil(u128::from(self.per_hour_max.max(1)))
    }
}

fn of(pace: Pace, per_batch: u64, lanes: u64) -> u128 {
    let in_one_go = u128::from(pace.shards) * u128::from(per_batch) * u128::from(lanes);
    (in_one_go * HOUR_MS).div_ceil(u128::from(pace.every_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(project: &str) -> Vec<Charge> {
        let quota = format!("stream creations of project {project}");
        vec![Charge { quota, per_batch: 1, per_hour_max: 10_000, otherwise: "or take another mode" }]
    }

    fn demand(project: &str, lanes: u64, pace: Pace, into: &mut Demand) {
        (0..lanes).for_each(|lane| into.add(streams(project), pace, &format!("{lane}.yaml")));
    }

    #[test]
    fn lanes_that_share_a_limit_add_up_and_others_do_not() {
        let minute = Pace { every_ms: 60_000, shards: 1 };
        let mut fits = Demand::default();
        demand("shop", 166, minute, &mut fits);
        demand("other", 166, minute, &mut fits);
        assert_eq!(fits.exceeded(), Vec::<String>::new());
        demand("shop", 1, minute, &mut fits);
        let told = fits.exceeded();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("stream creations of project shop: 10000 an hour are allowed, and 10020 would be"));
        assert!(told[0].contains("(3600 s ÷ 60 s × 167 lanes = 10020, first of all for 0.yaml)"), "{told:?}");
        assert!(told[0].contains("61 s or more") && told[0].ends_with("or take another mode"), "{told:?}");
    }

    #[test]
    fn who_asks_for_less_than_before_is_not_told_that_it_is_still_too_much() {
        let (mut before, mut then) = (Demand::default(), Demand::default());
        demand("shop", 500, Pace { every_ms: 60_000, shards: 1 }, &mut before);
        demand("shop", 400, Pace { every_ms: 60_000, shards: 1 }, &mut then);
        assert_eq!(then.exceeded_beyond(&before), Vec::<String>::new());
        assert_eq!((then.exceeded().len(), before.exceeded_beyond(&then).len()), (1, 1));
    }

    #[test]
    fn what_is_said_to_fit_does_and_a_second_less_does_not() {
        let mut asked = Demand::default();
        demand("shop", 70, Pace { every_ms: 1_500, shards: 4 }, &mut asked);
        demand("shop", 3, Pace { every_ms: 500, shards: 1 }, &mut asked);
        let told = asked.exceeded();
        assert!(told[0].contains("3600 s ÷ 1.5 s × 70 lanes × 4 shards = 672000"), "{told:?}");
        let fitting = asked.0.values().next().expect("one limit").fitting_s() as u64;
        for (every_s, fits) in [(fitting, true), (fitting - 1, false)] {
            let mut again = Demand::default();
            demand("shop", 70, Pace { every_ms: every_s * 1_000, shards: 4 }, &mut again);
            demand("shop", 3, Pace { every_ms: every_s * 1_000, shards: 1 }, &mut again);
            assert_eq!(again.exceeded().is_empty(), fits, "{every_s} s");
        }
    }
}
