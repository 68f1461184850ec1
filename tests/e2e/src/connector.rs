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
    pub sink: Option<String>,
    /// Lines of YAML: `merchant: { key: true }`.
    pub more: Vec<String>,
}

impl Connector {
    /// Reads the events of [`crate::event`]; its files are small and many.
    pub fn new(name: &str, topic: &str, lake: &Lake) -> Connector {
        Connector::into(name, topic, lake.sink())
    }

    /// `sink` is YAML in flow style, without braces.
    pub fn into(name: &str, topic: &str, sink: String) -> Connector {
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
            sink: Some(sink),
            more: Vec::new(),
        }
    }

    /// Whose a record is, says the record; who is nowhere named gets nothing.
    pub fn routed(name: &str, topic: &str, merchant: &str) -> Connector {
        let mut own = Connector::new(name, topic, &Lake::Folder("/unused".into()));
        own.columns.push("{ name: store_id, type: BIGINT }".into());
        Connector { sink: None, more: vec![format!("merchant: {merchant}")], ..own }
    }

    pub fn yaml(&self) -> String {
        let Connector { name, topic, columns, flush, dead_letters, sink, more } = self;
        let columns: String = columns.iter().map(|column| format!("    - {column}\n")).collect();
        let dead_letters =
            dead_letters.as_ref().map(|topic| format!("dead_letters: {{ topic: {topic} }}\n")).unwrap_or_default();
        let sink = sink.as_ref().map(|sink| format!("sink: {{ {sink} }}\n")).unwrap_or_default();
        let more: String = more.iter().map(|line| format!("{line}\n")).collect();
        format!(
            "connector: {name}\ntopics: [ {topic} ]\nformat: json\nmodel:\n  columns:\n{columns}  unknown: keep\n\
             flush: {flush}\n{dead_letters}{sink}{more}"
        )
    }
}
