use std::fmt;

/// One place that breaks a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Relative to the root of the repository.
    pub file: String,
    /// From 1.
    pub line: usize,
    pub rule: String,
    pub reason: String,
}

impl Violation {
    pub fn new(file: &str, line: usize, rule: impl Into<String>, reason: impl Into<String>) -> Violation {
        Violation { file: file.to_owned(), line, rule: rule.into(), reason: reason.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}. Reason: {}.", self.file, self.line, self.rule, self.reason)
    }
}

/// Fails with all of them at once: nobody should mend one, run again and meet the next.
///
/// # Panics
/// If there is any.
pub fn none(violations: Vec<Violation>) {
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}
