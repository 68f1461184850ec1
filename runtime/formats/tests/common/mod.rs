use arrow_array::RecordBatch;
use outflow_api::{
    Column, Decoded, Decoder, Model, Offset, RecordBlock, RowSlice, Rows, SqlType, TopicId, TopicPartition,
    UnknownFields,
};
use outflow_formats::JsonDecoder;
use std::sync::Arc;

pub const TOPIC: TopicId = TopicId(7);

/// Columns as `name TYPE`; `name! TYPE` is required, `name=a.b TYPE` is read from a path.
pub fn model(columns: &[&str]) -> Model {
    let columns = columns.iter().map(|text| {
        let (name, sql_type) = text.split_once(' ').expect("a name and a type");
        let (name, required) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
        let (name, path) = name.split_once('=').unwrap_or((name, name));
        Column {
            name: name.to_owned(),
            sql_type: SqlType::parse(sql_type).expect("a valid type"),
            path: path.split('.').map(str::to_owned).collect(),
            required,
            hashed: Vec::new(),
        }
    });
    Model { columns: columns.collect(), unknown: UnknownFields::Ignore, lineage: false, skipped: Vec::new() }
}

pub fn rows(values: &[Option<&[u8]>]) -> Rows {
    let mut block = RecordBlock::new(TopicPartition { topic: TOPIC, partition: 2 });
    for (offset, value) in values.iter().enumerate() {
        block.push(Offset(offset as i64 * 3), 1_700_000_000_000 + offset as i64, None, *value, []);
    }
    let rows = 0..block.len();
    Rows::new(vec![RowSlice { block: Arc::new(block), rows }])
}

pub fn decoder(model: &Model) -> JsonDecoder {
    JsonDecoder::new(model, &[(TOPIC, "orders".to_owned())]).expect("a valid model")
}

pub fn decode(model: &Model, values: &[&[u8]]) -> Decoded {
    decoder(model).decode(&rows(&values.iter().map(|value| Some(*value)).collect::<Vec<_>>()))
}

/// All rows must fit.
#[allow(dead_code, reason = "each test program uses a part of these")]
pub fn batch(model: &Model, texts: &[&str]) -> RecordBatch {
    let decoded = decode(model, &texts.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
    assert_eq!(decoded.rejected, []);
    decoded.batches.into_iter().next().expect("one batch")
}

/// Why the only record does not fit.
#[allow(dead_code, reason = "each test program uses a part of these")]
pub fn reject(model: &Model, text: &str) -> (&'static str, String) {
    let mut decoded = decode(model, &[text.as_bytes()]);
    assert!(decoded.batches.is_empty(), "{text} was accepted");
    let row = decoded.rejected.remove(0);
    (row.code, row.message)
}
