use crate::{
    names,
    yaml::{Node, Tree},
};
use serde_json::Value;
use std::rc::Rc;

/// One line of a list of merchants.
pub struct Row {
    pub line: usize,
    pub names: Rc<[String]>,
    /// As many as there are names.
    pub values: Vec<String>,
}

const OPENS: &str = "${row:";

impl Row {
    fn value(&self, name: &str) -> Result<&str, String> {
        let Some(index) = self.names.iter().position(|known| known == name) else {
            return Err(format!("the row has no `{name}`, which the template asks for"));
        };
        let value = &self.values[index];
        if value.is_empty() {
            return Err(format!("`{name}` of the row is empty"));
        }
        Ok(value)
    }

    /// The node with every `${row:NAME}` filled in. Values are text and bring no references with them.
    pub fn fill(&self, node: &Node) -> Result<Node, String> {
        let tree = match &node.tree {
            Tree::Scalar(Value::String(text)) if text.contains(OPENS) => Tree::Scalar(self.fill_text(text)?.into()),
            Tree::Scalar(value) => Tree::Scalar(value.clone()),
            Tree::List(items) => Tree::List(items.iter().map(|item| self.fill(item)).collect::<Result<_, _>>()?),
            Tree::Map(entries) => {
                let filled = entries.iter().map(|(key, node)| Ok((key.clone(), self.fill(node)?)));
                Tree::Map(filled.collect::<Result<_, String>>()?)
            }
        };
        Ok(Node { at: node.at, tree })
    }

    fn fill_text(&self, text: &str) -> Result<String, String> {
        let (mut filled, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find(OPENS) {
            let (before, after) = rest.split_at(at);
            filled.push_str(before);
            let Some((name, behind)) = after[OPENS.len()..].split_once('}') else {
                return Err("a reference to a row has no closing brace".to_owned());
            };
            let value = self.value(name)?;
            // Inside of another reference, a value must not name another folder's secret or end the reference.
            if is_inside_a_reference(&filled) && names::name(value).is_err() {
                return Err(format!("`{name}` of the row is no plain name, which a reference around it needs"));
            }
            filled.push_str(value);
            rest = behind;
        }
        filled.push_str(rest);
        let written = text.matches("${").count() - text.matches(OPENS).count();
        if filled.matches("${").count() != written {
            return Err("a value of the row brings a reference (`${`) with it".to_owned());
        }
        Ok(filled)
    }
}

fn is_inside_a_reference(before: &str) -> bool {
    before.rfind("${").is_some_and(|at| !before[at..].contains('}'))
}

/// Every name that the template asks rows for, with the node that asks.
pub fn asked<'a>(node: &'a Node, see: &mut impl FnMut(&'a Node, &'a str)) {
    match &node.tree {
        Tree::Scalar(Value::String(text)) => {
            for part in text.split(OPENS).skip(1) {
                see(node, part.split_once('}').map_or(part, |(name, _)| name));
            }
        }
        Tree::Scalar(_) => (),
        Tree::List(items) => items.iter().for_each(|item| asked(item, see)),
        Tree::Map(entries) => entries.iter().for_each(|(_, node)| asked(node, see)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, value: &str) -> Result<String, String> {
        let row = Row { line: 2, names: ["id".to_owned()].into(), values: vec![value.to_owned()] };
        row.fill_text(text)
    }

    #[test]
    fn values_are_filled_in_wherever_they_are_asked_for() {
        assert_eq!(filled("s3://${row:id}/a/${row:id}", "x").as_deref(), Ok("s3://x/a/x"));
        assert_eq!(
            filled("${file:/run/secrets/${row:id}.json}", "a.b").as_deref(),
            Ok("${file:/run/secrets/a.b.json}")
        );
        assert_eq!(filled("${env:A}${row:id}", "b/../c").as_deref(), Ok("${env:A}b/../c"));
    }

    #[test]
    fn a_value_can_never_make_a_reference() {
        for (text, value) in [
            ("${row:id}", "${env:HOME}"),
            ("${row:id}{env:HOME}", "$"),
            ("$${row:id}", "{env:HOME}"),
            ("${file:/run/${row:id}}", "../other"),
            ("${file:/run/${row:id}}", "a}b"),
            ("${row:id}", ""),
            ("${row:other}", "x"),
            ("${row:id", "x"),
        ] {
            assert!(filled(text, value).is_err(), "{text} {value}");
        }
    }
}
