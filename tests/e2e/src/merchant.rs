use crate::Lake;
use std::fmt::Display;

/// A merchant's file, or with `${row:NAME}` in it the template of many.
#[derive(Clone)]
pub struct Merchant {
    id: String,
    list: Option<String>,
    deliver: Vec<String>,
}

impl Merchant {
    pub fn new(id: impl Display) -> Merchant {
        Merchant { id: id.to_string(), list: None, deliver: Vec::new() }
    }

    /// One for each row of a list: a file beside this one.
    pub fn each_of(list: &str, id: &str) -> Merchant {
        Merchant { list: Some(list.to_owned()), ..Merchant::new(id) }
    }

    /// `more` is YAML in flow style: `start: earliest, schedule: 1m`.
    pub fn delivered(self, connector: &str, lake: &Lake, more: &str) -> Merchant {
        self.delivered_into(connector, &lake.sink(), more)
    }

    /// `sink`, too, without braces.
    pub fn delivered_into(mut self, connector: &str, sink: &str, more: &str) -> Merchant {
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        self.deliver.push(format!("{{ connector: {connector}, sink: {{ {sink} }}{more} }}"));
        self
    }

    pub fn yaml(&self) -> String {
        let list = self.list.as_ref().map(|list| format!("template: {{ list: {list} }}\n")).unwrap_or_default();
        let deliver: String = self.deliver.iter().map(|one| format!("  - {one}\n")).collect();
        format!("{list}merchant: \"{}\"\ndeliver:\n{deliver}", self.id)
    }
}
