//! Who is to be looked at, and when: everything here follows from the lanes and is made anew from a lane whenever that
//! lane has changed, so that an event costs what it concerns and not what there is.

use crate::lane::Lane;
use outflow_api::{LaneId, Offset, Revision, Track};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct Agenda {
    /// Nothing waits longer, whatever its own limit: a restart would have to read so much again.
    age_ms_max: u64,
    marks: BTreeMap<LaneId, Marks>,
    /// Open rows by the time at which they are too old.
    pub due: BTreeSet<(u64, LaneId)>,
    /// Open rows that cannot wait, before a free slot.
    pub seal: BTreeSet<LaneId>,
    /// In debt, with a free slot, and not parked.
    pub read: BTreeSet<LaneId>,
    /// Ready to be decided, or with a record that is not in the journal.
    pub waiting: BTreeSet<LaneId>,
    /// Prepared, behind a batch that is not yet visible.
    pub blocked: BTreeSet<LaneId>,
    /// With old batches to be removed, now.
    pub remove: BTreeSet<LaneId>,
    pub parked: BTreeSet<LaneId>,
    /// Parked, by the time of the next try.
    pub resume: BTreeSet<(u64, LaneId)>,
    /// The lowest row of each lane that no decision holds.
    pub holds: BTreeMap<Track, BTreeSet<(Offset, LaneId)>>,
    /// The lowest row of each lane that is owed in memory, and not yet in the journal.
    pub unwritten: BTreeMap<Track, BTreeSet<(Offset, LaneId)>>,
    /// Lanes of which nothing is left but a record that the floor, once it is here, says better.
    pub rest: BTreeMap<Track, BTreeSet<(Offset, LaneId)>>,
    /// The lowest row of each lane that may be read again by the definitions of its own offset, wherever floors are.
    pub read_again: BTreeMap<Track, BTreeSet<(Offset, LaneId)>>,
    /// The oldest revision that rows of each lane are read by, wherever they are.
    pub named: BTreeSet<(Revision, LaneId)>,
}

#[derive(Default, PartialEq, Eq)]
struct Marks {
    due: Option<u64>,
    seal: bool,
    read: bool,
    waiting: bool,
    blocked: bool,
    remove: bool,
    parked: bool,
    resume: Option<u64>,
    holds: Vec<(Track, Offset)>,
    unwritten: Vec<(Track, Offset)>,
    rest: Option<(Track, Offset)>,
    read_again: Vec<(Track, Offset)>,
    named: Option<Revision>,
}

impl Marks {
    fn of(lane: &Lane, age_ms_max: u64) -> Marks {
        let feed = lane.record.feed;
        let track = |partition| Track { feed, partition };
        let tracks = |(partition, offset)| (track(partition), offset);
        let is_free = lane.slot.is_none();
        let parked = lane.record.parked.as_ref();
        let oldest = lane.open.front().filter(|_| is_free);
        let urgent = lane.open.len() > 1 || lane.seal_now || lane.is_full();
        let nothing_but_next = lane.is_settled()
            && !lane.is_dirty
            && lane.journaled.is_some()
            && lane.record.pending.is_none()
            && parked.is_none()
            && lane.record.replacing.is_none()
            && !lane.has_debt();
        Marks {
            due: oldest.map(|open| open.since_ms.saturating_add(open.limits.age_ms_max.min(age_ms_max))),
            seal: oldest.is_some() && urgent,
            read: is_free && parked.is_none() && lane.has_debt(),
            waiting: lane.is_dirty || lane.is_ready(),
            blocked: lane.is_ready_but_blocked(),
            remove: lane.to_remove().next().is_some(),
            parked: parked.is_some(),
            // While a reveal hangs there is nothing to try: its own answer resumes the lane.
            resume: parked.filter(|parked| !parked.held && !lane.reveal_stalled).map(|_| lane.resume_at_ms),
            holds: lane.first_undecided().into_iter().map(tracks).collect(),
            unwritten: lane.first_unwritten().into_iter().map(tracks).collect(),
            rest: nothing_but_next
                .then(|| lane.record.next.iter().map(|(key, next)| (track(*key), *next)).next())
                .flatten(),
            read_again: lane.first_read_again().into_iter().map(tracks).collect(),
            named: lane.oldest_named(),
        }
    }
}

impl Agenda {
    pub fn new(age_ms_max: u64) -> Agenda {
        Agenda { age_ms_max, ..Agenda::default() }
    }

    pub fn note(&mut self, id: LaneId, lane: Option<&Lane>) {
        let new = lane.map(|lane| Marks::of(lane, self.age_ms_max)).unwrap_or_default();
        let old = self.marks.remove(&id).unwrap_or_default();
        if new != old {
            self.erase(id, &old);
            self.write(id, &new);
        }
        if new != Marks::default() {
            self.marks.insert(id, new);
        }
    }

    /// The floor has passed this part of what the lane rests on; another part is still ahead of its floor.
    pub fn rest_on(&mut self, id: LaneId, track: Track, next: Offset) {
        let Some(marks) = self.marks.get_mut(&id) else { return };
        if let Some((old, offset)) = marks.rest.replace((track, next)) {
            remove(&mut self.rest, old, (offset, id));
        }
        self.rest.entry(track).or_default().insert((next, id));
    }

    fn erase(&mut self, id: LaneId, marks: &Marks) {
        marks.due.map(|at| self.due.remove(&(at, id)));
        marks.resume.map(|at| self.resume.remove(&(at, id)));
        marks.named.map(|revision| self.named.remove(&(revision, id)));
        for (set, is_in) in self.sets(marks) {
            if is_in {
                set.remove(&id);
            }
        }
        marks.holds.iter().for_each(|(track, offset)| remove(&mut self.holds, *track, (*offset, id)));
        marks.unwritten.iter().for_each(|(track, offset)| remove(&mut self.unwritten, *track, (*offset, id)));
        marks.rest.iter().for_each(|(track, offset)| remove(&mut self.rest, *track, (*offset, id)));
        marks.read_again.iter().for_each(|(track, offset)| remove(&mut self.read_again, *track, (*offset, id)));
    }

    fn write(&mut self, id: LaneId, marks: &Marks) {
        marks.due.map(|at| self.due.insert((at, id)));
        marks.resume.map(|at| self.resume.insert((at, id)));
        marks.named.map(|revision| self.named.insert((revision, id)));
        for (set, is_in) in self.sets(marks) {
            if is_in {
                set.insert(id);
            }
        }
        for (track, offset) in &marks.holds {
            self.holds.entry(*track).or_default().insert((*offset, id));
        }
        for (track, offset) in &marks.unwritten {
            self.unwritten.entry(*track).or_default().insert((*offset, id));
        }
        for (track, offset) in &marks.read_again {
            self.read_again.entry(*track).or_default().insert((*offset, id));
        }
        if let Some((track, offset)) = marks.rest {
            self.rest.entry(track).or_default().insert((offset, id));
        }
    }

    fn sets(&mut self, marks: &Marks) -> [(&mut BTreeSet<LaneId>, bool); 6] {
        [
            (&mut self.seal, marks.seal),
            (&mut self.read, marks.read),
            (&mut self.waiting, marks.waiting),
            (&mut self.blocked, marks.blocked),
            (&mut self.remove, marks.remove),
            (&mut self.parked, marks.parked),
        ]
    }

    /// Nothing is open or in a slot before its decision.
    pub fn is_quiet(&self) -> bool {
        self.holds.is_empty() && self.waiting.is_empty() && self.blocked.is_empty()
    }
}

fn remove(sets: &mut BTreeMap<Track, BTreeSet<(Offset, LaneId)>>, track: Track, entry: (Offset, LaneId)) {
    if let Some(set) = sets.get_mut(&track) {
        set.remove(&entry);
        if set.is_empty() {
            sets.remove(&track);
        }
    }
}
