use crate::{
    escape::{NULL, escape},
    template::{Field, Template},
};
use arrow_array::{
    Array, ArrayRef, Date32Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array, cast::AsArray,
    types::TimestampMicrosecondType,
};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use arrow_select::take::take_record_batch;
use chrono::DateTime;
use outflow_api::{Blame, Fault, SealedBatch};
use std::{collections::HashMap, ops::Range};

/// Rows of a batch that belong into one object.
pub struct Part {
    pub key: String,
    pub batches: Vec<RecordBatch>,
}

const MICROS_PER_MINUTE: i64 = 60_000_000;
const MICROS_PER_DAY: i64 = 24 * 60 * MICROS_PER_MINUTE;
const KEY_BYTES_MAX: usize = 1_000;
/// Of a file system; object stores allow more.
const FOLDER_BYTES_MAX: usize = 230;

/// Splits the rows by what the template says of them; sorted by key, rows in their order.
pub fn split(template: &Template, pieces_max: usize, batch: &SealedBatch) -> Result<Vec<Part>, Fault> {
    let mut groups = Groups { template, batch, pieces_max, by_key: HashMap::new(), keys: Vec::new() };
    let mut first_row = 0;
    let mut rows_of: Vec<Vec<RecordBatch>> = Vec::new();
    for record_batch in batch.batches.iter().filter(|batch| batch.num_rows() > 0) {
        let group_of = groups.assign(record_batch, first_row)?;
        first_row += record_batch.num_rows();
        rows_of.resize_with(groups.keys.len(), Vec::new);
        for (group, rows) in rows_by_group(&group_of, groups.keys.len()) {
            rows_of[group].push(take_rows(record_batch, rows)?);
        }
    }
    let mut parts: Vec<Part> =
        groups.keys.into_iter().zip(rows_of).map(|(key, batches)| Part { key, batches }).collect();
    parts.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(parts)
}

struct Groups<'a> {
    template: &'a Template,
    batch: &'a SealedBatch,
    pieces_max: usize,
    /// By the key itself: whatever comes to the same key belongs into the same object.
    by_key: HashMap<String, u32>,
    keys: Vec<String>,
}

impl Groups<'_> {
    /// The group of each row.
    fn assign(&mut self, record_batch: &RecordBatch, first_row: usize) -> Result<Vec<u32>, Fault> {
        let columns: Vec<Coded> =
            self.template.fields().map(|field| self.coded(field, record_batch, first_row)).collect::<Result<_, _>>()?;
        let mut by_codes: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut groups = Vec::with_capacity(record_batch.num_rows());
        let mut codes = vec![u32::MAX; columns.len()];
        for row in 0..record_batch.num_rows() {
            let same = row > 0 && columns.iter().zip(&codes).all(|(column, code)| column.codes[row] == *code);
            if same {
                groups.push(groups[row - 1]);
                continue;
            }
            codes.iter_mut().zip(&columns).for_each(|(code, column)| *code = column.codes[row]);
            let group = match by_codes.get(&codes) {
                Some(group) => *group,
                None => {
                    let text = |(code, column): (&u32, &Coded)| column.values[*code as usize].clone();
                    let values: Vec<String> = codes.iter().zip(&columns).map(text).collect();
                    let group = self.group(&values)?;
                    by_codes.insert(codes.clone(), group);
                    group
                }
            };
            groups.push(group);
        }
        Ok(groups)
    }

    fn group(&mut self, values: &[String]) -> Result<u32, Fault> {
        let key = self.template.key(self.batch.id, &escape(&self.batch.connector), values.iter().map(String::as_str));
        if let Some(group) = self.by_key.get(&key) {
            return Ok(*group);
        }
        if self.keys.len() == self.pieces_max {
            let limit = self.pieces_max;
            return Err(Fault::park(
                Blame::Us,
                "too-many-partitions",
                format!(
                    "the rows of one batch fall into more than {limit} objects by partition_by and key: use a field \
                     with fewer values or a coarser time, or raise pieces_max"
                ),
            ));
        }
        if key.len() > KEY_BYTES_MAX || key.split('/').any(|folder| folder.len() > FOLDER_BYTES_MAX) {
            return Err(Fault::park(
                Blame::Us,
                "key-too-long",
                format!(
                    "an object's key would exceed {KEY_BYTES_MAX} bytes, or one of its folders {FOLDER_BYTES_MAX}: \
                     use shorter fields in partition_by and key"
                ),
            ));
        }
        let group = u32::try_from(self.keys.len()).expect("pieces_max is far below");
        self.keys.push(key.clone());
        self.by_key.insert(key, group);
        Ok(group)
    }

    fn coded(&self, field: &Field, record_batch: &RecordBatch, first_row: usize) -> Result<Coded, Fault> {
        let rows = first_row..first_row + record_batch.num_rows();
        Ok(match field {
            Field::Topic => self.origins(rows, |origin| origin.topic.to_string()),
            Field::Partition => self.origins(rows, |origin| origin.partition.partition.to_string()),
            Field::Value { column, .. } => {
                let texts = converted(record_batch.column(*column), &DataType::Utf8)?;
                texts_coded(texts.as_string())
            }
            Field::Time { column, format, .. } => times_coded(&micros(record_batch.column(*column))?, format),
        })
    }

    fn origins(&self, rows: Range<usize>, text: impl Fn(&outflow_api::Origin) -> String) -> Coded {
        let mut coder = Coder::default();
        let mut codes = Vec::with_capacity(rows.len());
        for origin in &self.batch.origins {
            let (start, end) = (origin.rows.start.max(rows.start), origin.rows.end.min(rows.end));
            if start < end {
                let code = coder.code(escape(&text(origin)));
                codes.resize(codes.len() + end - start, code);
            }
        }
        // Origins cover all rows of a batch; a row beyond them would else have no key.
        codes.resize_with(rows.len(), || coder.code(NULL.to_owned()));
        Coded { codes, values: coder.values }
    }
}

/// A column by its few distinct values: comparing and hashing texts row by row costs more than encoding them.
struct Coded {
    codes: Vec<u32>,
    values: Vec<String>,
}

#[derive(Default)]
struct Coder {
    values: Vec<String>,
}

impl Coder {
    fn code(&mut self, value: String) -> u32 {
        self.values.push(value);
        u32::try_from(self.values.len() - 1).expect("a batch has far fewer rows")
    }
}

fn texts_coded(texts: &StringArray) -> Coded {
    let mut coder = Coder::default();
    let mut known: HashMap<Option<&str>, u32> = HashMap::new();
    let codes = texts
        .iter()
        .map(|text| *known.entry(text).or_insert_with(|| coder.code(text.map_or_else(|| NULL.to_owned(), escape))));
    let codes = codes.collect();
    Coded { codes, values: coder.values }
}

fn times_coded(times: &TimestampMicrosecondArray, format: &str) -> Coded {
    let fine = ["%H", "%M"].iter().any(|field| format.contains(field));
    let step = if fine { MICROS_PER_MINUTE } else { MICROS_PER_DAY };
    let mut coder = Coder::default();
    let mut known: HashMap<Option<i64>, u32> = HashMap::new();
    let mut last: Option<(Option<i64>, u32)> = None;
    let codes = times.iter().map(|time| {
        let bucket = time.map(|micros| micros.div_euclid(step));
        if let Some((_, code)) = last.filter(|(before, _)| *before == bucket) {
            return code;
        }
        let code = *known.entry(bucket).or_insert_with(|| coder.code(time_text(bucket, step, format)));
        last = Some((bucket, code));
        code
    });
    let codes = codes.collect();
    Coded { codes, values: coder.values }
}

/// UTC, always: the same row must come to the same key on every machine.
fn time_text(bucket: Option<i64>, step: i64, format: &str) -> String {
    let micros = bucket.and_then(|bucket| bucket.checked_mul(step));
    let time = micros.and_then(DateTime::from_timestamp_micros);
    time.map_or_else(
        || NULL.to_owned(),
        |time| format.split('/').map(|part| escape(&time.format(part).to_string())).collect::<Vec<_>>().join("/"),
    )
}

fn micros(column: &ArrayRef) -> Result<TimestampMicrosecondArray, Fault> {
    let kind = DataType::Timestamp(TimeUnit::Microsecond, None);
    if let Some(days) = column.as_any().downcast_ref::<Date32Array>() {
        return Ok(days.unary(|days| i64::from(days) * MICROS_PER_DAY));
    }
    Ok(converted(column, &kind)?.as_primitive::<TimestampMicrosecondType>().clone())
}

fn converted(column: &ArrayRef, kind: &DataType) -> Result<ArrayRef, Fault> {
    let failed = |error| Fault::halt("key-not-made", "a column could not be turned into part of a key").because(error);
    cast(column, kind).map_err(|error: arrow_schema::ArrowError| failed(error))
}

fn rows_by_group(group_of: &[u32], groups: usize) -> Vec<(usize, Vec<u32>)> {
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); groups];
    for (row, group) in group_of.iter().enumerate() {
        rows[*group as usize].push(u32::try_from(row).expect("a batch has far fewer rows"));
    }
    rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()).collect()
}

fn take_rows(record_batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch, Fault> {
    if rows.len() == record_batch.num_rows() {
        return Ok(record_batch.clone());
    }
    take_record_batch(record_batch, &UInt32Array::from(rows))
        .map_err(|error| Fault::halt("rows-not-taken", "rows of a batch could not be sorted by key").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::{Field as Column, Schema};
    use outflow_api::{
        BatchId, Generation, Incarnation, LaneId, Offset, OffsetRange, Origin, Shard, TopicId, TopicPartition,
    };
    use std::sync::Arc;

    const HOUR: i64 = 60 * MICROS_PER_MINUTE;

    fn batch() -> SealedBatch {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let columns = vec![Column::new("at", time, true), Column::new("country", DataType::Utf8, true)];
        let schema = Arc::new(Schema::new(columns));
        let rows = |times: Vec<Option<i64>>, countries: Vec<Option<&str>>| {
            let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
            let columns: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(StringArray::from(countries))];
            RecordBatch::try_new(Arc::clone(&schema), columns).expect("they fit")
        };
        let id = BatchId {
            incarnation: Incarnation(1),
            shard: Shard(0),
            generation: Generation(1),
            lane: LaneId(1),
            seq: 1,
        };
        let origin = |topic: &str, partition, rows| Origin {
            topic: topic.into(),
            partition: TopicPartition { topic: TopicId(1), partition },
            covers: OffsetRange::new(Offset(0), Offset(9)),
            rows,
        };
        SealedBatch {
            id,
            connector: "orders".into(),
            batches: vec![
                rows(vec![Some(0), Some(25 * HOUR), Some(HOUR)], vec![Some("DE"), Some("a/b"), Some("DE")]),
                rows(vec![None, Some(-1)], vec![None, Some("DE")]),
            ],
            origins: vec![origin("orders", 0, 0..4), origin("carts", 7, 4..5)],
            timestamp_ms_max: 0,
        }
    }

    fn parts(folders: &str, pieces_max: usize) -> Result<Vec<(String, usize)>, Fault> {
        let batch = batch();
        let template = Template::parse(Some(folders), None, ".parquet", &batch.batches[0].schema())?;
        let rows = |part: &Part| part.batches.iter().map(RecordBatch::num_rows).sum();
        let folder = |part: &Part| part.key.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
        Ok(split(&template, pieces_max, &batch)?.iter().map(|part| (folder(part), rows(part))).collect())
    }

    fn found(folders: &str) -> Vec<(String, usize)> {
        parts(folders, 10).expect("few objects")
    }

    fn expected(parts: &[(&str, usize)]) -> Vec<(String, usize)> {
        parts.iter().map(|(folder, rows)| ((*folder).to_owned(), *rows)).collect()
    }

    #[test]
    fn rows_go_by_their_own_time_in_utc() {
        let days =
            [("dt=1969-12-31", 1), ("dt=1970-01-01", 2), ("dt=1970-01-02", 1), ("dt=__HIVE_DEFAULT_PARTITION__", 1)];
        assert_eq!(found("dt={at:%Y-%m-%d}"), expected(&days));
        let null = "%5F_HIVE_DEFAULT_PARTITION__";
        let hours = [null, "1969/12/31/23", "1970/01/01/00", "1970/01/01/01", "1970/01/02/01"].map(|hour| (hour, 1));
        assert_eq!(found("{at:%Y/%m/%d/%H}"), expected(&hours));
    }

    #[test]
    fn rows_go_by_their_own_values_and_where_they_come_from() {
        let countries = [("c=DE", 3), ("c=__HIVE_DEFAULT_PARTITION__", 1), ("c=a%2Fb", 1)];
        assert_eq!(found("c={country}"), expected(&countries));
        assert_eq!(found("{topic}/{partition}"), expected(&[("carts/7", 1), ("orders/0", 4)]));
        assert_eq!(found("{connector}/{shard}"), expected(&[("orders/0", 5)]));
    }

    #[test]
    fn too_many_objects_park_the_lane() {
        let fault = parts("c={country}", 2).expect_err("three countries");
        assert_eq!(fault.code, "too-many-partitions");
        assert!(fault.hint.contains("more than 2 objects"));
    }
}
