use crate::{limits, problem::Problem, row::Row};
use serde_json::{Map, Value};
use std::rc::Rc;

/// How a list of merchants is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListFormat {
    /// RFC 4180, with a line of names at the top.
    Csv,
    /// One JSON object of scalars per line.
    Ndjson,
}

impl ListFormat {
    pub fn of(name: &str) -> Option<ListFormat> {
        match name.rsplit_once('.')?.1 {
            "csv" => Some(ListFormat::Csv),
            "ndjson" => Some(ListFormat::Ndjson),
            _ => None,
        }
    }
}

/// What a list has, one after the other.
pub enum Listed {
    /// First of a CSV: what all its rows have.
    Names(Rc<[String]>),
    Row(Row),
    /// With its line.
    Wrong(Problem),
}

/// Reads a list to its end; what is wrong with the line of names ends it.
pub fn read(format: ListFormat, text: &[u8], see: &mut dyn FnMut(Listed)) {
    match format {
        ListFormat::Csv => read_csv(text, see),
        ListFormat::Ndjson => read_ndjson(text, see),
    }
}

fn read_csv(text: &[u8], see: &mut dyn FnMut(Listed)) {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut header: Option<Rc<[String]>> = None;
    let mut record = csv::ByteRecord::new();
    let mut lines = Lines { text, at: 0, line: 1 };
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => (),
            Ok(false) => break,
            Err(error) => return see(Listed::Wrong(Problem::new(format!("this is no CSV: {error}")))),
        }
        let line = lines.number(record.position().map_or(0, |position| position.byte() as usize));
        let fields: Result<Vec<String>, _> = record.iter().map(|field| String::from_utf8(field.to_vec())).collect();
        let told = |problem: Problem| problem.in_line(line);
        match (fields, &header) {
            (Err(_), Some(_)) => see(Listed::Wrong(told(Problem::new("the row is not UTF-8")))),
            (Err(_), None) => return see(Listed::Wrong(told(Problem::new("the line of names is not UTF-8")))),
            (Ok(names), None) => match header_is_sound(&names) {
                Ok(()) => see(Listed::Names(Rc::clone(header.insert(names.into())))),
                Err(problem) => return see(Listed::Wrong(told(problem))),
            },
            (Ok(values), Some(names)) if values.len() == names.len() => {
                see(Listed::Row(Row { line, names: Rc::clone(names), values }));
            }
            (Ok(values), Some(names)) => {
                let message = format!("the row has {} fields", values.len());
                let problem = Problem::new(message).allowed(format!("{} fields, as the line of names", names.len()));
                see(Listed::Wrong(told(problem.hint("text with commas or line ends stands in double quotes"))));
            }
        }
    }
    if header.is_none() {
        see(Listed::Wrong(Problem::new("the list has no line of names").hint("begin with one: id,bucket")));
    }
}

/// Counts lines up to a rising position.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// Of the row that is read from here on, behind empty lines.
    fn number(&mut self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let at = at + rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let passed = self.text.get(self.at..at).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.at = at.max(self.at);
        self.line
    }
}

fn header_is_sound(names: &[String]) -> Result<(), Problem> {
    if names.len() > limits::LIST_COLUMNS_MAX {
        let problem = Problem::new(format!("the list has {} columns", names.len()));
        return Err(problem.allowed(format!("1 to {}", limits::LIST_COLUMNS_MAX)));
    }
    let twice = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
    match twice {
        Some((_, name)) => Err(Problem::new(format!("column `{name}` is there twice")).hint("rename one of them")),
        None => Ok(()),
    }
}

fn read_ndjson(text: &[u8], see: &mut dyn FnMut(Listed)) {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        see(match ndjson_row(index + 1, line) {
            Ok(row) => Listed::Row(row),
            Err(problem) => Listed::Wrong(problem.in_line(index + 1)),
        });
    }
}

fn ndjson_row(line: usize, text: &[u8]) -> Result<Row, Problem> {
    const ALLOWED: &str = "one JSON object of texts, numbers, true or false: {\"id\": \"1001\", \"bucket\": \"a\"}";
    let fields: Map<String, Value> = serde_json::from_slice(text).map_err(|error| {
        let message = format!("the row is no JSON object, from its character {} on", error.column());
        Problem::new(message).allowed(ALLOWED)
    })?;
    if fields.len() > limits::LIST_COLUMNS_MAX {
        let problem = Problem::new(format!("the row has {} fields", fields.len()));
        return Err(problem.allowed(format!("1 to {}", limits::LIST_COLUMNS_MAX)));
    }
    let (mut names, mut values) = (Vec::with_capacity(fields.len()), Vec::with_capacity(fields.len()));
    for (name, value) in fields {
        let value = match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(Problem::new(format!("`{name}` of the row is no scalar")).allowed(ALLOWED));
            }
        };
        names.push(name);
        values.push(value);
    }
    Ok(Row { line, names: names.into(), values })
}
