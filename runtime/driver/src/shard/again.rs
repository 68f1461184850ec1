//! What a shard does with rows that are read again: debts, runs, and decided batches whose rows are gone from memory.

use super::*;
use crate::{
    pass::{Found, Want},
    refusals,
    route::Shares,
    rows::Waiting,
};
use outflow_api::Sink;
use outflow_engine::too_many_rejects;
use std::sync::atomic::{AtomicBool, Ordering};

/// A decided batch that cannot be tried now.
const LATER: Duration = Duration::from_secs(5);

/// Requests for rows, by the batch that they are for.
#[derive(Default)]
pub(crate) struct Again {
    debts: HashMap<BatchId, (TopicPartition, Want, Vec<Offset>)>,
    reveals: HashMap<BatchId, Reveal>,
    /// Whose commits are being tried; true once nobody wants them any more.
    tries: HashMap<BatchId, Arc<AtomicBool>>,
}

/// A decided batch whose rows are read again, each partition by itself.
struct Reveal {
    permit: CommitPermit,
    pending: Pending,
    lane: OpenLane,
    wants: BTreeMap<TopicPartition, Want>,
    found: Waiting,
}

impl Again {
    pub fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        let reveals = self.reveals.values().flat_map(|reveal| reveal.wants.keys());
        self.debts.values().map(|(partition, ..)| *partition).chain(reveals.copied())
    }

    pub fn needs(&self, partition: TopicPartition) -> impl Iterator<Item = (Offset, Offset)> {
        let debts = self.debts.values().filter(move |(of, ..)| *of == partition).map(|(_, want, _)| want);
        let reveals = self.reveals.values().filter_map(move |reveal| reveal.wants.get(&partition));
        debts.chain(reveals).map(|want| (want.next(), want.range.next))
    }

    fn wants(&mut self, partition: TopicPartition) -> impl Iterator<Item = &mut Want> {
        let debts = self.debts.values_mut().filter(move |(of, ..)| *of == partition).map(|(_, want, _)| want);
        let reveals = self.reveals.values_mut().filter_map(move |reveal| reveal.wants.get_mut(&partition));
        debts.chain(reveals)
    }
}

impl ShardTask {
    pub(super) fn read_debt(
        &mut self,
        batch: BatchId,
        (partition, range): (TopicPartition, OffsetRange),
        by: Pins,
        spent: Vec<Offset>,
    ) {
        let catalogue = self.shared.configuration.catalogue();
        let flush = catalogue.lane(batch.lane).map(|entry| entry.flush);
        drop(catalogue);
        let mut want = Want::new(batch.lane, range, by);
        (want.rows_max, want.bytes_max) = flush.map_or((100_000, 64 << 20), |flush| (flush.rows, flush.bytes));
        self.again.debts.insert(batch, (partition, want, spent));
    }

    /// A piece was read: whoever wants rows of it takes them.
    pub(super) fn found(&mut self, partition: TopicPartition, piece: &Piece, own: &[Shares]) {
        let mut by: BTreeSet<Pins> = self.again.wants(partition).map(|want| want.by).collect();
        by.remove(&Pins::OWN_OFFSETS);
        for (kept, shares) in piece.kept.iter().zip(own) {
            self.offer(partition, piece, kept, Pins::OWN_OFFSETS, shares);
            for by in &by {
                let shares = self.shares_of(kept, *by);
                self.offer(partition, piece, kept, *by, &shares);
            }
        }
        for want in self.again.wants(partition).filter(|want| want.next() >= piece.start) {
            want.passed(piece.next);
        }
        self.finish_debts(partition);
        self.finish_reveals(partition);
    }

    fn offer(&mut self, partition: TopicPartition, piece: &Piece, kept: &Kept, by: Pins, shares: &Shares) {
        let pages = self.shared.pages.clone();
        let mut wants: HashMap<LaneId, Vec<&mut Want>> = HashMap::new();
        for want in self.again.wants(partition).filter(|want| want.by == by && want.next() >= piece.start) {
            wants.entry(want.lane).or_default().push(want);
        }
        for share in &shares.lanes {
            for want in wants.get_mut(&share.lane).into_iter().flatten() {
                want.take(kept, share.version, share.rows.iter(), &pages);
            }
        }
    }

    fn finish_debts(&mut self, partition: TopicPartition) {
        let over = self.again.debts.iter().filter(|(_, (of, want, _))| *of == partition && want.is_over());
        let over: Vec<BatchId> = over.map(|(batch, _)| *batch).collect();
        for batch in over {
            let Some((_, want, spent)) = self.again.debts.remove(&batch) else { continue };
            let Found { found, rows, version, covers } = want.finish();
            if self.engine.is_reading(batch) {
                self.debt.insert(batch.lane, (found, Offsets::from([(partition, spent)])));
            }
            let version = version.unwrap_or_default();
            self.handle(Event::DebtRead(DebtRead { batch, version, covers, rows }));
            self.debt.remove(&batch.lane);
        }
    }

    fn finish_reveals(&mut self, partition: TopicPartition) {
        let mut ready = Vec::new();
        for (batch, reveal) in &mut self.again.reveals {
            if reveal.wants.get(&partition).is_some_and(Want::is_over)
                && let Some(want) = reveal.wants.remove(&partition)
            {
                reveal.found.append(want.finish().found);
            }
            if reveal.wants.is_empty() {
                ready.push(*batch);
            }
        }
        for batch in ready {
            if let Some(reveal) = self.again.reveals.remove(&batch) {
                self.reveal_found(reveal);
            }
        }
    }

    pub(super) fn again_failed(&mut self, partition: TopicPartition, fault: &Fault) {
        let failed = self.again.debts.iter().filter(|(_, (of, ..))| *of == partition);
        for batch in failed.map(|(batch, _)| *batch).collect::<Vec<_>>() {
            self.again.debts.remove(&batch);
            self.handle(Event::DebtFailed { batch, reason: reason(fault) });
        }
        let hanging = self.again.reveals.iter().filter(|(_, reveal)| reveal.wants.contains_key(&partition));
        for batch in hanging.map(|(batch, _)| *batch).collect::<Vec<_>>() {
            self.handle(Event::RevealStalled { batch, reason: reason(fault) });
        }
    }

    pub(super) fn reveal(&mut self, permit: CommitPermit, pending: Pending, read_rows: bool) {
        let mail = self.mail.clone();
        let batch = pending.id;
        if self.engine.pending(batch).is_none() {
            // An operator gave it up between two tries.
            return drop(self.pieces.remove(&batch));
        }
        // All rows became dead letters, now or when they were sent: there is nothing to be seen.
        if pending.token.is_empty() || pending.rows == 0 {
            return drop(mail.send(Mail::Revealed { batch, outcome: Revealed::Committed, letters: Vec::new() }));
        }
        let lane = match self.lane(batch.lane, pending.version) {
            Ok(lane) => lane,
            Err(reason) => return self.try_later(permit, pending, read_rows, reason),
        };
        let pieces = self.pieces.get(&batch).cloned();
        if read_rows && pieces.is_none() {
            return self.reveal_again(permit, pending, lane);
        }
        let repeated = self.shared.status.repeats_of(&lane.connector);
        let (calls, today) = (Arc::clone(&self.shared.calls), self.today(lane, pending.version, batch));
        self.tasks.spawn(async move {
            let encoded = pieces.as_ref().map(|pieces| &pieces.encoded);
            let answer = match settle(today, &permit, encoded, batch, &mail, (repeated, &calls)).await {
                Settled::GivenUp => return,
                Settled::Failed(fault) => Mail::Failed(fault),
                Settled::Outcome(outcome) => Mail::Revealed { batch, outcome, letters: Vec::new() },
                // Their records are gone, and dead letters are made of those.
                Settled::Refused(_) => Mail::RecordsNeeded { batch },
            };
            let _ = mail.send(answer);
        });
    }

    /// The rows are read again, and sent with their records at hand.
    pub(super) fn records_needed(&mut self, batch: BatchId) {
        self.pieces.remove(&batch);
        self.revealed(batch, Revealed::NeedsRows, Vec::new());
    }

    /// The lane's sink with today's credentials, asked for before each try: somebody may have mended them, or given the
    /// batch up.
    fn today(
        &mut self,
        lane: OpenLane,
        version: Revision,
        batch: BatchId,
    ) -> impl Fn() -> Option<Arc<dyn Sink>> + Send + Sync + use<> {
        let (lanes, configuration) = (self.shared.lanes.clone(), self.shared.configuration.clone());
        let is_over = Arc::clone(self.again.tries.entry(batch).or_default());
        move || {
            let today = || lanes.get(&configuration.catalogue(), batch.lane, version);
            let sink = || today().map_or_else(|_| Arc::clone(&lane.sink), |today| today.sink);
            (!is_over.load(Ordering::Relaxed)).then(sink)
        }
    }

    /// P26: what an operator gave up is not tried on.
    pub(super) fn stop_tries(&mut self) {
        let is_wanted = |batch: &BatchId| self.engine.pending(*batch).is_some();
        self.again.reveals.retain(|batch, _| is_wanted(batch));
        let over: Vec<BatchId> = self.again.tries.keys().filter(|batch| !is_wanted(batch)).copied().collect();
        for batch in over {
            self.pieces.remove(&batch);
            self.letters.remove(&batch);
            if let Some(is_over) = self.again.tries.remove(&batch) {
                is_over.store(true, Ordering::Relaxed);
            }
        }
    }

    /// It is decided: it is tried again, however often.
    fn try_later(&mut self, permit: CommitPermit, pending: Pending, read_rows: bool, reason: Reason) {
        let mail = self.mail.clone();
        self.tasks.spawn(async move {
            let _ = mail.send(Mail::Engine(Event::RevealStalled { batch: pending.id, reason }));
            tokio::time::sleep(LATER).await;
            let _ = mail.send(Mail::Reveal { permit, pending: Box::new(pending), read_rows });
        });
    }

    /// The same rows, read again: same offsets, same versions, same order, so the same bytes.
    fn reveal_again(&mut self, permit: CommitPermit, pending: Pending, lane: OpenLane) {
        let wants = pending.covers.iter().map(|(partition, range)| {
            (*partition, Want::decided(pending.id.lane, *range, pending.by, pending.version))
        });
        let wants: BTreeMap<TopicPartition, Want> = wants.collect();
        self.again.reveals.insert(pending.id, Reveal { permit, pending, lane, wants, found: Waiting::default() });
    }

    fn reveal_found(&mut self, reveal: Reveal) {
        let Reveal { permit, pending, lane, wants: _, found } = reveal;
        let (mail, compute) = (self.mail.clone(), self.shared.compute.clone());
        let (repeated, calls) = (self.shared.status.repeats_of(&lane.connector), Arc::clone(&self.shared.calls));
        let id = pending.id;
        let today = self.today(lane.clone(), pending.version, id);
        let job = self.job(id, lane.clone(), found, pending.covers.clone(), pending.rejected.clone());
        let refused = self.refused_job(lane, &pending);
        self.tasks.spawn(async move {
            let revealed = |outcome, letters| Mail::Revealed { batch: id, outcome, letters };
            let settled = match make(&compute, job).await {
                Ok(made) if !pending.is_of(made.rows, made.rows_hash) => Ok(revealed(Revealed::RowsDiffer, Vec::new())),
                Ok(made) => match settle(today, &permit, Some(&made.encoded), id, &mail, (repeated, &calls)).await {
                    Settled::GivenUp => return,
                    Settled::Failed(fault) => Ok(Mail::Failed(fault)),
                    Settled::Outcome(outcome) => Ok(revealed(outcome, Vec::new())),
                    Settled::Refused(rows) => match refused(rows, made) {
                        Ok(job) => make(&compute, job).await.map_err(|fault| reason(&fault)).map(|made| {
                            let Made { rejected: rows, letters, .. } = made;
                            revealed(Revealed::Rejected { rows }, letters)
                        }),
                        Err(reason) => Err(reason),
                    },
                },
                Err(fault) => Err(reason(&fault)),
            };
            let answer = match settled {
                Ok(answer) => answer,
                Err(reason) => {
                    let _ = mail.send(Mail::Engine(Event::RevealStalled { batch: id, reason }));
                    tokio::time::sleep(LATER).await;
                    Mail::Reveal { permit, pending: Box::new(pending), read_rows: true }
                }
            };
            let _ = mail.send(answer);
        });
    }

    /// What makes dead letters of the rows that the destination refuses of a decided batch: of as many as go into one
    /// transaction (P11). The others are refused again by the next call.
    fn refused_job(
        &self,
        lane: OpenLane,
        pending: &Pending,
    ) -> impl FnOnce(Vec<(usize, String)>, Made) -> Result<Job, Reason> + Send + use<> {
        let (id, percent_max) = (pending.id, lane.reject_percent_max);
        let rejected: usize = pending.rejected.values().map(Vec::len).sum();
        let rows = pending.rows as usize + rejected;
        let job = self.job(id, lane, Waiting::default(), pending.covers.clone(), pending.rejected.clone());
        move |refused, made| {
            if let Some(reason) = too_many_rejects(rows as u64, (rejected + refused.len()) as u64, percent_max) {
                return Err(reason);
            }
            let refused = refusals::reasons(id, refused, &made.provenance)?;
            let mut rows = Waiting::default();
            made.kept.into_iter().for_each(|kept| rows.keep(kept));
            Ok(Job { rows, refused, ..job })
        }
    }

    pub(super) fn revealed(&mut self, batch: BatchId, outcome: Revealed, letters: Vec<DeadLetter>) {
        if !letters.is_empty() {
            self.letters.insert(batch, letters);
        }
        match outcome {
            Revealed::Committed | Revealed::AlreadyCommitted => {
                let bytes = self.pieces.remove(&batch).map_or(0, |pieces| pieces.encoded.held_bytes() as u64);
                let connector = self.connector_of(batch.lane);
                if let (Some(connector), Some(pending)) = (connector, self.engine.pending(batch)) {
                    let rejected: usize = pending.rejected.values().map(Vec::len).sum();
                    self.shared.status.connector(&connector, |connector| {
                        connector.rows_visible += pending.rows;
                        connector.rows_rejected += rejected as u64;
                        connector.batches_visible += 1;
                        connector.bytes_visible += bytes;
                    });
                }
                self.letters.remove(&batch);
            }
            Revealed::Lost | Revealed::RowsDiffer => drop(self.pieces.remove(&batch)),
            Revealed::NeedsRows | Revealed::Rejected { .. } => {}
        }
        let is_visible = matches!(outcome, Revealed::Committed | Revealed::AlreadyCommitted);
        self.handle(Event::Revealed { batch, outcome });
        if is_visible {
            self.goes_on(batch.lane);
        }
    }

    pub(super) fn connector_of(&self, lane: LaneId) -> Option<String> {
        self.shared.configuration.catalogue().lane(lane).map(|entry| entry.connector.clone())
    }
}

/// What came of a commit.
enum Settled {
    Outcome(Revealed),
    /// Rows of the batch as it was encoded, and why.
    Refused(Vec<(usize, String)>),
    GivenUp,
    Failed(Fault),
}

/// One commit, until it answers or is given up.
async fn settle(
    sink: impl Fn() -> Option<Arc<dyn Sink>>,
    permit: &CommitPermit,
    encoded: Option<&Encoded>,
    batch: BatchId,
    mail: &mpsc::UnboundedSender<Mail>,
    (repeated, calls): (impl Fn(), &Calls),
) -> Settled {
    let stalled = |reason: Reason| drop(mail.send(Mail::Engine(Event::RevealStalled { batch, reason })));
    let outcome = match delivery::commit(sink, permit, encoded, calls, stalled, repeated).await {
        Ok(None) => return Settled::GivenUp,
        Ok(Some(CommitOutcome::Committed)) => Revealed::Committed,
        Ok(Some(CommitOutcome::AlreadyCommitted)) => Revealed::AlreadyCommitted,
        Ok(Some(CommitOutcome::NeedsRows)) => Revealed::NeedsRows,
        Ok(Some(CommitOutcome::Lost)) => Revealed::Lost,
        Ok(Some(CommitOutcome::Rejected { rows })) => return Settled::Refused(rows),
        Err(fault) => return Settled::Failed(fault),
    };
    Settled::Outcome(outcome)
}
