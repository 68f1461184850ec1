//! Every type of a model, out and back by the server's own words.

use crate::{client, settings};
use arrow_array::RecordBatch;
use outflow_api::{
    BatchId, CommitOutcome, CommitPermit, Decoder, Generation, Identity, Incarnation, LaneId, Model, RecordBlock, RowSlice,
    Rows, SealedBatch, Shard, SinkContext, SqlType, TopicId, TopicPartition,
};
use outflow_postgres::DESCRIPTOR;
use serde_json::json;
use std::sync::Arc;

const COLUMNS: [(&str, &str); 11] = [
    ("number", "BIGINT"),
    ("ratio", "DOUBLE"),
    ("yes", "BOOLEAN"),
    ("name", "VARCHAR"),
    ("day", "DATE"),
    ("at", "TIMESTAMP"),
    ("price", "DECIMAL(38,9)"),
    ("tags", "ARRAY<VARCHAR>"),
    ("item", "STRUCT<sku VARCHAR, quantity BIGINT>"),
    ("extra", "MAP<VARCHAR, BIGINT>"),
    ("raw", "JSON"),
];
