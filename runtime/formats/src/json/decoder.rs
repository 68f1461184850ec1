use super::{
    lineage::Lineage,
    record::Columns,
    shape::{self, Group},
};
use crate::reject::{Reject, Step};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use outflow_api::{Decoded, Decoder, Fault, Model, RecordView, Rows, TopicId};
use std::{collections::HashMap, sync::Arc};

/// Of one record's value.
pub const RECORD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A batch is cut before its records' bytes exceed this, so that no column's 31-bit ends run over: no column holds
/// more bytes or items than the records it was read from, and the few of `_unknown`'s own.
const BATCH_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// A hash has 64 bytes, and the shortest record or item that holds a text to be hashed has 8: `{"":""},`.
const HASH_GROWS_BY: usize = 8;

/// After so many rows the room that the others will need is known well enough. To grow by doubling would touch three
/// times as many fresh pages, and the kernel clears each: a third of all the time that decoding takes.
const ROWS_BEFORE_ROOM: usize = 256;

/// Columns grow unevenly.
const ROOM_MARGIN: f64 = 1.05;

/// Reads JSON records by a declared model; see the crate's first page for every rule. Pure: what it learns about the
/// order of keys while it decodes is forgotten afterwards, and changes the time that decoding takes, never the result.
#[derive(Debug)]
pub struct JsonDecoder {
    model: Model,
    root: Group,
    schema: SchemaRef,
    topics: HashMap<TopicId, String>,
    batch_bytes_max: usize,
}

impl JsonDecoder {
    /// `topics` names every topic that rows will come from; only models with lineage need it.
    pub fn new(model: &Model, topics: &[(TopicId, String)]) -> Result<JsonDecoder, Fault> {
        shape::check(model)?;
        let hashes = model.columns.iter().any(|column| !column.hashed.is_empty());
        Ok(JsonDecoder {
            batch_bytes_max: if hashes { BATCH_BYTES_MAX / HASH_GROWS_BY / 2 } else { BATCH_BYTES_MAX },
            model: model.clone(),
            root: Group::of(model),
            schema: shape::schema(model),
            topics: topics.iter().cloned().collect(),
        })
    }

    fn batch(&self, part: Part) -> RecordBatch {
        let mut arrays = part.columns.finish(part.rows);
        arrays.extend(part.lineage.into_iter().flat_map(Lineage::finish));
        RecordBatch::try_new(Arc::clone(&self.schema), arrays).expect("columns are built by the schema's own model")
    }

    /// Of a batch that is still to come.
    fn part(&self, rows_ahead: usize, bytes_ahead: usize) -> Part<'_> {
        let lineage = self.model.lineage.then(|| Lineage::new(&self.topics));
        let mut columns = Columns::new(&self.model, &self.root);
        columns.expect(rows_ahead.min(ROWS_BEFORE_ROOM));
        Part { columns, lineage, rows: 0, bytes: 0, bytes_ahead: bytes_ahead.min(self.batch_bytes_max) }
    }
}

/// A batch that is being built.
struct Part<'a> {
    columns: Columns,
    lineage: Option<Lineage<'a>>,
    rows: usize,
    bytes: usize,
    /// What may still come into this batch, from its first record on.
    bytes_ahead: usize,
}

impl Part<'_> {
    fn append(&mut self, record: &RecordView, model: &Model) -> Step {
        let text = payload(record)?;
        self.columns.append(text, self.rows, model)?;
        if let Some(lineage) = &mut self.lineage {
            lineage.append(record);
        }
        self.rows += 1;
        self.bytes += text.len();
        if self.rows == ROWS_BEFORE_ROOM {
            let ratio = self.bytes_ahead.max(self.bytes) as f64 / self.bytes as f64 * ROOM_MARGIN;
            self.columns.make_room(self.rows, ratio);
        }
        Ok(())
    }
}

impl Decoder for JsonDecoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// # Panics
    /// If the model has lineage and a row comes from a topic that the decoder was not told of.
    fn decode(&self, rows: &Rows) -> Decoded {
        let mut decoded = Decoded { batches: Vec::new(), rejected: Vec::new() };
        let mut ahead: usize = rows.iter().map(|record| record.value.map_or(0, <[u8]>::len)).sum();
        let mut part = self.part(rows.len(), ahead);
        for (index, record) in rows.iter().enumerate() {
            let bytes = record.value.map_or(0, <[u8]>::len);
            if part.bytes + bytes.min(RECORD_BYTES_MAX) > self.batch_bytes_max {
                decoded.batches.push(self.batch(std::mem::replace(&mut part, self.part(rows.len() - index, ahead))));
            }
            ahead -= bytes;
            if let Err(reject) = part.append(&record, &self.model) {
                decoded.rejected.push(reject.row(index));
            }
        }
        if part.rows > 0 {
            decoded.batches.push(self.batch(part));
        }
        decoded
    }
}

/// The record's text, if it is one that a JSON parser should see.
#[inline]
fn payload<'a>(record: &RecordView<'a>) -> Step<&'a str> {
    let Some(value) = record.value else {
        return Err(Reject::new("null-payload", "the record has no value (a tombstone); a JSON object expected"));
    };
    if value.len() > RECORD_BYTES_MAX {
        let size = format!("the record has {} bytes; at most {RECORD_BYTES_MAX} are allowed", value.len());
        return Err(Reject::new("too-large", size));
    }
    match value {
        [] => Err(Reject::new("empty-payload", "the record's value has no bytes; a JSON object expected")),
        [0, id @ ..] if id.len() >= 4 => Err(registry_payload(id)),
        _ => simdutf8::basic::from_utf8(value).map_err(|_| not_utf8(value)),
    }
}

#[cold]
fn not_utf8(value: &[u8]) -> Box<Reject> {
    let at = std::str::from_utf8(value).map_or_else(|error| error.valid_up_to(), str::len);
    Reject::new("not-utf8", format!("byte {at}: JSON is UTF-8, and this is not"))
}

#[cold]
fn registry_payload(rest: &[u8]) -> Box<Reject> {
    let id = rest.first_chunk().map_or(0, |id| u32::from_be_bytes(*id));
    let found = format!(
        "found a schema registry's format (schema id {id}) where JSON was declared; \
         let the producer write plain JSON, or declare the format that it writes"
    );
    Reject::new("registry-payload", found)
}
