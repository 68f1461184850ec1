use crate::Lake;

/// A connector's file, with what tests change of it.
#[derive(Clone)]
pub struct Connector {
    pub name: String,
    pub topic: String,
    /// Lines of YAML, each a column.
    pub columns: Vec<String>,
    pub flush: String,
    pub dead_letters: Option<String>,
    /// YAML in flow style, without braces.
    pub sink: String,
}

impl Connector {
    /// Reads the events of [`crate::event`]; its files are small and many.
    pub fn new(name: &str, topic: &str, lake: &Lake) -> Connector {
        let columns = [
            "{ name: number, type: BIGINT, required: true }",
            "{ name: event_id, type: VARCHAR }",
            "{ name: created_at, type: TIMESTAMP }",
        ];
        Connector {
            name: name.to_owned(),
            topic: topic.to_owned(),
            columns: columns.map(str::to_owned).into(),
            flush: "{ rows: 2000, bytes: 4MiB, age: 1s }".to_owned(),
            dead_letters: None,
            sink: lake.sink(),
        }
    }

    pub fn yaml(&self) -> String {
        let Connector { name, topic, columns, flush, dead_letters, sink } = self;
        let columns: String = columns.iter().map(|column| format!("    - {column}\n")).collect();
        let dead_letters =
            dead_letters.as_ref().map(|topic| format!("dead_letters: {{ topic: {topic} }}\n")).unwrap_or_default();
        format!(
            "connector: {name}\ntopics: [ {topic} ]\nformat: json\nmodel:\n  columns:\n{columns}  unknown: keep\n\
             flush: {flush}\n{dead_letters}sink: {{ type: object_store, {sink} }}\n"
        )
    }
}
