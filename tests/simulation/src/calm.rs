//! What must follow once the faults have stopped.

use crate::{RowId, World, journal::State};
use outflow_api::{Applied, LaneId, Revision, TopicPartition, Track};

const CALM_STEPS_MAX: u64 = 120_000;

impl World {
    /// P17: a lane whose destination hangs holds up nobody, and holds no more than its share.
    pub(crate) fn serve_all_but(&mut self, dead: LaneId) -> Result<(), String> {
        let keys: Vec<TopicPartition> = self.log.partitions.keys().copied().collect();
        for _ in 0..self.options.settings.rows_max * 4 {
            keys.iter().for_each(|key| self.grow(*key));
        }
        let others = |world: &World| {
            let newest = world.catalogue.newest();
            let of_dead = |(lane, row): &(Option<LaneId>, RowId)| {
                let row = world.log.row(*row).expect("it is unfinished");
                let by = |revision| world.catalogue.lane(Revision(revision), row.key) == dead;
                lane.map_or_else(|| (1..=newest.0).any(by), |lane| lane == dead)
            };
            let read = world.processes.iter().all(|process| process.readable(&world.log, &world.paused).is_empty());
            let owned = world.journals.iter().enumerate().all(|(at, _)| world.owner(at).is_some());
            owned && read && world.checker.unfinished(&world.log, &world.catalogue).iter().all(of_dead)
        };
        self.step_until("all lanes but the dead one are served", others)?;
        let limits = &self.options.settings;
        let most = limits.rows_max + limits.fetch_max * 2;
        let slim = |world: &World| world.processes.iter().all(|process| process.held.rows(dead) < most);
        self.step_until("the dead lane holds no more than a batch", slim)
    }

    pub(crate) fn step_until(&mut self, what: &str, reached: impl Fn(&World) -> bool) -> Result<(), String> {
        for step in 0..CALM_STEPS_MAX {
            if step % 8 == 0 && reached(self) {
                return Ok(());
            }
            self.step()?;
        }
        let unfinished = self.checker.unfinished(&self.log, &self.catalogue);
        Err(format!(
            "not reached after all faults stopped: {what}; unfinished rows: {unfinished:?}; {:?}",
            self.unsettled()
        ))
    }

    pub fn is_settled(&self) -> bool {
        self.unsettled().is_none()
    }

    /// What is left in a journal or in a worker, besides floors, the mark and the newest revision.
    fn unsettled(&self) -> Option<String> {
        (0..self.journals.len()).find_map(|journal| {
            let state = self.journals[journal].truth();
            let newest = self.catalogue.newest();
            let tracks = self
                .shards_of(journal)
                .into_iter()
                .flat_map(|partition| self.catalogue.feeds(newest).map(move |feed| Track { feed, partition }));
            let is_at_end = |track: &Track| state.floors.get(track) == Some(&self.log.end(track.partition));
            let behind: Vec<Track> = tracks.filter(|track| !is_at_end(track)).collect();
            let is_retired = |track: &Track| self.catalogue.retired_at(track.feed).is_some();
            let retired: Vec<&Track> = state.floors.keys().filter(|track| is_retired(track)).collect();
            let own = self.processes.iter().filter(|process| process.journal == journal && !process.zombie);
            let views: Vec<_> = own.flat_map(|process| process.engine.lane_views()).collect();
            let is_clean = state.lanes.is_empty() && state.revisions.len() == 1 && views.is_empty();
            let is_told = state.applied == self.newest();
            let is_settled = is_clean && is_told && behind.is_empty() && retired.is_empty();
            (!is_settled).then(|| {
                let State { lanes, floors, revisions, applied } = &state;
                let revisions = revisions.keys();
                format!(
                    "journal {journal}: {lanes:?}, {views:?}, {applied:?} of {:?}, {revisions:?}, floors {floors:?}; \
                     not at the end {behind:?}, not gone {retired:?}",
                    self.newest()
                )
            })
        })
    }

    /// The mark of whoever has taken all of the config log.
    fn newest(&self) -> Applied {
        let revision = self.catalogue.newest();
        Applied { revision, commands: self.catalogue.commands(revision).len() as u32 }
    }
}
