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

/// Reads JSON records by a declared model; see the crate's first page for every rule. Pure: what it learns about the
/// order of keys while it decodes is forgotten afterwards, and changes the time that decoding takes, never the result.
#[derive(Debug)]
pub struct JsonDecoder {
    model: Model,
    root: Group,
    schema: SchemaRef,
    topics: HashMap<TopicId, String>,
}

impl JsonDecoder {
    /// `topics` names every topic that rows will come from; only models with lineage need it.
    pub fn new(model: &Model, topics: &[(TopicId, String)]) -> Result<JsonDecoder, Fault> {
        shape::check(model)?;
        Ok(JsonDecoder {
            model: model.clone(),
            root: Group::of(model),
            schema: shape::schema(model),
            topics: topics.iter().cloned().collect(),
        })
    }

    fn batch(&self, part: Part) -> RecordBatch {
        let mut arrays = part.columns.finish();
        arrays.extend(part.lineage.into_iter().flat_map(Lineage::finish));
        RecordBatch::try_new(Arc::clone(&self.schema), arrays).expect("columns are built by the schema's own model")
    }

    fn part(&self) -> Part<'_> {
        let lineage = self.model.lineage.then(|| Lineage::new(&self.topics));
        Part { columns: Columns::new(&self.model, &self.root), lineage, rows: 0, bytes: 0 }
    }
}

/// A batch that is being built.
struct Part<'a> {
    columns: Columns,
    lineage: Option<Lineage<'a>>,
    rows: usize,
    bytes: usize,
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
        let mut part = self.part();
        for (index, record) in rows.iter().enumerate() {
            if part.bytes + record.value.map_or(0, <[u8]>::len).min(RECORD_BYTES_MAX) > BATCH_BYTES_MAX {
                decoded.batches.push(self.batch(std::mem::replace(&mut part, self.part())));
            }
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
        _ => std::str::from_utf8(value).map_err(|error| {
            Reject::new("not-utf8", format!("byte {}: JSON is UTF-8, and this is not", error.valid_up_to()))
        }),
    }
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
