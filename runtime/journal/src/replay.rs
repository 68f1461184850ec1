use crate::{
    key::{Key, hex, unreadable},
    value::{self, read},
};
use outflow_api::{
    Applied, Fault, Generation, Incarnation, LaneId, LaneRecord, Offset, Recovered, Revision, RevisionRecord, Track,
};
use std::collections::{BTreeMap, HashMap};

/// Reads a journal from its start to a barrier; the last value per key wins.
#[derive(Default)]
pub struct Replay {
    floors: BTreeMap<Track, Offset>,
    lanes: BTreeMap<LaneId, LaneRecord>,
    revisions: BTreeMap<Revision, RevisionRecord>,
    applied: Applied,
    incarnation: Option<Incarnation>,
    /// One per change of ownership that compaction has not removed yet.
    barriers: HashMap<u128, i64>,
}

impl Replay {
    pub fn new() -> Replay {
        Replay::default()
    }

    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>, journal_offset: i64) -> Result<(), Fault> {
        let place = |name: &str| format!("{name} at journal offset {journal_offset}");
        let decoded =
            Key::decode(key).map_err(|found| unreadable(place(&format!("the unknown key {}", hex(key))), found))?;
        let done = match value {
            Some(value) => self.set(decoded, value, journal_offset),
            None => self.forget(decoded),
        };
        done.map_err(|found| unreadable(place(&decoded.to_string()), found))
    }

    fn set(&mut self, key: Key, value: &[u8], journal_offset: i64) -> Result<(), String> {
        match key {
            Key::Lane(lane) => drop(self.lanes.insert(lane, value::read_lane(value)?)),
            Key::Floors => self.floors = read(value, value::read_floors)?,
            Key::Revision(revision) => {
                let record = read(value, |input| value::read_revision(revision, input))?;
                self.revisions.insert(revision, record);
            }
            Key::Applied => self.applied = read(value, value::read_applied)?,
            Key::Incarnation => self.incarnation = Some(read(value, value::read_incarnation)?),
            Key::Barrier => drop(self.barriers.insert(read(value, value::read_barrier)?, journal_offset)),
        }
        Ok(())
    }

    fn forget(&mut self, key: Key) -> Result<(), String> {
        match key {
            Key::Lane(lane) => drop(self.lanes.remove(&lane)),
            Key::Revision(revision) => drop(self.revisions.remove(&revision)),
            Key::Floors | Key::Incarnation | Key::Barrier | Key::Applied => {
                return Err("a tombstone, where none is ever written".to_owned());
            }
        }
        Ok(())
    }

    /// Journal offset of the barrier with this nonce, once it was read.
    pub fn saw(&self, nonce: u128) -> Option<i64> {
        self.barriers.get(&nonce).copied()
    }

    /// `None` in a new journal: its owner draws one, writes it, and gives it to [`apply`](Replay::apply) too.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.incarnation
    }

    /// # Panics
    /// If no incarnation was read: batches would be named like those of another journal.
    pub fn finish(self, generation: Generation, bytes_read: u64) -> Recovered {
        let Replay { floors, lanes, revisions, applied, incarnation, barriers: _ } = self;
        let incarnation = incarnation.expect("the owner of a new journal writes an incarnation and applies it");
        let revisions = revisions.into_values().collect();
        Recovered { incarnation, generation, floors, lanes, revisions, applied, bytes_read }
    }
}
