use crate::{
    limits,
    problem::{Problem, Report},
    yaml::Node,
};
use serde_json::Value;
use std::{env, fs, io, path::Path};

/// Where secrets come from, given at the edge. Files are checked on several threads.
pub trait Environment: Sync {
    fn variable(&self, name: &str) -> Option<String>;
    fn file(&self, path: &Path) -> io::Result<String>;
}

/// The process's own environment and file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        env::var(name).ok()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        if fs::metadata(path)?.len() > limits::SECRET_BYTES_MAX {
            return Err(io::Error::other(format!("it is larger than {} bytes", limits::SECRET_BYTES_MAX)));
        }
        fs::read_to_string(path)
    }
}

/// Fills in every `${env:NAME}` and `${file:/path}`. The line end at a file's end is no part of the secret.
///
/// What is answered holds secrets: hand it to the sink, never to a log. Errors name the reference, never a value.
pub fn resolve(value: &Value, environment: &dyn Environment) -> Result<Value, Problem> {
    Ok(match value {
        Value::String(text) => Value::String(resolve_text(text, environment)?),
        Value::Array(items) => items.iter().map(|item| resolve(item, environment)).collect::<Result<_, _>>()?,
        Value::Object(fields) => {
            let resolved = fields.iter().map(|(name, item)| Ok((name.clone(), resolve(item, environment)?)));
            Value::Object(resolved.collect::<Result<_, Problem>>()?)
        }
        _ => value.clone(),
    })
}

pub fn resolve_text(text: &str, environment: &dyn Environment) -> Result<String, Problem> {
    let mut resolved = String::new();
    for part in parts(text) {
        match part? {
            Part::Text(text) => resolved.push_str(text),
            Part::Variable(name) => resolved.push_str(&environment.variable(name).ok_or_else(|| {
                Problem::new(format!("the environment has no variable {name}, named by ${{env:{name}}}"))
                    .hint(format!("set {name} for this process, or correct the reference"))
            })?),
            Part::File(path) => {
                let content = environment.file(Path::new(path)).map_err(|error| {
                    Problem::new(format!("${{file:{path}}} can't be read: {error}"))
                        .hint("create the file, or let this process read it")
                })?;
                resolved.push_str(content.trim_end_matches(['\r', '\n']));
            }
        }
    }
    Ok(resolved)
}

/// Notes every reference below a node that nobody answers; true if there is none. Malformed ones are noted where they
/// stand by the checks.
pub fn all_resolve(report: &Report<'_>, node: &Node, environment: &dyn Environment) -> bool {
    let noted = report.count();
    node.each(&mut |node| {
        let text = node.text().filter(|text| has_one(text) && check(text).is_ok());
        if let Some(Err(problem)) = text.map(|text| resolve_text(text, environment)) {
            report.note(node.at, problem);
        }
    });
    report.count() == noted
}

/// Are the references in it well formed?
pub fn check(text: &str) -> Result<(), Problem> {
    parts(text).try_for_each(|part| part.map(|_| ()))
}

/// True if the text has a reference anywhere.
pub fn has_one(text: &str) -> bool {
    text.contains("${")
}

/// True if the text is a reference and nothing else.
pub fn is_one(text: &str) -> bool {
    let mut parts = parts(text);
    matches!((parts.next(), parts.next()), (Some(Ok(Part::Variable(_) | Part::File(_))), None))
}

enum Part<'a> {
    Text(&'a str),
    Variable(&'a str),
    File(&'a str),
}

fn parts(text: &str) -> impl Iterator<Item = Result<Part<'_>, Problem>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let start = rest.find("${").unwrap_or(rest.len());
        if start > 0 {
            let (before, after) = rest.split_at(start);
            rest = after;
            return Some(Ok(Part::Text(before)));
        }
        let wrong = |message: &str| Some(Err(Problem::new(message).allowed("${env:NAME}, ${file:/path}")));
        let Some(end) = rest.find('}') else {
            rest = "";
            return wrong("a reference has no closing brace");
        };
        let inner = &rest[2..end];
        rest = &rest[end + 1..];
        match inner.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Some(Ok(Part::Variable(name))),
            Some(("file", path)) if path.starts_with('/') => Some(Ok(Part::File(path))),
            Some(("file", _)) => wrong("a file reference needs an absolute path"),
            _ => wrong(&format!("unknown reference ${{{inner}}}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Fake;

    impl Environment for Fake {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "USER").then(|| "me".to_owned())
        }

        fn file(&self, path: &Path) -> io::Result<String> {
            if path == Path::new("/run/key") { Ok("hunter2\n".into()) } else { Err(io::ErrorKind::NotFound.into()) }
        }
    }

    #[test]
    fn references_are_filled_in_wherever_they_stand() {
        let settings = json!({ "a": ["${env:USER}@x", 1], "b": { "c": "${file:/run/key}" }, "d": true });
        let resolved = resolve(&settings, &Fake).expect("all there");
        assert_eq!(resolved, json!({ "a": ["me@x", 1], "b": { "c": "hunter2" }, "d": true }));
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_else_is() {
        let wrong = |text: &str| {
            let settings = json!({ "known": "${file:/run/key}", "x": text });
            let shown = resolve(&settings, &Fake).expect_err("missing").to_string();
            assert!(!shown.contains("hunter2"), "{shown}");
            shown
        };
        assert!(wrong("${env:NOBODY}").contains("no variable NOBODY"));
        assert!(wrong("${file:/nowhere}").contains("${file:/nowhere} can't be read"));
        assert!(wrong("${vault:x}").contains("unknown reference ${vault:x}"));
        assert!(wrong("${env:USER").contains("no closing brace"));
        assert!(wrong("${file:key}").contains("absolute path"));
    }
}
