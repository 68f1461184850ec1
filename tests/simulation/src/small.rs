//! All small cases: two partitions of four rows, two lanes, and one crash at every step of the way.

use crate::{
    Catalogue, Fit, Kind, Options, Process, Rng, Row, World,
    catalogue::{LIVE, SCHEDULED},
    execute::Luck,
    process::{Answer, What},
};
use outflow_api::LaneId;
use outflow_engine::Event;

/// Of the eight rows, the first is always the first lane's: the other half is the same with names changed.
pub const PATTERNS: u8 = 128;
const STEPS_MAX: u64 = 2_000;

#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Bit by bit, which lane each row belongs to.
    pub pattern: u8,
    pub kinds: [Kind; 2],
    /// The second lane's feed is read in passes.
    pub scheduled: bool,
    pub crash_at: u64,
    /// What was under way at the crash took effect; the answer is lost either way.
    pub effect: bool,
    pub zombie: Zombie,
}

/// What the crashed worker does afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Zombie {
    Gone,
    /// Goes on, turn by turn with its successor.
    Beside,
    /// Wakes up when its successor has finished.
    Late,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub cases: u64,
    pub steps: u64,
}

/// Every case of these patterns. A failure names its case.
pub fn all(patterns: std::ops::Range<u8>) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let kinds = [Kind::Staged, Kind::Identity];
    for pattern in patterns {
        for kinds in kinds.iter().flat_map(|one| kinds.iter().map(|other| [*one, *other])) {
            for zombie in [Zombie::Gone, Zombie::Beside, Zombie::Late] {
                for (effect, scheduled) in [(false, false), (true, false), (false, true), (true, true)] {
                    every_crash(Case { pattern, kinds, scheduled, crash_at: 0, effect, zombie }, &mut tally)?;
                }
            }
        }
    }
    Ok(tally)
}

fn every_crash(first: Case, tally: &mut Tally) -> Result<(), String> {
    for crash_at in 0..STEPS_MAX {
        let case = Case { crash_at, ..first };
        let crashed = Run::new(case).finish(tally).map_err(|why| format!("{case:?}: {why}"))?;
        tally.cases += 1;
        if !crashed {
            return Ok(());
        }
    }
    Err(format!("{first:?}: no end"))
}

struct Run {
    case: Case,
    world: World,
    zombie: Option<Process>,
}

impl Run {
    fn new(case: Case) -> Run {
        let mut options = Options::draw(&mut Rng::new(1));
        (options.installations, options.shards, options.topics, options.partitions) = (1, 1, 1, 2);
        (options.lanes, options.keys) = (3, 2);
        let limits = &mut options.settings;
        (limits.rows_max, limits.fetch_max, limits.age_ms, limits.tick_ms, limits.floor_ms) = (2, 2, 40, 10, 40);
        (limits.lanes_per_decision, limits.replay_offsets_max, limits.park_ms) = (4, 50, 10);
        let kinds = vec![Kind::Identity, case.kinds[0], case.kinds[1]];
        let second = if case.scheduled { SCHEDULED } else { LIVE };
        let catalogue = Catalogue::new(vec![LaneId(1), LaneId(2)], vec![LIVE, LIVE, second]);
        let mut world = World::with(Rng::new(7), options, catalogue, kinds);
        world.calm = true;
        for row in 0..8_u8 {
            let key = world.log.add(0, u32::from(row / 4));
            world.log.grow(key, Some(Row { key: case.pattern >> row & 1, fit: Fit::Fits }));
        }
        Run { case, world, zombie: None }
    }

    /// Answers whether the crash came before the end.
    fn finish(mut self, tally: &mut Tally) -> Result<bool, String> {
        self.world.start(0)?;
        let mut crashed = false;
        for step in 0..STEPS_MAX {
            if step == self.case.crash_at {
                self.crash()?;
                crashed = true;
            }
            let mut owner = self.world.processes.remove(0);
            self.advance(&mut owner)?;
            if owner.stopped.is_some() {
                return Err(format!("the owner stops: {:?}", owner.stopped));
            }
            self.world.processes.push(owner);
            if self.case.zombie == Zombie::Beside {
                self.wake_zombie(1)?;
            }
            if step % 4 == 0 && self.world.is_settled() {
                self.wake_zombie(200)?;
                tally.steps += step;
                let unfinished = self.world.checker.unfinished(&self.world.log, &self.world.catalogue);
                return if unfinished.is_empty() { Ok(crashed) } else { Err(format!("never seen: {unfinished:?}")) };
            }
        }
        Err(format!(
            "not settled after {STEPS_MAX} steps: {:?}",
            self.world.checker.unfinished(&self.world.log, &self.world.catalogue)
        ))
    }

    fn crash(&mut self) -> Result<(), String> {
        let mut owner = self.world.processes.remove(0);
        if self.case.effect && !owner.calls.is_empty() {
            let call = owner.calls.remove(0);
            match &call.what {
                What::Append(decision) => self.world.decide(0, decision, false)?,
                _ => drop(self.world.execute(&mut owner, &call, Luck { effect: true, answer: false })?),
            }
        }
        owner.zombie = true;
        self.zombie = Some(owner).filter(|_| self.case.zombie != Zombie::Gone);
        self.world.start(0)
    }

    fn wake_zombie(&mut self, steps: u64) -> Result<(), String> {
        let Some(mut zombie) = self.zombie.take() else { return Ok(()) };
        (0..steps).try_for_each(|_| self.advance(&mut zombie))?;
        self.zombie = Some(zombie);
        Ok(())
    }

    /// First in, first out; time passes when nothing else is to be done.
    fn advance(&mut self, process: &mut Process) -> Result<(), String> {
        self.world.now_ms += 2;
        if !process.calls.is_empty() {
            let call = process.calls.remove(0);
            if !self.world.execute(process, &call, Luck { effect: true, answer: true })? {
                process.calls.push(call);
            }
            return Ok(());
        }
        if !process.answers.is_empty() {
            let answer = process.answers.remove(0);
            return self.world.hear(process, answer);
        }
        if process.stopped.is_none() && !process.readable(&self.world.log, &self.world.paused).is_empty() {
            return self.world.fetch(process);
        }
        if process.stopped.is_none() && process.told < self.world.catalogue.newest() {
            return self.world.inform(process);
        }
        if process.is_pass_due() {
            return self.world.fetch(process);
        }
        self.world.now_ms += 10;
        self.world.hear(process, Answer::bare(Event::Tick))
    }
}
