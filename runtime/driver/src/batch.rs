//! Rows → columns → bytes. CPU only: the same rows give the same batch, now or when they are read again.

use crate::{
    lanes::OpenLane,
    letters::{Cause, letter, letter_bytes},
    memory::{Budget, Reserved},
    provenance::Provenance,
    refusals::Reasons,
    rows::{Kept, Waiting, rows_of, split},
    topology::Topology,
};
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use outflow_api::{
    BatchId, Blame, DeadLetter, Decoded, Encoded, Fault, Offset, OffsetRange, Origin, RecordView, RejectedRow, Rows,
    SealedBatch, Shard, TopicPartition,
};
use std::{collections::BTreeMap, hash::Hasher, sync::Arc};
use twox_hash::XxHash64;

pub(crate) type Covers = BTreeMap<TopicPartition, OffsetRange>;
pub(crate) type Offsets = BTreeMap<TopicPartition, Vec<Offset>>;

/// A batch ends before it has more dead letters than these (P11): one bad lane must not outgrow the transaction.
pub(crate) const LETTERS_MAX: usize = 1_000;
const LETTERS_BYTES_MAX: usize = 1 << 20;
/// The dead letter's code of what the destination does not take.
const REFUSED: &str = "refused-by-destination";

pub(crate) struct Job {
    pub id: BatchId,
    pub shard: Shard,
    pub lane: OpenLane,
    pub topology: Arc<Topology>,
    /// Unpacked where they are encoded: thousands of batches may wait for their turn.
    pub rows: Waiting,
    /// What the rows hold, until an encoder takes them.
    pub queued: Option<(Reserved, Reserved)>,
    pub budget: Budget,
    pub covers: Covers,
    /// Rejected before, their dead letters are out: counted as rejected, not sent again.
    pub spent: Offsets,
    /// Of these it is known that the destination refuses them: they are not sent, and become dead letters.
    pub refused: Reasons,
}

pub(crate) struct Made {
    pub covers: Covers,
    pub rows: u64,
    pub rejected: Offsets,
    pub rows_hash: u64,
    pub letters: Vec<DeadLetter>,
    pub letter_bytes: usize,
    pub encoded: Encoded,
    pub provenance: Provenance,
    /// Records of the batch.
    pub kept: Vec<Kept>,
    /// Rows behind the cut.
    pub rest: Vec<Kept>,
}

/// The index of the first row that the batch must not have any more.
struct CutAt(usize);

impl Job {
    pub fn make(mut self) -> Result<Made, Fault> {
        let mut rest = Vec::new();
        let waiting = std::mem::take(&mut self.rows);
        let raw = waiting.raw_bytes();
        let _unpacked = self.budget.leave(raw);
        drop(self.queued.take());
        // Columns take about as much as the records that they are made of.
        let _columns = self.budget.reserve_leaving(raw);
        let (mut kept, others) = split(waiting.finish(&self.budget), &self.covers);
        if !others.is_empty() {
            let hint = format!("batch {} was given rows that it does not cover: this is a bug", self.id);
            return Err(Fault::halt("rows-outside", hint));
        }
        loop {
            let rows = rows_of(&kept);
            match self.attempt(&rows)? {
                Ok(made) => return Ok(Made { kept, rest, ..made }),
                Err(CutAt(index)) => {
                    let first = rows.iter().nth(index).expect("a row was rejected there");
                    self.covers = cut(&self.covers, first.partition, first.offset);
                    let (inside, outside) = split(kept, &self.covers);
                    kept = inside;
                    rest.extend(outside);
                }
            }
        }
    }

    fn attempt(&self, rows: &Rows) -> Result<Result<Made, CutAt>, Fault> {
        let decoded = decode(&self.lane, rows);
        let mut causes: BTreeMap<usize, (&str, String)> =
            decoded.rejected.into_iter().map(|row| (row.index, (row.code, row.message))).collect();
        let mut batches = decoded.batches;
        let spent = self.exclude_known(rows, &mut causes, &mut batches)?;
        let mut survey = self.survey(rows, |index| causes.contains_key(&index));
        let batch = SealedBatch {
            id: self.id,
            connector: Arc::clone(&self.lane.connector),
            batches,
            origins: survey.origins,
            timestamp_ms_max: survey.timestamp_ms_max,
        };
        assert_eq!(batch.row_count(), survey.accepted, "a decoder answers every row once");
        let encoded = if survey.accepted == 0 { Encoded::default() } else { self.lane.sink.encode(&batch)? };
        if !encoded.rejected.is_empty() {
            let indices: Vec<usize> = (0..rows.len()).filter(|index| !causes.contains_key(index)).collect();
            for (row, reason) in &encoded.rejected {
                causes.insert(indices[*row], (REFUSED, reason.clone()));
            }
            survey.accepted -= encoded.rejected.len();
        }
        let (mut letters, mut bytes, mut rejected) = (Vec::new(), 0, Offsets::new());
        if !causes.is_empty() {
            for (index, record) in rows.iter().enumerate() {
                let Some((code, message)) = causes.get(&index) else { continue };
                rejected.entry(record.partition).or_default().push(record.offset);
                if spent.contains(&index) {
                    continue;
                }
                let letter = self.letter(&record, code, message)?;
                bytes += letter_bytes(&letter);
                if !letters.is_empty() && (letters.len() == LETTERS_MAX || bytes > LETTERS_BYTES_MAX) {
                    return Ok(Err(CutAt(index)));
                }
                letters.push(letter);
            }
        }
        Ok(Ok(Made {
            covers: self.covers.clone(),
            rows: survey.accepted as u64,
            rejected,
            rows_hash: survey.hash,
            letters,
            letter_bytes: bytes,
            encoded,
            provenance: survey.provenance,
            kept: Vec::new(),
            rest: Vec::new(),
        }))
    }

    fn letter(&self, record: &RecordView<'_>, code: &str, message: &str) -> Result<DeadLetter, Fault> {
        let topic = &*self.topology.name(record.partition.topic);
        let Some(to) = self.lane.dead_letters.as_deref() else {
            let (partition, offset) = (record.partition.partition, record.offset.0);
            let hint = format!(
                "the record at {topic}/{partition} offset {offset} does not fit ({code}: {message}), and there is no \
                 topic for dead letters: add `dead_letters: {{ topic: … }}` to the connector, or mend its model"
            );
            return Err(Fault::park(Blame::Us, "record-rejected", hint));
        };
        let of = (&*self.lane.connector, self.id.lane);
        Ok(letter(to, of, self.shard, topic, record, &Cause { code, message }))
    }

    /// Takes rows of which it is known that they are rejected out of the columns as well. Answers the indices of those
    /// whose dead letters are out.
    fn exclude_known(
        &self,
        rows: &Rows,
        causes: &mut BTreeMap<usize, (&str, String)>,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<Vec<usize>, Fault> {
        if self.spent.is_empty() && self.refused.is_empty() {
            return Ok(Vec::new());
        }
        let is_spent = |record: &RecordView<'_>| {
            self.spent.get(&record.partition).is_some_and(|offsets| offsets.binary_search(&record.offset).is_ok())
        };
        let known = |record: RecordView<'_>| match self.refused.get(&(record.partition, record.offset)) {
            _ if is_spent(&record) => Some(("rejected-before", String::new())),
            reason => reason.map(|reason| (REFUSED, reason.clone())),
        };
        let known: Vec<Option<(&str, String)>> = rows.iter().map(known).collect();
        let spent = rows.iter().enumerate().filter(|(_, record)| is_spent(record)).map(|(index, _)| index).collect();
        let mut keep = (0..rows.len()).filter(|index| !causes.contains_key(index)).map(|index| known[index].is_none());
        for batch in batches.iter_mut() {
            let mask: BooleanArray = keep.by_ref().take(batch.num_rows()).map(Some).collect();
            *batch = filter_record_batch(batch, &mask)
                .map_err(|error| Fault::halt("filter-failed", "rejected rows cannot be taken out").because(error))?;
        }
        batches.retain(|batch| batch.num_rows() > 0);
        for (index, cause) in known.into_iter().enumerate() {
            if let Some(cause) = cause {
                causes.entry(index).or_insert(cause);
            }
        }
        Ok(spent)
    }

    fn survey(&self, rows: &Rows, is_rejected: impl Fn(usize) -> bool) -> Survey {
        let mut hash = XxHash64::with_seed(0);
        let provenance = Provenance::default();
        let mut survey = Survey { hash: 0, accepted: 0, origins: vec![], provenance, timestamp_ms_max: -1 };
        for (index, record) in rows.iter().enumerate() {
            hash.write_u128(record.partition.topic.0);
            hash.write_u32(record.partition.partition);
            hash.write_i64(record.offset.0);
            survey.timestamp_ms_max = survey.timestamp_ms_max.max(record.timestamp_ms);
            if is_rejected(index) {
                continue;
            }
            survey.provenance.push(record.partition, record.offset);
            let row = survey.accepted;
            survey.accepted += 1;
            match survey.origins.last_mut().filter(|origin| origin.partition == record.partition) {
                Some(origin) => origin.rows.end = row + 1,
                None => survey.origins.push(Origin {
                    topic: self.topology.name(record.partition.topic),
                    partition: record.partition,
                    covers: self.covers.get(&record.partition).copied().expect("rows lie within the covers"),
                    rows: row..row + 1,
                }),
            }
        }
        survey.hash = hash.finish();
        survey
    }
}

/// What a lane's rows become.
pub(crate) fn decode(lane: &OpenLane, rows: &Rows) -> Decoded {
    match lane.rejects {
        Some((code, message)) => reject_all(rows, code, message),
        None => lane.decoder.decode(rows),
    }
}

/// Of a lane whose rows belong to nobody (P30).
fn reject_all(rows: &Rows, code: &'static str, message: &str) -> Decoded {
    let rejected = (0..rows.len()).map(|index| RejectedRow { index, code, message: message.to_owned() });
    Decoded { batches: Vec::new(), rejected: rejected.collect() }
}

struct Survey {
    hash: u64,
    accepted: usize,
    origins: Vec<Origin>,
    provenance: Provenance,
    timestamp_ms_max: i64,
}

/// The batch ends before this row: partitions behind it are left out, as rows are in partition order.
fn cut(covers: &Covers, at: TopicPartition, offset: Offset) -> Covers {
    let before = covers.iter().take_while(|(key, _)| **key <= at).map(|(key, range)| {
        let next = if *key == at { offset } else { range.next };
        (*key, OffsetRange::new(range.start, next))
    });
    before.filter(|(_, range)| !range.is_empty()).collect()
}
