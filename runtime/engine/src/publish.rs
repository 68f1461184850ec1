//! What the config log brings: definitions that take effect at an offset, and commands that take effect once.

use crate::{Act, Action, Command, Engine, Publication, lane::Lane};
use outflow_api::{
    Applied, FeedId, LaneId, LedgerEvent, LedgerRow, Offset, OffsetRange, Parked, Pins, Ranges, Revision,
    TopicPartition, Track,
};
use std::collections::BTreeMap;

impl Engine {
    /// In order; what was taken before, by us or by another owner, is not taken again.
    pub(crate) fn publish(&mut self, publication: Publication) {
        let taken = self.revisions.applied.revision;
        let waiting = self.published.back().map_or(taken, |last| last.revision.max(taken));
        let goes_on = publication.revision == taken && self.published.is_empty();
        if publication.revision > waiting || goes_on {
            self.published.push_back(publication);
        }
    }

    /// As many as one transaction can hold the effects of.
    pub(crate) fn take_publications(&mut self, out: &mut Vec<Action>) {
        let size = |engine: &Engine, id: &LaneId| engine.lanes.get(*id).map_or(0, Lane::decision_bytes);
        let mut bytes: usize = self.commanded.iter().map(|id| size(self, id)).sum();
        while let Some(publication) = self.published.pop_front() {
            let revision = publication.revision;
            if self.revisions.applied.revision < revision {
                self.revisions.applied = Applied { revision, commands: 0 };
                if publication.defines {
                    self.turn_revision(revision, publication.feeds.keys().map(|track| track.partition));
                    for (track, start) in &publication.feeds {
                        if !self.tracks.contains_key(track) {
                            let start = start.unwrap_or(self.revisions.newest_start(track.partition));
                            self.add_track(*track, start, out);
                        }
                    }
                }
            }
            let done = self.revisions.applied.commands as usize;
            for command in publication.commands.iter().skip(done) {
                let is_full = self.commanded.len() >= self.settings.lanes_per_decision_max
                    || !self.commanded.is_empty() && bytes > self.settings.bytes_per_decision_max;
                if is_full && !self.commanded.contains(&command.lane) {
                    return self.published.push_front(publication);
                }
                if let Act::Repair { ranges, letters, .. } = &command.act
                    && !self.knows_missing(command, ranges, *letters, out)
                {
                    return self.published.push_front(publication);
                }
                if let Act::Replace { ranges, .. } = &command.act
                    && !self.knows_deliveries(command, ranges, out)
                {
                    return self.published.push_front(publication);
                }
                self.obey(revision, command, out);
                bytes += size(self, &command.lane);
                self.revisions.applied.commands += 1;
            }
        }
    }

    fn obey(&mut self, revision: Revision, command: &Command, out: &mut Vec<Action>) {
        let Command { lane: id, feed, act } = command;
        let (id, feed) = (*id, *feed);
        match act {
            Act::History { from } => self.owe_history(revision, id, feed, from),
            Act::Replay { by, ranges } => self.owe_replay(revision, (id, feed), *by, ranges),
            Act::Repair { by, .. } => self.repair(revision, (id, feed), *by, out),
            Act::Replace { by, .. } => self.replace(revision, (id, feed), *by, out),
            Act::Mend => self.mend(revision, id, out),
            Act::Pause => {
                self.lanes.or_new(id, || Lane::new(feed));
                self.give_up_slot(id, out);
                self.fall_behind(id, out);
                let lane = self.lanes.get_mut(id).expect("just made");
                let hint = "paused by an operator: `resume` lets it go on".to_owned();
                lane.record.parked = Some(Parked { code: "paused".to_owned(), hint, held: true });
            }
            Act::Resume => self.release(id),
            Act::Skip => self.skip(id, out),
            Act::Abandon => self.abandon(id),
        }
        let Some(lane) = self.lanes.get_mut(id) else { return };
        lane.is_dirty = true;
        self.commanded.insert(id);
    }

    /// Up to where the live stream begins to know the lane: without gap or overlap.
    fn owe_history(&mut self, revision: Revision, id: LaneId, feed: FeedId, from: &BTreeMap<TopicPartition, Offset>) {
        let own = from.iter().filter(|(key, _)| self.tracks.contains_key(&Track { feed, partition: **key }));
        let ranges = own.map(|(key, from)| {
            let next = self.revisions.newest_start(*key);
            (*key, Ranges::of(OffsetRange::new((*from).min(next), next)))
        });
        let ranges = ranges.filter(|(_, ranges)| !ranges.is_empty()).collect();
        self.owe_run((id, feed), (revision, revision), ranges);
    }

    fn owe_replay(
        &mut self,
        revision: Revision,
        (id, feed): (LaneId, FeedId),
        by: Revision,
        ranges: &BTreeMap<TopicPartition, Ranges>,
    ) {
        // What is not read yet comes by itself; what the lane took before the reader was set back does not.
        let next = self.lanes.get(id).map(|lane| &lane.record.next);
        let read = ranges.iter().filter_map(|(key, ranges)| {
            let position = self.tracks.get(&Track { feed, partition: *key })?.position;
            let next = next.and_then(|next| next.get(key)).copied().unwrap_or(position);
            let mut ranges = ranges.clone();
            ranges.remove(OffsetRange::new(position.max(next), Offset::OPEN));
            (!ranges.is_empty()).then_some((*key, ranges))
        });
        let read = read.collect();
        self.owe_run((id, feed), (revision, by), read);
    }

    pub(crate) fn owe_run(
        &mut self,
        (lane, feed): (LaneId, FeedId),
        (id, by): (Revision, Revision),
        ranges: BTreeMap<TopicPartition, Ranges>,
    ) {
        if ranges.is_empty() {
            return;
        }
        let run = self.lanes.or_new(lane, || Lane::new(feed)).run(Some(id), Pins::to(by));
        for (key, ranges) in ranges {
            let owed = run.owed.entry(key).or_default();
            ranges.as_slice().iter().for_each(|range| owed.insert(*range));
        }
    }

    /// P21: what is owed and undecided becomes what the newest definitions say; whose it is, they are not asked.
    fn mend(&mut self, revision: Revision, id: LaneId, out: &mut Vec<Action>) {
        if self.lanes.get(id).is_none() {
            return;
        }
        self.give_up_slot(id, out);
        self.fall_behind(id, out);
        self.join(id);
        let lane = self.lanes.get_mut(id).expect("just seen");
        lane.reshape(revision);
        self.release(id);
    }

    fn release(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(id) else { return };
        lane.resume_at_ms = self.now_ms;
        match &mut lane.record.parked {
            Some(parked) if lane.reveal_stalled => parked.held = false,
            parked => *parked = None,
        }
    }

    /// Counted in the ledger as never delivered.
    fn skip(&mut self, id: LaneId, out: &mut Vec<Action>) {
        if self.lanes.get(id).is_none() {
            return;
        }
        self.give_up_slot(id, out);
        self.fall_behind(id, out);
        self.join(id);
        let batch = self.mint(id);
        let lane = self.lanes.get_mut(id).expect("just seen");
        let record = &mut lane.record;
        let runs = std::mem::take(&mut record.runs);
        record.spent.clear();
        let owed = std::mem::take(&mut record.owed);
        let all = [(None, owed)].into_iter().chain(runs.into_iter().map(|run| (run.id, run.owed)));
        for (run, owed) in all {
            for (key, range) in owed.iter().flat_map(|(key, owed)| owed.as_slice().iter().map(|range| (*key, *range))) {
                let covers = BTreeMap::from([(key, range)]);
                lane.ledger.push(LedgerRow { batch, event: LedgerEvent::Skipped { run, covers } });
            }
        }
        lane.call_off();
        if lane.record.parked.is_some() {
            // It is not live for that: what comes from here on is owed.
            self.fall_behind(id, out);
        }
    }

    /// P26. Without proof that it never becomes visible: whoever reads the ledger sees that nobody knows.
    fn abandon(&mut self, id: LaneId) {
        let pending = self.lanes.get(id).and_then(|lane| lane.record.pending.as_ref());
        let Some((batch, run)) = pending.map(|pending| (pending.id, pending.run)) else { return };
        self.close(batch, LedgerEvent::Abandoned);
        let lane = self.lanes.get_mut(id).expect("just seen");
        lane.refused.clear();
        // Nobody knows whether the new rows are visible: the old ones stay.
        if lane.record.replacing.as_ref().is_some_and(|replacing| Some(replacing.run) == run) {
            lane.call_off();
        }
    }

    /// What its lanes hold is all that they get. Nobody comes any more to what they have taken ahead of a reader that
    /// was set back.
    pub(crate) fn retire(&mut self, feed: FeedId) {
        for (partition, next) in
            self.lanes.iter().filter(|(_, lane)| lane.record.feed == feed).flat_map(|(_, lane)| &lane.record.next)
        {
            if let Some(cursor) = self.tracks.get_mut(&Track { feed, partition: *partition }) {
                cursor.position = cursor.position.max(*next);
            }
        }
        self.flush(feed);
        self.retired.insert(feed);
        if self.deciding.is_none() {
            self.forget_retired();
        }
    }

    /// A retired feed goes when nothing of it is left.
    pub(crate) fn forget_retired(&mut self) {
        let retired: Vec<FeedId> = self.retired.iter().copied().collect();
        for feed in retired {
            let own = self.tracks.iter().filter(|(track, _)| track.feed == feed);
            let is_read = own.clone().all(|(_, cursor)| cursor.floor == cursor.position);
            if is_read && self.lanes.iter().all(|(_, lane)| lane.record.feed != feed) {
                self.tracks.retain(|track, _| track.feed != feed);
                self.retired.remove(&feed);
            }
        }
    }
}
