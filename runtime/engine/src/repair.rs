//! What a lane has missed is delivered by a run (P32): the ledger knows, and is asked.
//!
//! While the host reads, the shard goes on, and what is decided meanwhile may be in what it reads or not. So what is
//! asked for is only what can no longer change by itself: neither owed, nor waiting for a destination's word, nor the
//! live stream's to bring. Of these rows the ledger already says all that it will say before the next command, and that
//! one waits.

use crate::{
    Account, Action, Command, Engine, Reason,
    account::{no_beginning, reason},
    lane::Lane,
};
use outflow_api::{Applied, FeedId, LaneId, Offset, OffsetRange, Ranges, Revision, TopicPartition, Track};
use std::collections::BTreeMap;

/// More pieces than these would make a record that no transaction takes.
const PIECES_MAX: usize = 1_000;

type Missing = BTreeMap<TopicPartition, Ranges>;

/// A crash forgets it, and the next owner asks again.
pub(crate) struct Inquiry {
    command: Applied,
    /// `None`: it is being read.
    answer: Option<Result<Missing, Reason>>,
}

impl Engine {
    pub(crate) fn may_take_publications(&self) -> bool {
        let is_asking = self.inquiry.as_ref().is_some_and(|inquiry| inquiry.answer.is_none());
        !self.published.is_empty() && !is_asking && !self.is_searching()
    }

    /// Asks, unless it has asked.
    pub(crate) fn knows_missing(
        &mut self,
        command: &Command,
        ranges: &Missing,
        letters: u32,
        out: &mut Vec<Action>,
    ) -> bool {
        let mark = self.revisions.applied;
        if let Some(inquiry) = self.inquiry.as_ref().filter(|inquiry| inquiry.command == mark) {
            return inquiry.answer.is_some();
        }
        let lane = self.lanes.get(command.lane);
        if lane.is_some_and(|lane| !lane.ledger.is_empty()) {
            return false; // the ledger does not have it yet
        }
        let ranges = self.settled_within(lane, command.feed, ranges);
        let answer = ranges.is_empty().then(|| Ok(Missing::new()));
        if answer.is_none() {
            out.push(Action::ReadLedger { command: mark, lane: command.lane, ranges, letters });
        }
        let is_known = answer.is_some();
        self.inquiry = Some(Inquiry { command: mark, answer });
        is_known
    }

    /// What of the ranges is neither owed, nor decided without an outcome, nor the live stream's to bring, be it this
    /// owner's or the next one's, which begins at the floor.
    pub(crate) fn settled_within(&self, lane: Option<&Lane>, feed: FeedId, ranges: &Missing) -> Missing {
        let settled = ranges.iter().filter_map(|(key, ranges)| {
            let floor = self.tracks.get(&Track { feed, partition: *key })?.floor;
            let next = lane.and_then(|lane| lane.record.next.get(key)).copied();
            let mut ranges = ranges.clone();
            ranges.remove(OffsetRange::new(next.unwrap_or(floor).max(floor), Offset::OPEN));
            if let Some(lane) = lane {
                let runs = lane.record.runs.iter().filter_map(|run| run.owed.get(key));
                let owed = runs.chain(lane.record.owed.get(key));
                owed.for_each(|owed| ranges = ranges.minus(owed));
                let pending = lane.record.pending.as_ref().and_then(|pending| pending.covers.get(key));
                pending.into_iter().for_each(|range| ranges.remove(*range));
            }
            (!ranges.is_empty()).then_some((*key, ranges))
        });
        settled.collect()
    }

    pub(crate) fn ledger_read(&mut self, command: Applied, account: Result<Account, Reason>) {
        let own = self.incarnation;
        let Some(inquiry) = self.inquiry.as_mut().filter(|inquiry| inquiry.command == command) else { return };
        let missing = account.and_then(|account| match account.began() {
            Some(began) if began != own => Err(no_beginning()),
            _ => account.missing(),
        });
        let missing = missing.and_then(|missing| {
            let pieces: usize = missing.values().map(|ranges| ranges.as_slice().len()).sum();
            let hint =
                format!("what is missing lies in {pieces} pieces, allowed are {PIECES_MAX}: ask for fewer offsets");
            if pieces > PIECES_MAX { Err(reason("too-many-pieces", &hint)) } else { Ok(missing) }
        });
        inquiry.answer.get_or_insert(missing);
    }

    pub(crate) fn repair(&mut self, revision: Revision, lane: (LaneId, FeedId), by: Revision, out: &mut Vec<Action>) {
        let answer = self.inquiry.take().and_then(|inquiry| inquiry.answer);
        let outcome = answer.expect("the command waited for it").map(|mut missing| {
            // A feed that was retired meanwhile has nobody to read.
            missing.retain(|key, _| self.tracks.contains_key(&Track { feed: lane.1, partition: *key }));
            let offsets = missing.values().map(Ranges::offsets).sum();
            self.owe_run(lane, (revision, by), missing);
            offsets
        });
        out.push(Action::Repaired { lane: lane.0, run: revision, outcome });
    }
}
