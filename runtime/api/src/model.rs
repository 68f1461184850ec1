use crate::SqlType;

/// What a record becomes: the declared columns of a connector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    pub columns: Vec<Column>,
    pub unknown: UnknownFields,
    /// Adds `_topic VARCHAR, _partition BIGINT, _offset BIGINT, _timestamp TIMESTAMP` behind the columns.
    pub lineage: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    pub name: String,
    pub sql_type: SqlType,
    /// Names of fields from the record's top level down, `["customer", "email"]`; the column's own name by default.
    pub path: Vec<String>,
    /// A record without it, or with null in it, goes to the dead letters.
    pub required: bool,
}

/// Fields of the record's top level that no column names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UnknownFields {
    #[default]
    Ignore,
    /// In one JSON column, `_unknown`.
    Keep,
    /// The record goes to the dead letters.
    Reject,
}
