//! What happened in the last hours. Events are the log's own lines, which each worker remembers for a while; any worker
//! answers for all.

mod hearing;
mod memory;

pub use hearing::Hearing;
pub use memory::Memory;

use crate::fleet::Fleet;
use async_trait::async_trait;
use outflow_control::{Event, EventPage, Refusal, Sought, now_ms, rfc3339};

/// The daemon's side of [`outflow_control::Events`].
pub struct Events {
    pub memory: Memory,
    pub fleet: Fleet,
}

impl Events {
    fn own(&self, sought: &Sought) -> EventPage {
        let worker = self.fleet.name();
        let (kept, since_ms) = self.memory.look(sought, worker, now_ms());
        let events: Vec<Event> = kept.iter().map(|kept| kept.told(worker)).collect();
        // Whether there is one more is found out by asking.
        let next = (events.len() == sought.limit).then(|| events.last().map(|last| last.id.clone())).flatten();
        EventPage { events, next, since: rfc3339(since_ms), workers: vec![worker.to_owned()] }
    }
}

#[async_trait]
impl outflow_control::Events for Events {
    async fn events(&self, sought: Sought) -> Result<EventPage, Refusal> {
        if sought.local {
            return Ok(self.own(&sought));
        }
        let others = self.fleet.ask::<EventPage>(&format!("v1/events?{}", sought.query())).await;
        Ok(merged([vec![self.own(&sought)], others].concat(), sought.limit))
    }
}

/// Each page has the newest of its worker, so the newest of all are among them.
fn merged(pages: Vec<EventPage>, limit: usize) -> EventPage {
    let mut all = EventPage::default();
    let has_more = pages.iter().any(|page| page.next.is_some());
    for page in pages {
        all.events.extend(page.events);
        all.workers.extend(page.workers);
        all.since = all.since.max(page.since);
    }
    all.events.sort_unstable_by(|one, other| other.id.cmp(&one.id));
    all.workers.sort_unstable();
    let is_cut = all.events.len() > limit;
    all.events.truncate(limit);
    all.next = all.events.last().map(|last| last.id.clone()).filter(|_| is_cut || has_more);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_control::EventLevel;

    const HOUR_MS: u64 = 3_600_000;

    fn worker(number: u64) -> (String, Memory) {
        let memory = Memory::new(0);
        // In turns, some at the same moment.
        for at in (number..30).step_by(2) {
            memory.note(memory::Said::of("lane-parked", EventLevel::Warn, &format!("{number}/{at}")), HOUR_MS + at / 4);
        }
        (format!("worker-{number}:8083"), memory)
    }

    fn page(workers: &[(String, Memory)], sought: &Sought) -> EventPage {
        let own = workers.iter().map(|(name, memory)| {
            let (kept, since_ms) = memory.look(sought, name, HOUR_MS);
            let events: Vec<Event> = kept.iter().map(|kept| kept.told(name)).collect();
            let next = (events.len() == sought.limit).then(|| events.last().map(|last| last.id.clone())).flatten();
            EventPage { events, next, since: rfc3339(since_ms), workers: vec![name.clone()] }
        });
        merged(own.collect(), sought.limit)
    }

    #[test]
    fn pages_of_several_workers_show_each_event_once_newest_first_though_new_ones_come_meanwhile() {
        for limit in [1, 2, 3, 7, 29, 30, 31, 100] {
            let workers = [worker(0), worker(1)];
            let (mut seen, mut sought) = (Vec::new(), Sought::of_all(limit));
            loop {
                let page = page(&workers, &sought);
                seen.extend(page.events.into_iter().map(|event| event.id));
                workers[1].1.note(memory::Said::of("circuit-opened", EventLevel::Warn, "new"), 2 * HOUR_MS);
                let Some(next) = page.next else { break };
                sought.after = Some(next);
            }
            assert_eq!(seen.len(), 30, "{limit}");
            assert!(seen.is_sorted_by(|one, other| one > other), "{limit}: {seen:?}");
        }
    }

    #[test]
    fn what_any_worker_may_have_forgotten_is_not_promised() {
        let page = |since: &str| EventPage { since: since.to_owned(), ..EventPage::default() };
        let all = merged(vec![page("2026-11-01T00:00:00.000Z"), page("2026-11-02T00:00:00.000Z")], 9);
        assert_eq!(all.since, "2026-11-02T00:00:00.000Z");
    }
}
