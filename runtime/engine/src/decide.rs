use crate::{
    Action, Decision, Engine, Letters,
    engine::Cursor,
    lane::{Batch, Lane, Rows, Stage},
};
use outflow_api::{
    Applied, LaneId, LaneRecord, LedgerEvent, LedgerRow, Offset, OffsetRange, Pending, Revision, TopicPartition, Track,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// The transaction that is under way: at most one.
pub(crate) struct Deciding {
    pub lanes: BTreeMap<LaneId, Option<LaneRecord>>,
    pub floors: BTreeMap<Track, Offset>,
    /// Lanes whose batch it decides.
    pub batches: BTreeSet<LaneId>,
    /// Lanes whose refused rows it takes to the dead letters.
    pub refused: BTreeSet<LaneId>,
    pub ledger: Vec<LedgerRow>,
    pub revisions_gone: Vec<Revision>,
    pub applied: Option<Applied>,
}

impl Engine {
    /// One transaction per tick takes all lanes that are ready, as far as it may grow (P11).
    pub(crate) fn propose(&mut self, out: &mut Vec<Action>) {
        if self.stopped || self.deciding.is_some() {
            return;
        }
        let since_ms = self.now_ms.saturating_sub(self.decided_at_ms);
        let has_news = self.may_take_publications() || self.revisions.has_unwritten();
        let has_work = has_news || !self.agenda.waiting.is_empty();
        let tick = since_ms >= self.settings.tick_ms || self.draining;
        let floors_alone = since_ms >= self.settings.floor_ms && !has_work;
        if !(has_work && tick || floors_alone) {
            return;
        }
        self.take_publications(out);
        self.note_changes();
        let included = self.choose();
        let mut decision = Decision::default();
        let (mut batches, mut refused) = (BTreeSet::new(), BTreeSet::new());
        for id in &included {
            let lane = self.lanes.get_mut(*id).expect("just chosen");
            if !lane.refused.is_empty() {
                let batch = lane.record.pending.as_ref().expect("refused rows belong to a pending batch").id;
                decision.letters.push(Letters { batch, rows: lane.refused.clone() });
                refused.insert(*id);
            }
            if lane.is_ready() {
                decision.letters.extend(lane.enter_decision());
                batches.insert(*id);
            }
            decision.transaction.ledger.append(&mut lane.ledger);
        }
        // A batch that is being decided holds no floor any more.
        self.note_changes();
        let floors = self.floors_with(&included);
        let forgotten = self.settled_below(&floors, &included);
        let floor_of = |track: Track| floors.get(&track).copied();
        let records = included.iter().chain(&forgotten).map(|id| {
            let lane = self.lanes.get_mut(*id).expect("just chosen");
            lane.is_dirty = false;
            (*id, (!lane.record.says_nothing(floor_of)).then(|| lane.record.clone()))
        });
        let lanes: BTreeMap<_, _> = records.collect();
        let transaction = &mut decision.transaction;
        transaction.lanes = lanes.iter().map(|(id, record)| (*id, record.clone())).collect();
        let is_news = |(track, cursor): (&Track, &Cursor)| !cursor.journaled || floors[track] != cursor.floor;
        if self.tracks.len() < self.tracks_journaled || self.tracks.iter().any(is_news) {
            transaction.floors = floors.clone();
        }
        transaction.revisions = self.revisions.unwritten();
        transaction.revisions_gone = self.outlived_revisions();
        transaction.applied = self.revisions.unwritten_applied();
        self.decided_at_ms = self.now_ms;
        if decision == Decision::default() {
            return;
        }
        let (ledger, applied) = (decision.transaction.ledger.clone(), decision.transaction.applied);
        let revisions_gone = decision.transaction.revisions_gone.clone();
        self.deciding = Some(Deciding { lanes, floors, batches, refused, ledger, revisions_gone, applied });
        out.push(Action::Append(decision));
    }

    /// Ready and dirty lanes, beginning where the last transaction ended, so that none starves behind the limit; but
    /// those first that must not come later than the mark of what is applied (P31).
    fn choose(&mut self) -> BTreeSet<LaneId> {
        let mut chosen = self.commanded.clone();
        let size = |id: &LaneId| self.lanes.get(*id).map_or(0, Lane::decision_bytes);
        let mut bytes: usize = chosen.iter().map(size).sum();
        let last = self.chosen_last;
        let waiting = &self.agenda.waiting;
        let (behind, ahead) = (waiting.range(..=last), waiting.range((Bound::Excluded(last), Bound::Unbounded)));
        for id in ahead.chain(behind) {
            if chosen.contains(id) {
                continue;
            }
            bytes += size(id);
            let full =
                chosen.len() >= self.settings.lanes_per_decision_max || bytes > self.settings.bytes_per_decision_max;
            if full && !chosen.is_empty() {
                break;
            }
            chosen.insert(*id);
            self.chosen_last = *id;
        }
        chosen
    }

    /// Lanes of which the journal remembers only what the floor says better.
    fn settled_below(&mut self, floors: &BTreeMap<Track, Offset>, included: &BTreeSet<LaneId>) -> Vec<LaneId> {
        let floor_of = |track: Track| floors.get(&track).copied();
        let room = self.settings.lanes_per_decision_max.saturating_sub(included.len());
        let mut settled = Vec::new();
        for (track, floor) in floors {
            let rest = self.agenda.rest.get(track).into_iter().flatten();
            let passed: Vec<LaneId> = rest.take_while(|(next, _)| next <= floor).map(|(_, id)| *id).collect();
            for id in passed {
                if settled.len() >= room {
                    return settled;
                }
                let record = &self.lanes.get(id).expect("who rests is there").record;
                let mut nexts = record
                    .next
                    .iter()
                    .map(|(partition, next)| (Track { feed: record.feed, partition: *partition }, *next));
                match nexts.find(|(track, next)| floor_of(*track).is_none_or(|floor| floor < *next)) {
                    None => settled.push(id),
                    Some((track, next)) => self.agenda.rest_on(id, track, next),
                }
            }
        }
        settled
    }
}

impl Lane {
    /// The record says from now on that the batch is decided; the transaction makes it true.
    fn enter_decision(&mut self) -> Option<Letters> {
        let Batch { stage, rows, version, covers } = self.slot.take().expect("a ready lane has a batch");
        let Stage::Prepared(ready) = stage else { unreachable!("a ready lane's batch is prepared") };
        assert!(self.record.pending.is_none(), "at most one batch is decided and not revealed");
        let id = ready.prepared.id;
        let spent = self.spent_in(rows, &covers);
        let (run, by) = (rows.run(), rows.by());
        self.record.pending = Some(Pending {
            id,
            token: ready.prepared.token.clone(),
            covers: covers.clone(),
            version,
            run,
            by,
            rejected: ready.rejected.clone(),
            rows: ready.rows,
            rows_hash: ready.rows_hash,
        });
        self.decided(rows, &covers);
        let rejected: u64 = ready.rejected.values().map(|offsets| offsets.len() as u64).sum();
        self.ledger.push(LedgerRow {
            batch: id,
            event: LedgerEvent::Decided {
                covers: covers.clone(),
                version,
                run,
                rows: ready.rows,
                rejected,
                rows_hash: ready.rows_hash,
                receipt: ready.receipt.clone(),
            },
        });
        // The dead letters of spent rows are out.
        let mut fresh = ready.rejected.clone();
        for (key, spent) in &spent {
            fresh.entry(*key).or_default().retain(|offset| !spent.contains(offset));
        }
        fresh.retain(|_, offsets| !offsets.is_empty());
        self.slot = Some(Batch { stage: Stage::Deciding { ready, spent }, rows, version, covers });
        (!fresh.is_empty()).then_some(Letters { batch: id, rows: fresh })
    }

    fn spent_in(
        &self,
        rows: Rows,
        covers: &BTreeMap<TopicPartition, OffsetRange>,
    ) -> BTreeMap<TopicPartition, Vec<Offset>> {
        let within = covers.iter().filter_map(|(key, range)| {
            let spent = self.spent(rows)?.get(key)?.iter().filter(|offset| range.contains(**offset));
            Some((*key, spent.copied().collect::<Vec<_>>())).filter(|(_, spent)| !spent.is_empty())
        });
        within.collect()
    }

    /// An upper estimate of what the lane adds to a transaction.
    pub(crate) fn decision_bytes(&self) -> usize {
        let owed = self.record.owed.values().chain(self.record.runs.iter().flat_map(|run| run.owed.values()));
        let ranges: usize = owed.map(|owed| owed.as_slice().len()).sum();
        let mut bytes = 256 + 64 * (ranges + self.record.next.len());
        bytes += self.record.parked.as_ref().map_or(0, |parked| parked.code.len() + parked.hint.len());
        let old = self.record.replacing.iter().flat_map(|replacing| &replacing.old);
        bytes += old.map(|old| 40 + old.receipt.len()).sum::<usize>();
        bytes += self.record.pending.as_ref().map_or(0, |pending| pending.token.len() + 64 * pending.covers.len());
        if let Some(Batch { stage: Stage::Prepared(ready), covers, .. }) = &self.slot {
            let rejected: usize = ready.rejected.values().map(Vec::len).sum();
            bytes += ready.prepared.token.len()
                + ready.receipt.len()
                + 128 * covers.len()
                + 16 * rejected
                + ready.letter_bytes;
        }
        bytes
    }
}
