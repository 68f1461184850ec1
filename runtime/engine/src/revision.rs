use crate::Engine;
use bytes::Bytes;
use outflow_api::{Offset, Revision, RevisionRecord, TopicPartition};
use std::collections::BTreeMap;

/// Which definitions hold from which offset on (P18, P19).
#[derive(Default)]
pub(crate) struct Revisions {
    /// Rising, in force.
    known: Vec<Known>,
    /// Waiting ones fold into the newest.
    waiting: Option<(Revision, Bytes)>,
}

struct Known {
    record: RevisionRecord,
    journaled: bool,
}

impl Revisions {
    pub fn recovered(records: Vec<RevisionRecord>) -> Revisions {
        let known = records.into_iter().map(|record| Known { record, journaled: true }).collect();
        Revisions { known, waiting: None }
    }

    pub fn wait(&mut self, revision: Revision, content: Bytes) {
        let newest = self.waiting.as_ref().map(|(revision, _)| *revision).or(self.newest());
        if newest.is_none_or(|newest| newest < revision) {
            self.waiting = Some((revision, content));
        }
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some() || self.known.iter().any(|known| !known.journaled)
    }

    fn newest(&self) -> Option<Revision> {
        self.known.last().map(|known| known.record.revision)
    }

    /// A partition that a revision does not name was added later: the revision holds from its start.
    fn start(record: &RevisionRecord, partition: TopicPartition) -> Offset {
        record.starts.get(&partition).copied().unwrap_or(Offset::ZERO)
    }

    pub fn at(&self, partition: TopicPartition, offset: Offset) -> Option<Revision> {
        let holds = |known: &&Known| Self::start(&known.record, partition) <= offset;
        self.known.iter().rev().find(holds).or(self.known.first()).map(|known| known.record.revision)
    }

    pub fn ends(&self, partition: TopicPartition, offset: Offset) -> Offset {
        let later =
            self.known.iter().map(|known| Self::start(&known.record, partition)).filter(|start| *start > offset);
        later.min().unwrap_or(Offset::OPEN)
    }

    /// Only a transaction that is done forgets: should the journal refuse it, rows below its floors are read again.
    pub fn written(&mut self, gone: &[Revision]) {
        self.forget(gone);
        self.known.iter_mut().for_each(|known| known.journaled = true);
    }

    pub fn forget(&mut self, gone: &[Revision]) {
        self.known.retain(|known| !gone.contains(&known.record.revision));
    }

    pub fn unwritten(&self) -> Vec<RevisionRecord> {
        self.known.iter().filter(|known| !known.journaled).map(|known| known.record.clone()).collect()
    }

    /// Those that no row which anybody may still read was routed by.
    fn outlived(&self, needed: &BTreeMap<TopicPartition, Offset>) -> usize {
        let past =
            |next: &Known| next.journaled && needed.iter().all(|(key, need)| Self::start(&next.record, *key) <= *need);
        self.known.iter().skip(1).take_while(|next| past(next)).count()
    }
}

impl Engine {
    /// The waiting definitions take effect here and now; their record goes into the transaction that is being made,
    /// so it never comes after a batch that was routed by them.
    pub(crate) fn turn_revision(&mut self) {
        let Some((revision, content)) = self.revisions.waiting.take() else { return };
        let starts = self.partitions.iter().map(|(key, partition)| {
            // Behind the highest `next`: a lane that is ahead of the reader (after a crash) took its rows up to there
            // under the older definitions; another routing of the same rows would deliver them twice.
            let nexts = self.lanes.values().filter_map(|lane| lane.record.next.get(key).copied());
            let before = self.revisions.known.last().map(|known| Revisions::start(&known.record, *key));
            (*key, nexts.chain(before).fold(partition.position, Offset::max))
        });
        let record = RevisionRecord { revision, starts: starts.collect(), content };
        self.revisions.known.push(Known { record, journaled: false });
    }

    /// Revisions that end below everything that may be read again: floors, debts, batches. The floors are those of the
    /// journal: a lane that falls behind while higher ones are being written owes from there. Batches count before
    /// they are decided: one that was sealed at a lower floor covers what is below today's.
    pub(crate) fn outlived_revisions(&self) -> Vec<Revision> {
        if self.revisions.known.len() < 2 {
            return Vec::new();
        }
        let mut needed: BTreeMap<TopicPartition, Offset> = self.floors().collect();
        for lane in self.lanes.values() {
            let records = || lane.journaled.iter().chain([&lane.record]);
            let owed = records().flat_map(|record| &record.owed);
            let owed = owed.filter_map(|(key, owed)| Some((*key, owed.first()?.start)));
            let pending = records().filter_map(|record| record.pending.as_ref()).map(|pending| &pending.covers);
            let covers = pending.chain(lane.slot.iter().map(|batch| &batch.covers)).flatten();
            for (key, start) in owed.chain(covers.map(|(key, range)| (*key, range.start))) {
                needed.entry(key).and_modify(|need| *need = start.min(*need)).or_insert(start);
            }
        }
        let outlived = self.revisions.outlived(&needed);
        self.revisions.known[..outlived].iter().map(|known| known.record.revision).collect()
    }
}
