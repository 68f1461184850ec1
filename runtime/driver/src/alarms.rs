//! Who alarms, and of whom the log says so: each once, some a minute by name, the others as a number.

use std::collections::BTreeSet;

const NAMED_MAX: u64 = 10;
const MINUTE_MS: u64 = 60_000;

pub(crate) struct Alarms<K> {
    on: BTreeSet<K>,
    /// Of this minute, which began then.
    named: u64,
    since_ms: Option<u64>,
    /// Of this minute, not named.
    more: u64,
}

/// What the log says now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Say<K> {
    pub named: Vec<K>,
    /// Of the minute before: so many were not named.
    pub more: u64,
}

impl<K> Default for Alarms<K> {
    fn default() -> Alarms<K> {
        Alarms { on: BTreeSet::new(), named: 0, since_ms: None, more: 0 }
    }
}

impl<K: Copy + Ord> Alarms<K> {
    /// All that alarm now; whoever stops and starts again is said again.
    pub fn see(&mut self, now: BTreeSet<K>, now_ms: u64) -> Say<K> {
        let is_over = self.since_ms.is_none_or(|since| now_ms.saturating_sub(since) >= MINUTE_MS);
        let mut more = 0;
        if is_over {
            more = std::mem::take(&mut self.more);
            (self.named, self.since_ms) = (0, Some(now_ms));
        }
        let mut named = Vec::new();
        for key in now.difference(&self.on) {
            if self.named < NAMED_MAX {
                self.named += 1;
                named.push(*key);
            } else {
                self.more += 1;
            }
        }
        self.on = now;
        Say { named, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(named: impl IntoIterator<Item = u32>, more: u64) -> Say<u32> {
        Say { named: named.into_iter().collect(), more }
    }

    #[test]
    fn each_is_said_once_until_it_is_over_and_comes_again() {
        let mut alarms = Alarms::default();
        assert_eq!(alarms.see([1, 2].into(), 0), say([1, 2], 0));
        assert_eq!(alarms.see([1, 2, 3].into(), 5_000), say([3], 0));
        assert_eq!(alarms.see([2].into(), 10_000), say([], 0));
        assert_eq!(alarms.see([1, 2].into(), 15_000), say([1], 0));
    }

    #[test]
    fn a_flood_is_some_names_a_minute_and_a_number() {
        let mut alarms = Alarms::default();
        assert_eq!(alarms.see((0..50_000).collect(), 0), say(0..10, 0));
        assert_eq!(alarms.see((0..50_001).collect(), 59_999), say([], 0));
        assert_eq!(alarms.see((0..50_002).collect(), 60_000), say([50_001], 49_991));
        assert_eq!(alarms.see((0..50_002).collect(), 120_000), say([], 0));
    }
}
