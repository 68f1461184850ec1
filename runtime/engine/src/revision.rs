use crate::Engine;
use outflow_api::{Applied, Offset, Revision, RevisionRecord, TopicPartition};
use std::collections::BTreeMap;

/// Which definitions hold from which offset on (P18, P19), and how far the config log is taken.
#[derive(Default)]
pub(crate) struct Revisions {
    /// Rising, in force.
    known: Vec<Known>,
    pub applied: Applied,
    /// As the journal has it.
    applied_journaled: Applied,
}

struct Known {
    record: RevisionRecord,
    journaled: bool,
}

impl Revisions {
    pub fn recovered(records: Vec<RevisionRecord>, applied: Applied) -> Revisions {
        let known = records.into_iter().map(|record| Known { record, journaled: true }).collect();
        Revisions { known, applied, applied_journaled: applied }
    }

    pub fn has_unwritten(&self) -> bool {
        self.applied != self.applied_journaled || self.known.iter().any(|known| !known.journaled)
    }

    pub fn oldest(&self) -> Option<Revision> {
        self.known.first().map(|known| known.record.revision)
    }

    /// A partition that a revision does not name was added later: the revision holds from its start.
    fn start(record: &RevisionRecord, partition: TopicPartition) -> Offset {
        record.starts.get(&partition).copied().unwrap_or(Offset::ZERO)
    }

    /// Where the newest revision begins.
    pub fn newest_start(&self, partition: TopicPartition) -> Offset {
        self.known.last().map_or(Offset::ZERO, |known| Self::start(&known.record, partition))
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

    /// Waiting revisions fold into one: of two that begin at the same offsets the first never routes a row.
    pub fn turn(&mut self, record: RevisionRecord) {
        self.known.pop_if(|last| !last.journaled && last.record.starts == record.starts);
        self.known.push(Known { record, journaled: false });
    }

    /// Only a transaction that is done forgets: should the journal refuse it, rows below its floors are read again.
    pub fn written(&mut self, gone: &[Revision], applied: Option<Applied>) {
        self.forget(gone);
        self.known.iter_mut().for_each(|known| known.journaled = true);
        self.applied_journaled = applied.unwrap_or(self.applied_journaled);
    }

    pub fn forget(&mut self, gone: &[Revision]) {
        self.known.retain(|known| !gone.contains(&known.record.revision));
    }

    pub fn unwritten(&self) -> Vec<RevisionRecord> {
        self.known.iter().filter(|known| !known.journaled).map(|known| known.record.clone()).collect()
    }

    pub fn unwritten_applied(&self) -> Option<Applied> {
        (self.applied != self.applied_journaled).then_some(self.applied)
    }

    /// Those that no row which anybody may still read was routed by.
    fn outlived(&self, needed: &BTreeMap<TopicPartition, Offset>) -> usize {
        let past =
            |next: &Known| next.journaled && needed.iter().all(|(key, need)| Self::start(&next.record, *key) <= *need);
        self.known.iter().skip(1).take_while(|next| past(next)).count()
    }
}

impl Engine {
    /// The definitions take effect here and now; their record goes into the transaction that is being made, so it never
    /// comes after a batch that was routed by them.
    pub(crate) fn turn_revision(&mut self, revision: Revision, partitions: impl Iterator<Item = TopicPartition>) {
        let mut starts: BTreeMap<TopicPartition, Offset> = partitions.map(|key| (key, Offset::ZERO)).collect();
        let mut raise = |key: TopicPartition, to: Offset| {
            starts.entry(key).and_modify(|start| *start = to.max(*start)).or_insert(to);
        };
        for (track, cursor) in &self.tracks {
            raise(track.partition, cursor.position);
            raise(track.partition, self.revisions.newest_start(track.partition));
        }
        // Behind the highest `next`: a lane that is ahead of the reader (after a crash) took its rows up to there under
        // the older definitions; another routing of the same rows would deliver them twice.
        for (key, next) in self.lanes.iter().flat_map(|(_, lane)| &lane.record.next) {
            raise(*key, *next);
        }
        self.revisions.turn(RevisionRecord { revision, starts });
    }

    /// Revisions that end below everything that may be read again: floors, debts, batches. The floors are those of the
    /// journal: a lane that falls behind while higher ones are being written owes from there.
    pub(crate) fn outlived_revisions(&mut self) -> Vec<Revision> {
        let since_ms = self.now_ms.saturating_sub(self.outlived_at_ms);
        if self.revisions.known.len() < 2 || since_ms < self.settings.floor_ms {
            return Vec::new();
        }
        self.outlived_at_ms = self.now_ms;
        let mut needed: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
        let again = self.agenda.read_again.iter().filter_map(|(track, rows)| Some((*track, rows.first()?.0)));
        for (track, start) in self.floors().chain(again) {
            needed.entry(track.partition).and_modify(|need| *need = start.min(*need)).or_insert(start);
        }
        let outlived = self.revisions.outlived(&needed);
        self.revisions.known[..outlived].iter().map(|known| known.record.revision).collect()
    }
}
