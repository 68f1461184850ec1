use std::{
    cell::RefCell,
    fmt::{self, Write},
};

/// A mistake in the configuration, told so that it can be mended without asking anybody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Problem {
    /// Empty where no file is at fault.
    pub file: String,
    /// From 1; 0 where the whole file is meant.
    pub line: usize,
    pub column: usize,
    /// What is wrong.
    pub message: String,
    pub allowed: Option<Box<str>>,
    pub hint: Option<Box<str>>,
    /// The line, without what may be a secret.
    pub excerpt: Option<Box<str>>,
}

impl Problem {
    pub fn new(message: impl Into<String>) -> Problem {
        Problem { message: message.into(), ..Problem::default() }
    }

    pub fn allowed(self, allowed: impl Into<String>) -> Problem {
        Problem { allowed: Some(allowed.into().into_boxed_str()), ..self }
    }

    pub fn hint(self, hint: impl Into<String>) -> Problem {
        Problem { hint: Some(hint.into().into_boxed_str()), ..self }
    }

    pub fn in_file(self, file: impl Into<String>) -> Problem {
        Problem { file: file.into(), ..self }
    }

    pub fn in_line(self, line: usize) -> Problem {
        Problem { line, column: 1, ..self }
    }

    pub(crate) fn at(self, place: &Placed) -> Problem {
        let Placed { file, line, column, excerpt } = place.clone();
        Problem { file, line, column, excerpt, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        match (self.file.as_str(), self.line) {
            ("", _) => (),
            (file, 0) => write!(f, "\n{margin}--> {file}")?,
            (file, line) => write!(f, "\n{margin}--> {file}:{line}:{}", self.column)?,
        }
        if let Some(excerpt) = &self.excerpt {
            let before: String = excerpt.chars().take(self.column.saturating_sub(1)).collect();
            let blank: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n{margin} |\n{number} | {excerpt}\n{margin} | {blank}^")?;
        }
        let notes = [("allowed", &self.allowed), ("hint", &self.hint)];
        for (name, note) in notes.iter().filter_map(|(name, note)| note.as_ref().map(|note| (name, note))) {
            write!(f, "\n{margin} = {name}: {note}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// All mistakes that were found, as one error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            write!(f, "{problem}\n\n")?;
        }
        let count = self.0.len();
        write!(f, "{count} mistake{} in the configuration", if count == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Problems {
        Problems(vec![problem])
    }
}

/// A place with all that is needed to show it later.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Placed {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub excerpt: Option<Box<str>>,
}

/// One file while it is checked: mistakes are noted, and checking goes on.
pub(crate) struct Report<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Report<'a> {
    pub fn new(file: &'a str, text: &'a str) -> Report<'a> {
        Report { file, lines: text.lines().collect(), problems: RefCell::default() }
    }

    pub fn place(&self, (line, column): (usize, usize)) -> Placed {
        let text = line.checked_sub(1).and_then(|index| self.lines.get(index));
        Placed {
            file: self.file.to_owned(),
            line,
            column,
            excerpt: text.map(|line| without_secrets(line).into_boxed_str()),
        }
    }

    pub fn note(&self, at: (usize, usize), problem: Problem) {
        self.add(problem.at(&self.place(at)));
    }

    pub fn add(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// Takes back what was noted behind the first `count`.
    pub fn take_behind(&self, count: usize) -> Vec<Problem> {
        self.problems.borrow_mut().split_off(count)
    }

    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    /// The value, if nothing was noted.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Problems> {
        let problems = self.into_problems();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(Problems(problems)),
        }
    }
}

/// True for names of settings whose values nobody may see.
pub(crate) fn names_a_secret(key: &str) -> bool {
    const ENDS: [&str; 8] =
        ["password", "secret", "token", "access_key", "account_key", "private_key", "sas", "service_account"];
    let key = key.to_ascii_lowercase().replace(['.', '-'], "_");
    ENDS.iter().any(|end| key == *end || key.ends_with(&format!("_{end}")))
}

/// Cuts the line behind the first key that names a secret, unless a reference follows.
fn without_secrets(line: &str) -> String {
    let mut cut = String::new();
    let mut rest = line;
    while let Some(colon) = rest.find(':') {
        let (before, after) = rest.split_at(colon + 1);
        cut.push_str(before);
        let key = before[..colon].rsplit(['{', ',', ' ', '"', '\'']).find(|word| !word.is_empty());
        let value = after.trim_start_matches([' ', '"', '\'']);
        if key.is_some_and(names_a_secret) && !value.is_empty() && !value.starts_with("${") {
            let _ = write!(cut, " …");
            return cut;
        }
        rest = after;
    }
    cut + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_shown_like_a_compiler_shows_it() {
        let report = Report::new("orders.yaml", "connector: orders\nflsh: { age: 5s }");
        report.note((2, 1), Problem::new("unknown key `flsh`").allowed("flush").hint("did you mean `flush`?"));
        let shown = report.finish(Some(())).expect_err("noted").to_string();
        let expected = "error: unknown key `flsh`\n --> orders.yaml:2:1\n  |\n2 | flsh: { age: 5s }\n  | ^\n  \
                        = allowed: flush\n  = hint: did you mean `flush`?\n\n1 mistake in the configuration";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_shown_line_holds_no_secret() {
        let shown = without_secrets;
        assert_eq!(shown("security: { user: me, password: \"hunter2\", a: b }"), "security: { user: me, password: …");
        assert_eq!(shown("  sasl.password: hunter2"), "  sasl.password: …");
        assert_eq!(shown("a: { password: \"${env:P}\", b: c }"), "a: { password: \"${env:P}\", b: c }");
        assert_eq!(shown("  aws_secret_access_key: AKIA"), "  aws_secret_access_key: …");
        assert_eq!(shown("  \"token\": abc"), "  \"token\": …");
        assert_eq!(shown("key: \"{topic}/{partition}\""), "key: \"{topic}/{partition}\"");
    }
}
