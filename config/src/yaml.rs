use crate::problem::{Problem, Problems, Report};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};
use serde_saphyr::{
    MessageFormatter, Spanned, UserMessageFormatter,
    options::{DuplicateKeyPolicy, MergeKeyPolicy},
};
use std::fmt;

/// Line and column, from 1.
pub type Place = (usize, usize);

/// A YAML value that knows where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    pub at: Place,
    pub tree: Tree,
}

#[derive(Clone, Debug)]
pub enum Tree {
    /// Null, booleans, numbers and text.
    Scalar(Value),
    List(Vec<Node>),
    /// In the file's order; keys may repeat.
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub struct Key {
    pub at: Place,
    pub name: String,
}

impl Node {
    /// Reads one document; what is wrong with its syntax is noted in the report.
    pub fn parse(text: &str, report: &Report<'_>) -> Option<Node> {
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            merge_keys: MergeKeyPolicy::Error,
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
        };
        match serde_saphyr::from_str_with_options::<Node>(text, options) {
            Ok(node) => Some(node),
            Err(error) => {
                let at = error.location().map_or((0, 0), |at| (at.line() as usize, at.column() as usize));
                let message = UserMessageFormatter.format_message(error.without_snippet()).into_owned();
                report.note(at, Problem::new(format!("this is not YAML: {message}")));
                None
            }
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.tree, Tree::Scalar(Value::Null))
    }

    pub fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// For messages: never the value itself, which may be a secret.
    pub fn kind(&self) -> &'static str {
        match &self.tree {
            Tree::Scalar(Value::Null) => "nothing",
            Tree::Scalar(Value::Bool(_)) => "true or false",
            Tree::Scalar(Value::Number(_)) => "a number",
            Tree::Scalar(_) => "text",
            Tree::List(_) => "a list",
            Tree::Map(_) => "a section",
        }
    }

    /// For messages about what must be explicit: it is no secret.
    pub fn shown(&self) -> String {
        match &self.tree {
            Tree::Scalar(Value::String(text)) => format!("`{text}`"),
            Tree::Scalar(value) => format!("`{value}`"),
            _ => self.kind().to_owned(),
        }
    }

    /// Of repeated keys the last one stays; they are noted elsewhere.
    pub fn to_json(&self) -> Value {
        match &self.tree {
            Tree::Scalar(value) => value.clone(),
            Tree::List(items) => items.iter().map(Node::to_json).collect(),
            Tree::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect())
            }
        }
    }

    /// Calls `see` for this node and all below.
    pub fn each(&self, see: &mut impl FnMut(&Node)) {
        see(self);
        match &self.tree {
            Tree::Scalar(_) => (),
            Tree::List(items) => items.iter().for_each(|node| node.each(see)),
            Tree::Map(entries) => entries.iter().for_each(|(_, node)| node.each(see)),
        }
    }

    /// The node under a key of a section; the last one where the key repeats.
    pub fn field(&self, key: &str) -> Option<&Node> {
        match &self.tree {
            Tree::Map(entries) => entries.iter().rfind(|(known, _)| known.name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Calls `see` for this node and all below, with dotted paths; items of a list are `name[0]`.
    pub fn walk(&self, path: &str, see: &mut impl FnMut(&str, &Node)) {
        see(path, self);
        match &self.tree {
            Tree::Scalar(_) => (),
            Tree::List(items) => {
                items.iter().enumerate().for_each(|(index, node)| node.walk(&format!("{path}[{index}]"), see));
            }
            Tree::Map(entries) => {
                let dot = if path.is_empty() { "" } else { "." };
                entries.iter().for_each(|(key, node)| node.walk(&format!("{path}{dot}{}", key.name), see));
            }
        }
    }
}

/// YAML, or JSON, as plain values: for whoever sends it on.
pub fn read_plain(text: &str) -> Result<Value, Problems> {
    read("", text, |_, node| Some(node.to_json()))
}

/// One document from text that names its file, checked by `check`.
pub fn read<T>(file: &str, text: &str, check: impl FnOnce(&Report<'_>, &Node) -> Option<T>) -> Result<T, Problems> {
    let report = Report::new(file, text);
    let value = Node::parse(text, &report).and_then(|node| check(&report, &node));
    report.finish(value)
}

fn place<T>(spanned: &Spanned<T>) -> Place {
    (spanned.referenced.line() as usize, spanned.referenced.column() as usize)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Node { at: place(&spanned), tree: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Key { at: place(&spanned), name: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Tree::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}
