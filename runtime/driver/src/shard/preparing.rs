//! From a batch's rows to their staging at the destination, or to what it refuses of them.

use super::*;
use crate::{batch::LETTERS_MAX, refusals};

pub(crate) struct PreparedMail {
    version: Revision,
    prepared: Prepared,
    receipt: bytes::Bytes,
    made: Made,
    encoded: Arc<HeldPieces>,
    reject_percent_max: u64,
}

/// What a destination is asked with, and by whom.
struct Attempt {
    id: BatchId,
    version: Revision,
    lane: OpenLane,
    budget: Budget,
    calls: Arc<Calls>,
}

impl ShardTask {
    pub(super) fn prepare(&mut self, spec: BatchSpec) {
        let BatchSpec { id, version, covers, debt } = spec;
        let (rows, spent) = if debt {
            // Never a batch without its rows: it would be decided as delivered.
            self.debt.remove(&id.lane).expect("the engine answers the rows that it was just given")
        } else {
            (self.open.take(id.lane, version), Offsets::new())
        };
        let mail = self.mail.clone();
        let lane = match self.lane(id.lane, version) {
            Ok(lane) => lane,
            Err(reason) => return drop(mail.send(Mail::Engine(Event::PrepareFailed { batch: id, reason }))),
        };
        let refused = self.refusals.within(id.lane, &covers);
        let job = Job { refused, ..self.job(id, lane.clone(), rows, covers, spent) };
        let compute = self.shared.compute.clone();
        let repeated = self.shared.status.repeats_of(&lane.connector);
        let (budget, calls) = (self.shared.budget.clone(), Arc::clone(&self.shared.calls));
        let attempt = Attempt { id, version, lane, budget, calls };
        self.tasks.spawn(async move {
            let answer = match make(&compute, job).await {
                Ok(made) => attempt.run(made, repeated).await,
                Err(fault) => Err(Trouble::Park(reason(&fault))),
            };
            let _ = mail.send(answer.unwrap_or_else(|trouble| match trouble {
                Trouble::Park(reason) => Mail::Engine(Event::PrepareFailed { batch: id, reason }),
                Trouble::Stop(fault) => Mail::Failed(fault),
            }));
        });
    }

    pub(super) fn prepared(&mut self, mail: PreparedMail) {
        let PreparedMail { version, prepared: Prepared { id, token }, receipt, made, encoded, reject_percent_max } =
            mail;
        let Made { covers, rows, rejected, rows_hash, letters, letter_bytes, rest, .. } = made;
        let mut taken = Vec::new();
        if self.engine.is_preparing(id) {
            self.refusals.settled(id.lane, &covers);
            self.letters.insert(id, letters);
            self.pieces.insert(id, encoded);
        }
        if self.engine.keeps_rest(id) {
            let flush = self.lane(id.lane, version).map_or_else(|_| Default::default(), |lane| lane.flush);
            for kept in rest {
                let block = &kept.slice.block;
                taken.push((block.partition(), tally(id.lane, version, flush, block, &kept.slice.rows)));
                self.open.keep(id.lane, version, kept);
            }
        }
        let batch = PreparedBatch {
            id,
            token,
            receipt,
            covers,
            rows,
            rejected,
            rows_hash,
            letter_bytes,
            rest: taken,
            reject_percent_max,
        };
        self.handle(Event::Prepared(batch));
    }

    /// What is left of the rows is read again, and is another batch: their records are gone, and are needed for the
    /// dead letters.
    pub(super) fn refused(&mut self, batch: BatchId, rows: Reasons) {
        tracing::debug!(%batch, rows = rows.len(), "the destination refuses rows: they become dead letters");
        match self.refusals.learn(batch, rows) {
            Ok(()) => self.handle(Event::RowsRefused { batch }),
            Err(reason) => self.handle(Event::PrepareFailed { batch, reason }),
        }
    }
}

impl Attempt {
    async fn run(self, mut made: Made, repeated: impl Fn()) -> Result<Mail, Trouble> {
        let Attempt { id, version, lane, budget, calls } = self;
        // Thousands of batches may wait for their destinations, and few of them for their records.
        made.kept = Vec::new();
        let encoded = std::mem::take(&mut made.encoded);
        let memory = budget.reserve_leaving(encoded.held_bytes());
        let (prepared, receipt) = match made.rows {
            0 => (Prepared { id, token: bytes::Bytes::new() }, bytes::Bytes::new()),
            _ => match delivery::prepare(lane.sink, id, &encoded, &calls, repeated).await? {
                delivery::Answer::Prepared(prepared, receipt) => (prepared, receipt),
                delivery::Answer::Refused(rows) => {
                    let rows = refusals::reasons(id, rows.into_iter().take(LETTERS_MAX), &made.provenance);
                    return Ok(Mail::Refused { batch: id, rows: rows.map_err(Trouble::Park)? });
                }
            },
        };
        let encoded = Arc::new(HeldPieces { encoded, _memory: memory });
        let reject_percent_max = lane.reject_percent_max;
        Ok(Mail::Prepared(Box::new(PreparedMail { version, prepared, receipt, made, encoded, reject_percent_max })))
    }
}

/// Rows of one block, counted.
fn tally(
    lane: LaneId,
    version: Revision,
    flush: outflow_engine::FlushLimits,
    block: &RecordBlock,
    rows: &std::ops::Range<usize>,
) -> Taken {
    let bytes = bytes_of(block, rows.len());
    Taken { lane, version, first: block.offset(rows.start), rows: rows.len() as u64, bytes, flush }
}
