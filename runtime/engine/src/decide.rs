use crate::{
    Action, Decision, Engine, Letters,
    lane::{Batch, Lane, Stage},
};
use outflow_api::{LaneId, LaneRecord, LedgerEvent, LedgerRow, Offset, OffsetRange, Pending, Revision, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// The transaction that is under way: at most one.
pub(crate) struct Deciding {
    pub lanes: BTreeMap<LaneId, Option<LaneRecord>>,
    pub floors: BTreeMap<TopicPartition, Offset>,
    /// Lanes whose batch it decides.
    pub batches: BTreeSet<LaneId>,
    /// Lanes whose refused rows it takes to the dead letters.
    pub refused: BTreeSet<LaneId>,
    pub ledger: Vec<LedgerRow>,
    pub revisions_gone: Vec<Revision>,
}

impl Engine {
    /// One transaction per tick takes all lanes that are ready, as far as it may grow (P11).
    pub(crate) fn propose(&mut self, out: &mut Vec<Action>) {
        if self.stopped || self.deciding.is_some() {
            return;
        }
        let since_ms = self.now_ms.saturating_sub(self.decided_at_ms);
        let has_work = !self.dirty.is_empty() || self.revisions.is_waiting() || self.lanes.values().any(Lane::is_ready);
        let tick = since_ms >= self.settings.tick_ms || self.draining;
        let floors_alone = since_ms >= self.settings.floor_ms && !has_work;
        if !(has_work && tick || floors_alone) {
            return;
        }
        self.turn_revision();
        let included = self.choose();
        let mut decision = Decision::default();
        let (mut batches, mut refused) = (BTreeSet::new(), BTreeSet::new());
        for id in &included {
            let lane = self.lanes.get_mut(id).expect("just chosen");
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
        let floors = self.floors_with(&included);
        let forgotten = self.settled_below(&floors, &included);
        self.dirty.retain(|id| !included.contains(id));
        let floor_of = |key: TopicPartition| floors.get(&key).copied();
        let records = included.iter().chain(&forgotten).map(|id| {
            let record = &self.lanes[id].record;
            (*id, (!record.says_nothing(floor_of)).then(|| record.clone()))
        });
        let lanes: BTreeMap<_, _> = records.collect();
        let transaction = &mut decision.transaction;
        transaction.lanes = lanes.iter().map(|(id, record)| (*id, record.clone())).collect();
        if self.partitions.iter().any(|(key, partition)| !partition.journaled || floors[key] != partition.floor) {
            transaction.floors = floors.clone();
        }
        transaction.revisions = self.revisions.unwritten();
        transaction.revisions_gone = self.outlived_revisions();
        self.decided_at_ms = self.now_ms;
        if decision == Decision::default() {
            return;
        }
        let ledger = decision.transaction.ledger.clone();
        let revisions_gone = decision.transaction.revisions_gone.clone();
        self.deciding = Some(Deciding { lanes, floors, batches, refused, ledger, revisions_gone });
        out.push(Action::Append(decision));
    }

    /// Ready and dirty lanes, beginning where the last transaction ended, so that none starves behind the limit.
    fn choose(&mut self) -> BTreeSet<LaneId> {
        let last = self.chosen_last;
        let waiting = |(id, lane): &(&LaneId, &Lane)| self.dirty.contains(id) || lane.is_ready();
        let behind = self.lanes.range(..=last).filter(waiting);
        let ahead = self.lanes.iter().filter(|(id, _)| **id > last).filter(waiting);
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        for (id, lane) in ahead.chain(behind) {
            bytes += lane.decision_bytes();
            let full =
                chosen.len() >= self.settings.lanes_per_decision_max || bytes > self.settings.bytes_per_decision_max;
            if full && !chosen.is_empty() {
                break;
            }
            chosen.push(*id);
        }
        self.chosen_last = chosen.last().copied().unwrap_or(last);
        chosen.into_iter().collect()
    }

    /// Lanes of which the journal remembers only what the floor says better.
    fn settled_below(&self, floors: &BTreeMap<TopicPartition, Offset>, included: &BTreeSet<LaneId>) -> Vec<LaneId> {
        let floor_of = |key: TopicPartition| floors.get(&key).copied();
        let settled = self.lanes.iter().filter(|(id, lane)| {
            let recorded = lane.journaled.is_some() && !self.dirty.contains(id) && !included.contains(id);
            recorded && lane.record.says_nothing(floor_of)
        });
        let room = self.settings.lanes_per_decision_max.saturating_sub(included.len());
        settled.map(|(id, _)| *id).take(room).collect()
    }
}

impl Lane {
    /// The record says from now on that the batch is decided; the transaction makes it true.
    fn enter_decision(&mut self) -> Option<Letters> {
        let Batch { stage, debt, version, covers, since_ms } = self.slot.take().expect("a ready lane has a batch");
        let Stage::Prepared(ready) = stage else { unreachable!("a ready lane's batch is prepared") };
        assert!(self.record.pending.is_none(), "at most one batch is decided and not revealed");
        let id = ready.prepared.id;
        let spent = self.spent_in(&covers);
        self.record.pending = Some(Pending {
            id,
            token: ready.prepared.token.clone(),
            covers: covers.clone(),
            version,
            rejected: ready.rejected.clone(),
            rows: ready.rows,
            rows_hash: ready.rows_hash,
        });
        self.decided(&covers);
        let rejected: u64 = ready.rejected.values().map(|offsets| offsets.len() as u64).sum();
        let (rows, rows_hash) = (ready.rows, ready.rows_hash);
        let event = LedgerEvent::Decided { covers: covers.clone(), version, rows, rejected, rows_hash };
        self.ledger.push(LedgerRow { batch: id, event });
        // The dead letters of spent rows are out.
        let mut fresh = ready.rejected.clone();
        for (key, spent) in &spent {
            fresh.entry(*key).or_default().retain(|offset| !spent.contains(offset));
        }
        fresh.retain(|_, offsets| !offsets.is_empty());
        self.slot = Some(Batch { stage: Stage::Deciding { ready, spent }, debt, version, covers, since_ms });
        (!fresh.is_empty()).then_some(Letters { batch: id, rows: fresh })
    }

    fn spent_in(&self, covers: &BTreeMap<TopicPartition, OffsetRange>) -> BTreeMap<TopicPartition, Vec<Offset>> {
        let within = covers.iter().filter_map(|(key, range)| {
            let spent = self.record.spent.get(key)?.iter().filter(|offset| range.contains(**offset));
            Some((*key, spent.copied().collect::<Vec<_>>())).filter(|(_, spent)| !spent.is_empty())
        });
        within.collect()
    }

    /// An upper estimate of what the lane adds to a transaction.
    fn decision_bytes(&self) -> usize {
        let ranges: usize = self.record.owed.values().map(|owed| owed.as_slice().len()).sum();
        let mut bytes = 256 + 64 * (ranges + self.record.next.len());
        bytes += self.record.pending.as_ref().map_or(0, |pending| pending.token.len() + 64 * pending.covers.len());
        if let Some(Batch { stage: Stage::Prepared(ready), covers, .. }) = &self.slot {
            let rejected: usize = ready.rejected.values().map(Vec::len).sum();
            bytes += ready.prepared.token.len() + 128 * covers.len() + 16 * rejected + ready.letter_bytes;
        }
        bytes
    }
}
