//! What a shard does with rows that are read again: debts, and decided batches whose rows are gone from memory.

use super::*;

impl ShardTask {
    pub(super) fn read_debt(&mut self, batch: BatchId, owed: Covers, spent: Offsets) {
        let limits = self.lanes.any(batch.lane).map(|lane| lane.flush);
        let (rows_max, bytes_max) = limits.map_or((100_000, 64 << 20), |limits| (limits.rows_max, limits.bytes_max));
        let (mail, catch_up) = (self.mail.clone(), self.shared.catch_up.clone());
        self.tasks.spawn(async move {
            let result = catch_up.read(owed, rows_max, bytes_max).await;
            let _ = mail.send(Mail::DebtRead { batch, spent, result });
        });
    }

    pub(super) fn debt_read(&mut self, batch: BatchId, spent: Offsets, result: Result<Reread, Fault>) {
        let Reread { kept, mut covers } = match result {
            Ok(reread) => reread,
            Err(fault) => return self.handle(Event::DebtFailed { batch, reason: reason(&fault) }),
        };
        let routed = self.routed(batch.lane, kept);
        // A batch has one version: each partition ends where the lane's next one begins.
        let version = routed.iter().map(|(version, _)| *version).min().unwrap_or_default();
        for (_, kept) in routed.iter().filter(|(of, _)| *of != version) {
            let first = kept.slice.block.offset(kept.slice.rows.start);
            let range = covers.get_mut(&kept.slice.block.partition()).expect("rows lie within what was read");
            range.next = range.next.min(first);
        }
        let own = routed.into_iter().filter(|(of, _)| *of == version).map(|(_, kept)| kept).collect();
        let (own, _) = crate::rows::split(own, &covers);
        let rows = rows_of(&own).len() as u64;
        if self.engine.is_reading(batch) {
            self.debt.insert(batch.lane, (own, spent));
        }
        self.handle(Event::DebtRead(DebtRead { batch, version, covers, rows }));
        self.debt.remove(&batch.lane);
    }

    /// The lane's rows among these, each with the version of the lane in force at its offset.
    fn routed(&self, lane: LaneId, kept: Vec<Kept>) -> Vec<(Revision, Kept)> {
        let mut routed = Vec::new();
        for Kept { slice: RowSlice { block, rows }, memory } in kept {
            let partition = block.partition();
            let mut row = rows.start;
            while row < rows.end {
                let at = block.offset(row);
                let end = block.row_at(self.engine.revision_ends(partition, at)).min(rows.end);
                let routes =
                    self.engine.revision_at(partition, at).map(|revision| self.lanes.route(revision, partition.topic));
                if let Some((_, version)) = routes.unwrap_or_default().iter().find(|(id, _)| *id == lane) {
                    let slice = RowSlice { block: Arc::clone(&block), rows: row..end };
                    routed.push((*version, Kept { slice, memory: Arc::clone(&memory) }));
                }
                row = end;
            }
        }
        routed
    }

    pub(super) fn reveal(&mut self, permit: CommitPermit, pending: Pending, read_rows: bool) {
        let mail = self.mail.clone();
        let batch = pending.id;
        if pending.token.is_empty() {
            return drop(mail.send(Mail::Revealed { batch, outcome: Revealed::Committed, letters: Vec::new() }));
        }
        let lane = match self.lanes.get(batch.lane, pending.version) {
            Ok(lane) => lane,
            Err(reason) => return drop(mail.send(Mail::Engine(Event::RevealStalled { batch, reason }))),
        };
        let pieces = self.pieces.get(&batch).cloned();
        if read_rows && pieces.is_none() {
            return self.reveal_again(permit, pending, lane);
        }
        let repeated = self.shared.status.repeats_of(&lane.connector);
        self.tasks.spawn(async move {
            let encoded = pieces.as_ref().map(|pieces| &pieces.encoded);
            let answer = settle(&lane, &permit, encoded, batch, &mail, repeated).await;
            let _ = mail.send(answer);
        });
    }

    /// The same rows, read again: same offsets, same versions, same order, so the same bytes.
    fn reveal_again(&mut self, permit: CommitPermit, pending: Pending, lane: OpenLane) {
        let (mail, catch_up, compute) = (self.mail.clone(), self.shared.catch_up.clone(), self.shared.compute.clone());
        let id = pending.id;
        let plan = self.routing_plan(&pending);
        let repeated = self.shared.status.repeats_of(&lane.connector);
        let job = self.job(id, lane.clone(), Vec::new(), pending.covers.clone(), pending.rejected.clone());
        self.tasks.spawn(async move {
            let mut waits = crate::retry::Waits::new();
            let made = loop {
                let read = catch_up.read(pending.covers.clone(), u64::MAX, u64::MAX).await;
                let made = match read {
                    Ok(reread) => {
                        let kept =
                            plan.iter().flat_map(|covers| crate::rows::split(reread.kept.clone(), covers).0).collect();
                        make(&compute, job.with_rows(kept)).await
                    }
                    Err(fault) => Err(fault),
                };
                match made {
                    Ok(made) => break made,
                    Err(fault) => {
                        let _ = mail.send(Mail::Engine(Event::RevealStalled { batch: id, reason: reason(&fault) }));
                        tokio::time::sleep(waits.next(&fault)).await;
                    }
                }
            };
            let answer = if made.rows_hash == pending.rows_hash {
                settle(&lane, &permit, Some(&made.encoded), id, &mail, repeated).await
            } else {
                Mail::Revealed { batch: id, outcome: Revealed::RowsDiffer, letters: Vec::new() }
            };
            let _ = mail.send(answer);
        });
    }

    /// The parts of a pending batch's covers that were routed to its lane under its version.
    fn routing_plan(&self, pending: &Pending) -> Vec<Covers> {
        let mut plan = Vec::new();
        for (partition, range) in &pending.covers {
            let mut at = range.start;
            while at < range.next {
                let end = self.engine.revision_ends(*partition, at).min(range.next);
                let revision = self.engine.revision_at(*partition, at);
                let routes = revision.map(|revision| self.lanes.route(revision, partition.topic)).unwrap_or_default();
                if routes.contains(&(pending.id.lane, pending.version)) {
                    plan.push(Covers::from([(*partition, OffsetRange::new(at, end))]));
                }
                at = end;
            }
        }
        plan
    }

    pub(super) fn revealed(&mut self, batch: BatchId, outcome: Revealed, letters: Vec<DeadLetter>) {
        if !letters.is_empty() {
            self.letters.insert(batch, letters);
        }
        match outcome {
            Revealed::Committed | Revealed::AlreadyCommitted => {
                let bytes = self.pieces.remove(&batch).map_or(0, |pieces| pieces.encoded.held_bytes() as u64);
                let view = self.engine.pending(batch);
                if let (Some(lane), Some(pending)) = (self.lanes.any(batch.lane), view) {
                    let rejected: usize = pending.rejected.values().map(Vec::len).sum();
                    self.shared.status.connector(&lane.connector, |connector| {
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
        self.handle(Event::Revealed { batch, outcome });
    }
}

/// One commit, until it answers.
async fn settle(
    lane: &OpenLane,
    permit: &CommitPermit,
    encoded: Option<&Encoded>,
    batch: BatchId,
    mail: &mpsc::UnboundedSender<Mail>,
    repeated: impl Fn(),
) -> Mail {
    let stalled = |reason: Reason| drop(mail.send(Mail::Engine(Event::RevealStalled { batch, reason })));
    let outcome = match delivery::commit(Arc::clone(&lane.sink), permit, encoded, stalled, repeated).await {
        Ok(CommitOutcome::Committed) => Revealed::Committed,
        Ok(CommitOutcome::AlreadyCommitted) => Revealed::AlreadyCommitted,
        Ok(CommitOutcome::NeedsRows) => Revealed::NeedsRows,
        Ok(CommitOutcome::Lost) => Revealed::Lost,
        Ok(CommitOutcome::Rejected { .. }) => {
            let hint = "the destination refuses rows at commit, which no sink of this build does: this is a bug";
            return Mail::Failed(Fault::halt("rejected-at-commit", hint));
        }
        Err(fault) => return Mail::Failed(fault),
    };
    Mail::Revealed { batch, outcome, letters: Vec::new() }
}
