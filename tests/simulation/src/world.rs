use crate::{
    Catalogue, Checker, Faults, Log, Options, Process, Rng,
    catalogue::{Replaces, Resends, SCHEDULED},
    checker::{DecisionLimits, Scene},
    destination::{Destination, Kind},
    execute::{Luck, reason},
    journal::Journal,
    lateness::Lateness,
    news::Forgetting,
    process::{Answer, Call, What},
};
use outflow_api::{FeedId, Incarnation, LaneId, Offset, OffsetRange, Revision, Shard, TopicPartition, Track};
use outflow_engine::{Decision, Engine, Event};
use std::collections::{BTreeMap, BTreeSet};

const ZOMBIES_MAX: usize = 3;

/// Everything around the engines: topics, journals, destinations, workers, and chance.
pub struct World {
    pub rng: Rng,
    pub options: Options,
    pub now_ms: u64,
    pub log: Log,
    pub catalogue: Catalogue,
    pub journals: Vec<Journal>,
    /// Of each journal: what its batches are called by.
    pub names: Vec<(Incarnation, Shard)>,
    pub destinations: Vec<Destination>,
    pub checker: Checker,
    pub processes: Vec<Process>,
    pub dead_lane: Option<LaneId>,
    /// Feeds that nobody reads for now.
    pub paused: BTreeSet<FeedId>,
    pub forgetting: Forgetting,
    pub owners: u64,
    pub calm: bool,
    pub steps: u64,
    pub trace: u64,
    pub tells: bool,
    replaces: Replaces,
    pub resends: Resends,
    pub lateness: Lateness,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    pub steps: u64,
    pub owners: u64,
    pub rows: u64,
    /// Replacements that came to their end.
    pub replaced: usize,
    pub trace: u64,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let options = Options::draw(&mut rng);
        let catalogue = Catalogue::draw(&mut rng, options.keys, options.lanes);
        let kinds = (0..options.lanes).map(|_| if rng.chance(500) { Kind::Staged } else { Kind::Identity }).collect();
        let mut world = World::with(rng, options, catalogue, kinds);
        world.forgetting = Forgetting::draw(seed);
        world.draw_log();
        world.replaces = Replaces::draw(seed);
        world.resends = Resends::draw(seed, &world.replaces);
        world.lateness = Lateness::draw(seed);
        let World { catalogue, rng, log, .. } = &mut world;
        catalogue.draw_begins(rng, log);
        world
    }

    pub fn with(rng: Rng, options: Options, catalogue: Catalogue, kinds: Vec<Kind>) -> World {
        let names: Vec<(Incarnation, Shard)> = (0..options.installations)
            .flat_map(|one| (0..options.shards).map(move |shard| (Incarnation(1_000 + u64::from(one)), Shard(shard))))
            .collect();
        let limits = DecisionLimits {
            lanes: options.settings.lanes_per_decision,
            letters_of_batch: options.settings.letters_max,
        };
        World {
            rng,
            now_ms: 0,
            log: Log::default(),
            catalogue,
            journals: names.iter().map(|(incarnation, shard)| Journal::new(*incarnation, *shard)).collect(),
            names,
            destinations: kinds.into_iter().map(Destination::new).collect(),
            checker: Checker::new(limits),
            processes: Vec::new(),
            dead_lane: None,
            paused: BTreeSet::new(),
            forgetting: Forgetting::never(),
            owners: 0,
            calm: false,
            steps: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            tells: false,
            replaces: Replaces::none(),
            resends: Resends::none(),
            lateness: Lateness::none(),
            options,
        }
    }

    fn draw_log(&mut self) {
        for installation in 0..self.options.installations {
            for topic in 0..self.options.topics {
                for partition in 0..self.options.partitions {
                    let key = self.log.add(installation * 10 + topic, partition);
                    (0..self.rng.between(0, self.options.rows_first)).for_each(|_| self.grow(key));
                }
            }
        }
    }

    pub(crate) fn grow(&mut self, key: TopicPartition) {
        let Faults { hole, misfit, refuse_row, .. } = self.options.faults;
        let row = Log::draw(&mut self.rng, self.options.keys, hole, misfit, refuse_row);
        self.log.grow(key, row);
    }

    /// Faults stop when things calm down.
    pub fn faults(&self) -> Faults {
        if self.calm { Faults::default() } else { self.options.faults.clone() }
    }

    /// Runs with faults, then without: what is owed must follow.
    pub fn run(&mut self) -> Result<Passed, String> {
        if self.rng.chance(self.options.faults.dead_lane) {
            self.dead_lane = Some(LaneId(self.rng.index(self.destinations.len()) as u32));
        }
        for _ in 0..self.options.steps {
            self.disturb()?;
            self.step()?;
        }
        self.calm = true;
        self.paused.clear();
        self.catalogue.resume_all();
        self.processes.retain(|process| !process.zombie);
        if let Some(dead) = self.dead_lane {
            self.serve_all_but(dead)?;
            self.dead_lane = None;
        }
        self.step_until("every row is visible or a dead letter", |world| {
            world.checker.unfinished(&world.log, &world.catalogue).is_empty()
        })?;
        self.step_until("idle lanes cost nothing", World::is_settled)?;
        let rows = self.log.partitions.values().flatten().flatten().count() as u64;
        let replaced = self.checker.replacements.done;
        Ok(Passed { steps: self.steps, owners: self.owners, rows, replaced, trace: self.trace })
    }

    pub(crate) fn owner(&self, journal: usize) -> Option<usize> {
        self.processes.iter().position(|process| process.journal == journal && !process.zombie)
    }

    /// What happens to the world from outside.
    fn disturb(&mut self) -> Result<(), String> {
        let faults = self.options.faults.clone();
        let journal = self.rng.index(self.journals.len());
        if self.rng.chance(faults.crash) {
            self.crash(journal);
            if self.rng.chance(faults.deploy) {
                self.change();
            }
        }
        if self.rng.chance(faults.takeover)
            && let Some(at) = self.owner(journal)
        {
            // Somebody else is given the shard; its owner has not heard of it.
            self.processes[at].zombie = true;
        }
        if self.rng.chance(faults.drain) {
            self.tell(journal, Event::Drain);
        }
        if self.rng.chance(faults.grow) {
            let keys: Vec<TopicPartition> = self.log.partitions.keys().copied().collect();
            let key = keys[self.rng.index(keys.len())];
            (0..self.rng.between(1, 6)).for_each(|_| self.grow(key));
        }
        if self.rng.chance(faults.revise) {
            self.change();
        }
        if self.rng.chance(faults.command) {
            self.catalogue.command(&mut self.rng, &self.log);
        }
        if self.rng.chance(faults.pause) {
            let feeds: Vec<FeedId> = self.catalogue.feeds(self.catalogue.newest()).collect();
            let feed = feeds[self.rng.index(feeds.len())];
            if !self.paused.remove(&feed) {
                self.paused.insert(feed);
            }
        }
        if self.rng.chance(faults.partition) {
            self.add_partition();
        }
        if self.rng.chance(faults.pressure) {
            let bytes = self.rng.between(0, 20);
            self.tell(journal, Event::Pressure { bytes });
        }
        if self.rng.chance(faults.resume) {
            let lane = LaneId(self.rng.index(self.destinations.len()) as u32);
            self.tell(journal, Event::Resume(lane));
        }
        if self.rng.chance(faults.trim) {
            self.journals[journal].trim_ledger(self.rng.between(1, 20) as usize);
            self.checker.ledger_trimmed(journal);
        }
        if self.rng.chance(faults.jump) {
            self.now_ms += self.rng.below(5_000);
        }
        let at = self.rng.index(self.destinations.len());
        if self.rng.chance(faults.expiry) {
            self.destinations[at].expire(&mut self.checker);
        }
        self.replaces.disturb(&mut self.catalogue, &self.log);
        self.resends.disturb(&mut self.catalogue, || self.checker.repairs.letters_out());
        Ok(())
    }

    fn crash(&mut self, journal: usize) {
        let Some(at) = self.owner(journal) else { return };
        if self.rng.chance(self.options.faults.zombie) {
            self.processes[at].zombie = true;
        } else {
            self.processes.remove(at);
        }
        while self.processes.iter().filter(|process| process.zombie).count() > ZOMBIES_MAX {
            let oldest = self.processes.iter().position(|process| process.zombie).expect("there are some");
            self.processes.remove(oldest);
        }
    }

    fn tell(&mut self, journal: usize, event: Event) {
        if let Some(at) = self.owner(journal) {
            let process = &mut self.processes[at];
            process.draining |= matches!(event, Event::Drain);
            process.answers.push(Answer::bare(event));
        }
    }

    /// New definitions; new lanes have destinations of their own.
    fn change(&mut self) {
        self.catalogue.change(&mut self.rng, &self.log);
        while self.destinations.len() < self.catalogue.lanes() {
            let kind = if self.rng.chance(500) { Kind::Staged } else { Kind::Identity };
            self.destinations.push(Destination::new(kind));
        }
    }

    fn add_partition(&mut self) {
        let installation = self.rng.below(self.options.installations.into()) as u32;
        let topic = installation * 10 + self.rng.below(self.options.topics.into()) as u32;
        let count = self.log.partitions.keys().filter(|key| key.topic.0 == u128::from(topic)).count() as u32;
        if count >= 5 {
            return;
        }
        let key = self.log.add(topic, count);
        (0..self.rng.between(0, 5)).for_each(|_| self.grow(key));
    }

    pub fn start(&mut self, journal: usize) -> Result<(), String> {
        self.owners += 1;
        let owner = self.owners;
        match self.journals[journal].fence(owner) {
            Some(decision) if self.rng.chance(500) => self.decide(journal, &decision, false)?,
            Some(_) => self.journals[journal].abort(),
            None => {}
        }
        let recovered = self.journals[journal].recover();
        let (partitions, applied) = (self.shards_of(journal), recovered.applied.revision);
        let feeds = self.catalogue.feeds(applied);
        let tracks =
            feeds.flat_map(|feed| partitions.iter().map(move |key| (Track { feed, partition: *key }, Offset::ZERO)));
        let starts = tracks.collect();
        let settings = self.options.settings.settings(self.names[journal].1);
        let mut actions = Vec::new();
        let engine = Engine::recover(settings, recovered, &starts, self.now_ms, &mut actions);
        let mut process = Process::new(journal, owner, engine);
        if self.tells {
            println!("{:>6} journal {journal}: owner {owner} starts as {:?}", self.now_ms, process.engine.generation());
            actions.iter().for_each(|action| println!("           → {action:?}"));
        }
        process.carry_out(&actions, Vec::new(), BTreeMap::new())?;
        process.partitions = partitions;
        // What was taken before is told again, and not taken again.
        process.told = Revision(applied.0.saturating_sub(1 + self.rng.below(3)));
        self.processes.push(process);
        Ok(())
    }

    /// The transaction takes effect.
    pub fn decide(&mut self, journal: usize, decision: &Decision, hidden: bool) -> Result<(), String> {
        let before = self.journals[journal].truth();
        self.journals[journal].append(&decision.transaction, hidden);
        let after = self.journals[journal].truth();
        let scene = Scene { journal, log: &self.log, catalogue: &self.catalogue, before: &before, after: &after };
        self.checker.decide(&scene, decision)
    }

    pub(crate) fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        self.now_ms += self.rng.below(8);
        self.forget_now_and_then();
        for journal in 0..self.journals.len() {
            if self.owner(journal).is_none() && (self.calm || self.rng.chance(300)) {
                self.start(journal)?;
            }
        }
        if self.calm || self.rng.chance(100) {
            let at = self.rng.index(self.destinations.len());
            self.destinations[at].land(&mut self.checker)?;
        }
        if self.processes.is_empty() {
            return Ok(());
        }
        let index = self.rng.index(self.processes.len());
        let mut process = self.processes.swap_remove(index);
        let choice = self.rng.below(11);
        match choice {
            10 => self.inform(&mut process)?,
            0..4 if !process.calls.is_empty() => self.call(&mut process)?,
            4..7 if !process.answers.is_empty() => self.answer(&mut process)?,
            7 | 8 => self.fetch(&mut process)?,
            _ => self.hear(&mut process, Answer::bare(Event::Tick))?,
        }
        let seen =
            [choice, process.owner, process.calls.len() as u64, process.answers.len() as u64, process.held.all()];
        let mix = |trace: u64, word: &u64| (trace ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.trace = seen.iter().fold(self.trace, mix);
        process.check_rows()?;
        self.part(process)
    }

    /// Whether the worker goes on after this step.
    fn part(&mut self, mut process: Process) -> Result<(), String> {
        if process.stopped.is_some() && !process.zombie {
            // What it sent may still arrive.
            process.zombie = true;
            if self.calm || self.rng.chance(500) {
                return Ok(());
            }
        }
        if process.draining && process.engine.is_drained() && process.answers.is_empty() {
            let state = self.journals[process.journal].truth();
            let pending = state.lanes.values().find_map(|record| record.pending.as_ref());
            let own = self.journals[process.journal].is_owned_by(process.owner);
            return match pending.filter(|_| own) {
                Some(pending) => Err(format!("drained, and {} is pending", pending.id)),
                None => Ok(()),
            };
        }
        // A drain has a bound: what is left is the next owner's.
        if !process.draining || !self.rng.chance(10) {
            self.processes.push(process);
        }
        Ok(())
    }

    pub fn hear(&mut self, process: &mut Process, answer: Answer) -> Result<(), String> {
        let told = self.tells.then(|| format!("{answer:?}"));
        let actions = process.hear(self.now_ms, answer);
        if let Some(told) = told {
            println!("{:>6} journal {} owner {}: {told}", self.now_ms, process.journal, process.owner);
            actions.iter().flatten().for_each(|action| println!("           → {action:?}"));
        }
        actions.map(|_| ())
    }

    fn answer(&mut self, process: &mut Process) -> Result<(), String> {
        let at = self.rng.index(process.answers.len());
        let answer = process.answers.swap_remove(at);
        let echo = Some(&answer).filter(|answer| answer.may_echo() && self.rng.chance(self.faults().echo));
        process.answers.extend(echo.cloned());
        self.hear(process, answer)
    }

    fn call(&mut self, process: &mut Process) -> Result<(), String> {
        let faults = self.faults();
        let at = self.rng.index(process.calls.len());
        let call = process.calls.swap_remove(at);
        let luck = Luck { effect: !self.rng.chance(faults.fail), answer: !self.rng.chance(faults.lost) };
        let luck = Luck { answer: luck.answer && luck.effect, ..luck };
        if self.tells {
            println!(
                "{:>6} journal {} owner {} calls ({luck:?}): {call:?}",
                self.now_ms, process.journal, process.owner
            );
        }
        if self.rng.chance(faults.forget_rows) {
            process.memory.clear();
        }
        let over = self.execute(process, &call, luck)?;
        if !matches!(call.what, What::Append(_)) && !call.ghost && self.rng.chance(faults.again) {
            process.calls.push(Call { ghost: true, ..call.clone() });
        }
        if over {
            return Ok(());
        }
        if let What::Reveal { pending, .. } = &call.what
            && self.rng.chance(faults.stall)
        {
            let batch = pending.id;
            process.answers.push(Answer::bare(Event::RevealStalled { batch, reason: reason("stalled") }));
        }
        if !self.rng.chance(faults.give_up) || !self.give_up(process, &call) {
            process.calls.push(call);
        }
        Ok(())
    }

    pub fn fetch(&mut self, process: &mut Process) -> Result<(), String> {
        if process.is_pass_due() && (self.calm || self.rng.chance(self.faults().pass)) {
            process.begin_pass(SCHEDULED);
        }
        let readable = process.readable(&self.log, &self.paused);
        if readable.is_empty() || process.stopped.is_some() {
            return self.end_pass(process);
        }
        let (track, position) = readable[self.rng.index(readable.len())];
        let most = self.rng.between(1, self.options.settings.fetch_max) as i64;
        let next = Offset((position.0 + most).min(process.read_until(&self.log, track).0));
        let flush = self.options.settings.flush(track.feed);
        let event = process.fetch(&self.log, &self.catalogue, (track, OffsetRange::new(position, next)), flush)?;
        self.hear(process, Answer::bare(event))?;
        self.end_pass(process)
    }

    fn end_pass(&mut self, process: &mut Process) -> Result<(), String> {
        let event = process.end_pass(SCHEDULED).unwrap_or(Event::Tick);
        self.hear(process, Answer::bare(event))
    }
}
