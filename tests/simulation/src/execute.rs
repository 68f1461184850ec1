//! What calls do in the world, with and without effect, with and without answer.

use crate::{
    Fit, Process, RowId, World,
    catalogue::REJECT_LANE,
    destination::{Commit, Committed, Kind},
    held::cut,
    log::hash,
    process::{Answer, Call, Offsets, What},
};
use bytes::Bytes;
use outflow_api::{BatchId, Offset, OffsetRange, Pending, Pins, Shard, TopicPartition};
use outflow_engine::{
    Account, BatchSpec, DebtRead, Decision, Deliveries, Event, Journaled, PreparedBatch, Reason, Revealed, Taken,
};
use std::collections::{BTreeMap, BTreeSet};

/// How one execution goes.
#[derive(Clone, Copy, Debug)]
pub struct Luck {
    pub effect: bool,
    pub answer: bool,
}

pub fn reason(code: &str) -> Reason {
    Reason { code: code.into(), hint: "simulated".into() }
}

fn grouped(rows: &[RowId]) -> Offsets {
    let mut offsets = Offsets::new();
    rows.iter().for_each(|(key, offset)| offsets.entry(*key).or_default().push(*offset));
    offsets
}

impl World {
    /// Answers whether the call is over.
    pub fn execute(&mut self, process: &mut Process, call: &Call, luck: Luck) -> Result<bool, String> {
        let answers = match &call.what {
            What::Prepare { spec, rows, spent } => vec![self.prepare(spec, rows, spent, process, luck)],
            What::Append(decision) => vec![self.append(process, decision, luck)?],
            What::Reveal { pending, read_rows } => {
                self.reveal(process, pending, *read_rows && !call.ghost, luck)?.into_iter().collect()
            }
            What::ReadDebt { batch, partition, range, by, spent } => {
                let covers = BTreeMap::from([(*partition, *range)]);
                self.must_be_kept(process, *by, &covers, process.engine.is_reading(*batch))?;
                vec![self.read_debt(process, *batch, (*partition, *range), *by, spent)]
            }
            What::ReadLedger { command, lane, ranges, letters } => {
                if !luck.effect {
                    return Ok(false);
                }
                let mut account = Account::of_letters(*lane, ranges.clone(), *letters);
                self.journals[process.journal].ledger().for_each(|row| account.see(row));
                vec![Answer::bare(Event::LedgerRead { command: *command, account: Ok(account) })]
            }
            What::ReadDeliveries { command, lane, ranges } => {
                if !luck.effect {
                    return Ok(false);
                }
                let mut deliveries = Deliveries::new(*lane, ranges.clone());
                self.journals[process.journal].ledger().for_each(|row| deliveries.see(row));
                vec![Answer::bare(Event::DeliveriesRead { command: *command, deliveries: Ok(deliveries) })]
            }
            What::Remove(old) => {
                if !luck.effect {
                    return Ok(false);
                }
                self.destinations[old.id.lane.0 as usize].remove(old.id, &mut self.checker)?;
                vec![Answer::bare(Event::Removed { batch: old.id })]
            }
            What::Abort { prepared } => {
                if luck.effect {
                    self.destinations[prepared.id.lane.0 as usize].abort(prepared.id, &self.checker)?;
                }
                return Ok(luck.answer);
            }
            What::Sweep { below, keep } => {
                if luck.effect {
                    let (incarnation, shard) = self.names[process.journal];
                    let scope = (incarnation, shard, *below);
                    let checker = &self.checker;
                    self.destinations.iter_mut().try_for_each(|at| at.sweep(scope, keep, checker))?;
                }
                return Ok(luck.answer);
            }
        };
        // A transaction is always answered: by doubt, if nothing else is known.
        let heard = luck.answer || matches!(call.what, What::Append(_));
        if call.ghost || !heard || answers.is_empty() {
            return Ok(call.ghost);
        }
        process.answers.extend(answers);
        Ok(true)
    }

    fn is_rejected(&self, row: RowId, batch: BatchId) -> bool {
        let fit = self.log.row(row).map_or(Fit::Fits, |row| row.fit);
        let staged = self.destinations[batch.lane.0 as usize].kind == Kind::Staged;
        let is_mended = self.resends.have_mended(row) && self.checker.repairs.has_letter(batch.lane, row);
        let is_unfit = fit == Fit::NotModel || fit == Fit::NotDestination && staged;
        batch.lane == REJECT_LANE || is_unfit && !is_mended
    }

    /// What the destination refuses of these rows when they are sent, and nobody knew. Then it has none of them.
    fn refused_late(&mut self, batch: BatchId, rows: &[RowId], spent: &Offsets, process: &Process) -> Vec<RowId> {
        let is_spent = |row: &RowId| spent.get(&row.0).is_some_and(|spent| spent.contains(&row.1));
        let is_known = |row: &RowId| process.refused.contains(&(batch.lane, *row));
        let fits_model = |row: &RowId| self.log.row(*row).is_some_and(|row| row.fit != Fit::NotModel);
        let sent = rows.iter().filter(|row| batch.lane != REJECT_LANE && fits_model(row));
        let refused = sent.filter(|row| !is_spent(row) && !is_known(row) && self.is_rejected(**row, batch));
        let refused = refused.copied().collect();
        self.lateness.names(refused)
    }

    fn prepare(
        &mut self,
        spec: &BatchSpec,
        rows: &[RowId],
        spent: &Offsets,
        process: &mut Process,
        luck: Luck,
    ) -> Answer {
        let refused = if luck.effect { self.refused_late(spec.id, rows, spent, process) } else { Vec::new() };
        if !refused.is_empty() {
            process.refused.extend(refused.into_iter().filter(|_| luck.answer).map(|row| (spec.id.lane, row)));
            return Answer::bare(Event::RowsRefused { batch: spec.id });
        }
        let (mut fitting, mut rejected, mut letters, mut end) = (Vec::new(), Vec::new(), 0, rows.len());
        for (index, row) in rows.iter().enumerate() {
            if spent.get(&row.0).is_some_and(|spent| spent.contains(&row.1)) {
                rejected.push(*row);
            } else if !self.is_rejected(*row, spec.id) {
                fitting.push(*row);
            } else if letters < self.options.settings.letters_max {
                rejected.push(*row);
                letters += 1;
            } else {
                end = index;
                break;
            }
        }
        let covers = rows.get(end).map_or_else(|| spec.covers.clone(), |at| cut(&spec.covers, *at));
        if luck.effect {
            self.destinations[spec.id.lane.0 as usize].prepare(spec.id, &fitting);
        }
        let cut_off = &rows[end..];
        let rest = grouped(cut_off).into_iter().map(|(partition, offsets)| {
            let taken = Taken {
                lane: spec.id.lane,
                version: spec.version,
                first: offsets[0],
                rows: offsets.len() as u64,
                bytes: offsets.len() as u64,
                flush: self.options.settings.flush(self.catalogue.feed(spec.id.lane)),
            };
            (partition, taken)
        });
        let batch = PreparedBatch {
            id: spec.id,
            token: Bytes::from_static(b"token"),
            receipt: Bytes::from_static(b"receipt"),
            covers,
            rows: fitting.len() as u64,
            rejected: grouped(&rejected),
            rows_hash: hash(&rows[..end]),
            letter_bytes: letters,
            rest: rest.collect(),
            reject_percent_max: 100,
        };
        if luck.effect && luck.answer {
            process.memory.insert(spec.id, fitting);
        }
        Answer { event: Event::Prepared(batch), rows: cut_off.to_vec(), spent: Offsets::new() }
    }

    fn append(&mut self, process: &Process, decision: &Decision, luck: Luck) -> Result<Answer, String> {
        let faults = self.faults();
        let journal = process.journal;
        let outcome = if !self.journals[journal].is_owned_by(process.owner) {
            if luck.answer { Journaled::Fenced } else { Journaled::Unknown }
        } else if self.rng.chance(faults.refused) {
            Journaled::Refused(reason("journal-refused"))
        } else if self.rng.chance(faults.unknown) || !luck.answer || !luck.effect {
            match (luck.effect, self.rng.chance(500)) {
                (true, true) => self.decide(journal, decision, false)?,
                (true, false) => self.journals[journal].doubt(decision.clone()),
                (false, _) => {}
            }
            Journaled::Unknown
        } else {
            // P10: "committed" without markers is not done, whatever the coordinator said.
            let hidden = self.rng.chance(faults.hidden);
            self.decide(journal, decision, hidden)?;
            if hidden { Journaled::Unknown } else { Journaled::Done }
        };
        Ok(Answer::bare(Event::Journaled(outcome)))
    }

    fn reveal(
        &mut self,
        process: &Process,
        pending: &Pending,
        read: bool,
        luck: Luck,
    ) -> Result<Option<Answer>, String> {
        let id = pending.id;
        if Some(id.lane) == self.dead_lane {
            return Ok(None);
        }
        let kept = process.memory.get(&id);
        let rows = match kept {
            Some(rows) => Some(rows.clone()),
            None if read => {
                let by = pending.by;
                self.must_be_kept(process, by, &pending.covers, process.engine.pending(id).is_some())?;
                let rows = process.read_again(&self.log, &self.catalogue, (id.lane, by), &pending.covers);
                if hash(&rows) != pending.rows_hash {
                    return Err(format!("{id} is read again, and is {rows:?}"));
                }
                Some(rows)
            }
            None => None,
        };
        if rows.is_some() {
            self.checker.is_shaped(id, pending.version)?;
        }
        let is_rejected = |(key, offset): &RowId| pending.rejected.get(key).is_some_and(|own| own.contains(offset));
        let rows = rows.map(|rows| rows.into_iter().filter(|row| !is_rejected(row)).collect::<Vec<RowId>>());
        let unfit = |row: &&RowId| self.log.row(**row).is_some_and(|row| row.fit == Fit::NotDestination);
        let refused = rows.iter().flatten().filter(unfit).copied().collect();
        if !luck.effect {
            return Ok(None);
        }
        let slow = self.rng.chance(self.faults().slow_commit);
        let call = Commit { id, rows: rows.as_deref(), refused, slow, stoppable: self.rng.chance(500) };
        let committed = self.destinations[id.lane.0 as usize].commit(&call, &mut self.checker)?;
        let outcome = match committed {
            Committed::Now => Revealed::Committed,
            Committed::Already => Revealed::AlreadyCommitted,
            Committed::NeedsRows => Revealed::NeedsRows,
            Committed::Rejected(rows) => Revealed::Rejected { rows: grouped(&rows) },
            Committed::Lost => Revealed::Lost,
            Committed::Unclear => return Ok(None),
        };
        Ok(Some(Answer::bare(Event::Revealed { batch: id, outcome })))
    }

    /// P20: definitions that somebody still has to read by are older than none that the shard needs, as it says itself
    /// and as its journal does.
    fn must_be_kept(
        &self,
        process: &Process,
        by: Pins,
        covers: &BTreeMap<TopicPartition, OffsetRange>,
        is_needed: bool,
    ) -> Result<(), String> {
        if !is_needed {
            return Ok(());
        }
        let oldest = process.engine.oldest_revision();
        if let Some(by) = by.oldest().filter(|by| oldest.is_none_or(|oldest| *by < oldest)) {
            return Err(format!("rows are read by {by:?}, and all below {oldest:?} may be gone"));
        }
        let own = covers.iter().filter_map(|(key, range)| process.engine.revision_at(*key, range.start));
        let own = own.filter(|_| by.whose.is_none());
        let is_owner = !process.zombie && self.journals[process.journal].is_owned_by(process.owner);
        own.chain(by.oldest()).filter(|_| is_owner).try_for_each(|revision| self.catalogue.must_route(revision))
    }

    /// A prefix of what is owed, of one version of the lane; with luck several chunks are needed.
    fn read_debt(
        &mut self,
        process: &Process,
        batch: BatchId,
        (key, range): (TopicPartition, OffsetRange),
        by: Pins,
        spent: &Offsets,
    ) -> Answer {
        let most = self.rng.between(1, self.options.settings.debt_rows_max) as usize;
        let (mut rows, mut covers, mut version) = (Vec::new(), range, None);
        // A reader may stop anywhere, as long as it got on.
        if !self.calm && self.rng.chance(200) {
            covers.next = Offset(self.rng.between(range.start.0 as u64 + 1, range.next.0 as u64) as i64);
        }
        for (offset, row) in self.log.rows(key, covers) {
            let own = process.engine.revision_at(key, offset).or(by.whose).expect("debt was routed before");
            let pin = by.at(own);
            if self.catalogue.lane(pin.whose, row.key) != batch.lane {
                continue;
            }
            let own = self.catalogue.version(pin.shape, batch.lane);
            if *version.get_or_insert(own) != own || rows.len() >= most {
                covers.next = offset;
                break;
            }
            rows.push((key, offset));
        }
        let read = DebtRead { batch, version: version.unwrap_or_default(), covers, rows: rows.len() as u64 };
        Answer { event: Event::DebtRead(read), rows, spent: spent.clone() }
    }

    /// What the driver does when a call takes too long, or is refused for good.
    pub fn give_up(&mut self, process: &mut Process, call: &Call) -> bool {
        let reason = reason("gave-up");
        let event = match &call.what {
            What::Prepare { spec, .. } => Event::PrepareFailed { batch: spec.id, reason },
            What::ReadDebt { batch, .. } => Event::DebtFailed { batch: *batch, reason },
            _ => return false,
        };
        process.answers.push(Answer::bare(event));
        true
    }

    pub fn shards_of(&self, journal: usize) -> BTreeSet<TopicPartition> {
        let (_, Shard(shard)) = self.names[journal];
        let installation = journal as u32 / self.options.shards;
        let own = |key: &&TopicPartition| {
            key.topic.0 / 10 == u128::from(installation) && key.partition % self.options.shards == shard
        };
        self.log.partitions.keys().filter(own).copied().collect()
    }
}
