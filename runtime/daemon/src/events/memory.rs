//! Events of the last hours, within bounds. Who says much pushes out his own kind first.

use outflow_control::{Event, EventLevel, Sought, rfc3339};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const EVENTS_MAX: usize = 10_000;
const BYTES_MAX: usize = 4 * 1024 * 1024;
const AGE_MAX_MS: u64 = 24 * 3_600_000;

/// Cheap to clone.
#[derive(Clone)]
pub struct Memory(Arc<Mutex<Kinds>>);

struct Kinds {
    all: BTreeMap<String, Kind>,
    events: usize,
    bytes: usize,
    /// Of the next event.
    number: u64,
    /// Of the last one: later events are never older, whatever the clock does.
    at_ms: u64,
    started_ms: u64,
}

#[derive(Default)]
struct Kind {
    events: VecDeque<Arc<Kept>>,
    bytes: usize,
    /// Of the newest that had to go.
    gone_ms: Option<u64>,
}

/// One line of the log.
#[derive(Debug)]
pub struct Said {
    pub kind: String,
    pub level: EventLevel,
    pub code: Option<String>,
    pub connector: Option<String>,
    pub merchant: Option<String>,
    pub lane: Option<u32>,
    pub shard: Option<u32>,
    pub message: String,
    pub fields: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct Kept {
    at_ms: u64,
    number: u64,
    said: Said,
}

impl Said {
    pub fn of(kind: &str, level: EventLevel, message: &str) -> Said {
        Said {
            kind: kind.to_owned(),
            level,
            code: None,
            connector: None,
            merchant: None,
            lane: None,
            shard: None,
            message: message.to_owned(),
            fields: BTreeMap::new(),
        }
    }

    fn bytes(&self) -> usize {
        let texts = [&self.code, &self.connector, &self.merchant].map(|text| text.as_ref().map_or(0, String::len));
        let fields: usize = self.fields.iter().map(|(key, value)| key.len() + value.len()).sum();
        size_of::<Kept>() + self.kind.len() + self.message.len() + texts.iter().sum::<usize>() + fields
    }
}

impl Kept {
    fn is_sought(&self, sought: &Sought, worker: &str) -> bool {
        let Said { kind, level, code, connector, merchant, .. } = &self.said;
        let is = |wanted: &Option<String>, own: &Option<String>| wanted.is_none() || wanted == own;
        sought.since_ms.is_none_or(|since| self.at_ms >= since)
            && sought.kind.as_ref().is_none_or(|wanted| wanted == kind)
            && sought.level.is_none_or(|wanted| *level >= wanted)
            && is(&sought.code, code)
            && is(&sought.connector, connector)
            && is(&sought.merchant, merchant)
            && sought.after.as_ref().is_none_or(|after| self.id(worker) < *after)
    }

    fn id(&self, worker: &str) -> String {
        Event::id(self.at_ms, self.number, worker)
    }

    pub fn told(&self, worker: &str) -> Event {
        let Said { kind, level, code, connector, merchant, lane, shard, message, fields } = &self.said;
        Event {
            id: self.id(worker),
            at: rfc3339(self.at_ms),
            worker: worker.to_owned(),
            level: level.name().to_owned(),
            kind: kind.clone(),
            code: code.clone(),
            connector: connector.clone(),
            merchant: merchant.clone(),
            lane: *lane,
            shard: *shard,
            message: message.clone(),
            fields: fields.clone(),
        }
    }
}

impl Memory {
    pub fn new(started_ms: u64) -> Memory {
        let all = BTreeMap::new();
        Memory(Arc::new(Mutex::new(Kinds { all, events: 0, bytes: 0, number: 0, at_ms: started_ms, started_ms })))
    }

    pub fn note(&self, said: Said, now_ms: u64) {
        self.lock().note(said, now_ms);
    }

    /// Newest first; and since when nothing is missing of what is sought.
    pub fn look(&self, sought: &Sought, worker: &str, now_ms: u64) -> (Vec<Arc<Kept>>, u64) {
        let (mut kept, since_ms) = self.lock().look(sought.kind.as_deref(), now_ms);
        kept.retain(|kept| kept.is_sought(sought, worker));
        kept.sort_unstable_by_key(|kept| std::cmp::Reverse(kept.number));
        kept.truncate(sought.limit);
        (kept, since_ms)
    }

    fn lock(&self) -> MutexGuard<'_, Kinds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kinds {
    fn note(&mut self, said: Said, now_ms: u64) {
        self.at_ms = self.at_ms.max(now_ms);
        let bytes = said.bytes();
        let kept = Kept { at_ms: self.at_ms, number: self.number, said };
        self.number += 1;
        (self.events, self.bytes) = (self.events + 1, self.bytes + bytes);
        let kind = self.all.entry(kept.said.kind.clone()).or_default();
        kind.bytes += bytes;
        kind.events.push_back(Arc::new(kept));
        while self.events > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some(loudest) = self.all.values_mut().max_by_key(|kind| kind.bytes) else { return };
            let Some(gone) = loudest.forget() else { return };
            (self.events, self.bytes) = (self.events - 1, self.bytes - gone);
        }
    }

    /// All that is remembered of this kind, or of all.
    fn look(&mut self, kind: Option<&str>, now_ms: u64) -> (Vec<Arc<Kept>>, u64) {
        let oldest_ms = now_ms.saturating_sub(AGE_MAX_MS);
        for kind in self.all.values_mut() {
            while kind.events.front().is_some_and(|kept| kept.at_ms < oldest_ms) {
                let Some(gone) = kind.forget() else { break };
                (self.events, self.bytes) = (self.events - 1, self.bytes - gone);
            }
        }
        let sought = self.all.iter().filter(|(name, _)| kind.is_none_or(|wanted| wanted == *name));
        let gone_ms = sought.clone().filter_map(|(_, kind)| Some(kind.gone_ms? + 1)).max();
        let since_ms = gone_ms.unwrap_or_default().max(self.started_ms).max(oldest_ms);
        (sought.flat_map(|(_, kind)| kind.events.iter().cloned()).collect(), since_ms)
    }
}

impl Kind {
    /// The oldest; answers its bytes.
    fn forget(&mut self) -> Option<usize> {
        let gone = self.events.pop_front()?;
        let bytes = gone.said.bytes();
        self.bytes -= bytes;
        self.gone_ms = Some(gone.at_ms);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 100 * 3_600_000;

    fn said(kind: &str, message: impl Into<String>) -> Said {
        Said { message: message.into(), ..Said::of(kind, EventLevel::Warn, "") }
    }

    fn messages(memory: &Memory, sought: &Sought, now_ms: u64) -> Vec<String> {
        memory.look(sought, "w", now_ms).0.iter().map(|kept| kept.said.message.clone()).collect()
    }

    fn of_kind(kind: &str) -> Sought {
        Sought { kind: Some(kind.to_owned()), ..Sought::of_all(usize::MAX) }
    }

    #[test]
    fn a_flood_pushes_out_its_own_kind_alone_and_says_from_where_on_it_is_whole() {
        let memory = Memory::new(NOW_MS);
        memory.note(said("shard-owned", "rare"), NOW_MS + 1);
        for number in 0..(3 * EVENTS_MAX as u64) {
            memory.note(said("lane-parked", number.to_string()), NOW_MS + 2 + number);
        }
        assert_eq!(messages(&memory, &of_kind("shard-owned"), NOW_MS), ["rare"]);
        assert_eq!(memory.look(&of_kind("shard-owned"), "w", NOW_MS).1, NOW_MS, "nothing of it is gone");
        let (left, since_ms) = memory.look(&of_kind("lane-parked"), "w", NOW_MS);
        assert_eq!(left.len(), EVENTS_MAX - 1);
        assert_eq!(left.last().map(|oldest| oldest.at_ms), Some(since_ms));
    }

    #[test]
    fn however_long_events_are_their_bytes_are_bounded() {
        let memory = Memory::new(NOW_MS);
        for number in 0..1_000 {
            memory.note(said(if number % 2 == 0 { "a" } else { "b" }, "x".repeat(20_000)), NOW_MS);
        }
        let kinds = memory.lock();
        let bytes: usize = kinds.all.values().flat_map(|kind| &kind.events).map(|kept| kept.said.bytes()).sum();
        assert_eq!((bytes, kinds.bytes <= BYTES_MAX), (kinds.bytes, true));
        assert!(kinds.bytes > BYTES_MAX - 50_000, "and what fits is kept");
    }

    #[test]
    fn what_is_older_than_a_day_is_forgotten_and_that_is_said() {
        let memory = Memory::new(NOW_MS);
        memory.note(said("a", "old"), NOW_MS + 1_000);
        memory.note(said("a", "new"), NOW_MS + 3_000);
        let sought = Sought::of_all(9);
        assert_eq!(messages(&memory, &sought, NOW_MS + AGE_MAX_MS), ["new", "old"]);
        assert_eq!(messages(&memory, &sought, NOW_MS + AGE_MAX_MS + 2_000), ["new"]);
        assert_eq!(memory.look(&sought, "w", NOW_MS + AGE_MAX_MS + 2_000).1, NOW_MS + 2_000);
    }

    #[test]
    fn every_filter_leaves_what_fits_it_and_a_clock_that_falls_back_changes_no_order() {
        let memory = Memory::new(0);
        let merchant = |id: &str| Some(id.to_owned());
        memory.note(Said { merchant: merchant("1"), code: merchant("c"), ..said("a", "first") }, NOW_MS);
        memory.note(Said { merchant: merchant("2"), level: EventLevel::Info, ..said("a", "second") }, NOW_MS - 9_000);
        memory.note(Said { connector: merchant("orders"), level: EventLevel::Error, ..said("b", "third") }, NOW_MS + 9);
        let all = Sought::of_all(9);
        assert_eq!(messages(&memory, &all, NOW_MS), ["third", "second", "first"]);
        let told = |sought: Sought| messages(&memory, &sought, NOW_MS).join(" ");
        assert_eq!(told(Sought { merchant: merchant("1"), ..all.clone() }), "first");
        assert_eq!(told(Sought { code: merchant("c"), ..all.clone() }), "first");
        assert_eq!(told(Sought { connector: merchant("orders"), ..all.clone() }), "third");
        assert_eq!(told(Sought { level: Some(EventLevel::Warn), ..all.clone() }), "third first");
        assert_eq!(told(Sought { since_ms: Some(NOW_MS + 1), ..all.clone() }), "third");
        assert_eq!(told(Sought { limit: 2, ..all.clone() }), "third second");
        let after = Some(Event::id(NOW_MS + 9, 2, "w"));
        assert_eq!(told(Sought { after, ..all }), "second first");
    }
}
