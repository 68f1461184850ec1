use crate::{SourceFile, Violation};

const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 120;
const DESCRIPTION_MIN: usize = 40;

pub const SINK_HEADINGS: [&str; 5] =
    ["Guarantee", "How a batch becomes visible", "Settings", "Fault codes", "Permissions"];

/// A file that can be read in one go, with lines that fit beside another file.
pub fn check_size(source: &SourceFile) -> Vec<Violation> {
    let mut violations = Vec::new();
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        let rule = format!("{lines} lines; at most {LINES_MAX}");
        violations.push(Violation::new(&source.path, LINES_MAX, rule, "a file is one noun, understood in one reading"));
    }
    for (index, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            let rule = format!("{columns} characters; at most {COLUMNS_MAX}");
            violations.push(Violation::new(&source.path, index + 1, rule, "lines are read beside other lines"));
        }
    }
    violations
}

/// Each crate says for itself what it is: `root` is its `lib.rs` or `main.rs`.
pub fn check_crate_comment(root: &SourceFile) -> Vec<Violation> {
    let comment = root.text.lines().map_while(|line| line.strip_prefix("//!"));
    let words: usize = comment.map(|line| line.trim().len()).sum();
    let rule = format!("the crate begins with a comment (`//!`) of at least {DESCRIPTION_MIN} characters");
    let reason = "each crate is understood alone: what comes in, what goes out, what it may touch";
    if words >= DESCRIPTION_MIN { Vec::new() } else { vec![Violation::new(&root.path, 1, rule, reason)] }
}

/// The five headings of a sink's README, in their order.
pub fn check_sink_readme(path: &str, text: &str) -> Vec<Violation> {
    let headings = text.lines().enumerate().filter_map(|(index, line)| {
        Some((index + 1, line.trim_start_matches('#').trim())).filter(|_| line.starts_with('#'))
    });
    let headings: Vec<(usize, &str)> = headings.filter(|(_, heading)| SINK_HEADINGS.contains(heading)).collect();
    let seen: Vec<&str> = headings.iter().map(|(_, heading)| *heading).collect();
    if seen == SINK_HEADINGS {
        return Vec::new();
    }
    let rule = format!("a sink's README has the headings {SINK_HEADINGS:?} in this order; found {seen:?}");
    let line = headings.first().map_or(1, |(line, _)| *line);
    vec![Violation::new(path, line, rule, "whoever knows one sink's page finds his way in every other")]
}

/// Places that exist on one machine only.
pub fn check_machine_paths(path: &str, text: &str) -> Vec<Violation> {
    let folders = ["root", "home", "tmp", "work", "Users", "var/tmp"].map(|name| format!("/{name}/"));
    let begins = |line: &str, at: usize| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "\"'`(=:,[<>{|".contains(c)) || line[..at].ends_with("file://")
    };
    let names = |line: &str| folders.iter().any(|folder| line.match_indices(folder).any(|(at, _)| begins(line, at)));
    let lines = text.lines().enumerate().filter(|(_, line)| names(line));
    let reason = "it is on one machine only; ask for a temporary or a cache folder";
    lines.map(|(index, _)| Violation::new(path, index + 1, "a path of one machine", reason)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_too_long_and_a_line_too_wide_are_found() {
        let of = |text: &str| check_size(&SourceFile::new("x.rs", text)).iter().map(|v| v.line).collect::<Vec<_>>();
        assert_eq!(of(&"a\n".repeat(501)), [500]);
        assert_eq!(of(&format!("a\n{}\n", "é".repeat(121))), [2]);
        assert!(of(&format!("{}\n", "é".repeat(120))).is_empty());
    }

    #[test]
    fn a_crate_without_a_word_about_itself_is_found() {
        let of = |text: &str| check_crate_comment(&SourceFile::new("lib.rs", text)).len();
        assert_eq!(of("mod a;\n//! far too late to say what this is, and for whom it was made"), 1);
        assert_eq!(of("//! Short."), 1);
        assert_eq!(of("//! Says what comes in, what goes out\n//! and what it may touch.\nmod a;"), 0);
    }

    #[test]
    fn a_sinks_page_has_all_headings_in_their_order() {
        let page = SINK_HEADINGS.map(|heading| format!("## {heading}\ntext\n")).concat();
        assert_eq!(check_sink_readme("README.md", &format!("# Sink\n{page}## More\n")), []);
        assert_eq!(check_sink_readme("README.md", &page.replace("## Settings", "Settings")).len(), 1);
        assert_eq!(check_sink_readme("README.md", "").len(), 1);
    }

    #[test]
    fn a_path_of_one_machine_is_found_and_a_url_is_not() {
        let of = |text: &str| check_machine_paths("x", text).len();
        assert_eq!(of(concat!("let a = \"/ho", "me/me/x\";")), 1);
        assert_eq!(of(concat!("cd /ro", "ot/x")), 1);
        assert_eq!(of(concat!("https://host/ho", "me/x and ${a}/t", "mp/x")), 0);
    }
}
