use crate::{SourceFile, Violation};

const LINES_MAX: usize = 70;
const REASON: &str = "a function that does not fit a screen is read in pieces, and pieces hide what must stay true";

/// Functions longer than a screen.
pub fn check(source: &SourceFile) -> Vec<Violation> {
    let starts = source.code.match_indices("fn ").filter(|(at, _)| is_named_function(&source.code, *at));
    let lengths = starts.filter_map(|(at, _)| Some((line_at(&source.code, at), lines(&source.code[at..])?)));
    let long = lengths.filter(|(_, lines)| *lines > LINES_MAX);
    let report = |(line, lines): (usize, usize)| {
        Violation::new(&source.path, line, format!("a function of {lines} lines; at most {LINES_MAX}"), REASON)
    };
    long.map(report).collect()
}

fn is_named_function(code: &str, at: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    !code[..at].chars().next_back().is_some_and(is_word) && code[at + 3..].starts_with(is_word)
}

fn line_at(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// From the signature to the brace that closes the body; none for a declaration.
fn lines(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.checked_sub(1)?,
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(line_at(code, at));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        check(&SourceFile::new("x.rs", text)).iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn a_function_longer_than_a_screen_is_found() {
        let body = |lines: usize| "x;\n".repeat(lines);
        assert_eq!(found(&format!("\nfn a(b: [u8; 3]) {{\n{}}}\n", body(69))), [2]);
        assert!(found(&format!("fn a() {{\n{}}}\n", body(68))).is_empty());
        assert!(found(&format!("trait A {{ fn a(&self);\n fn b(&self) {{ }}\n{} }}", body(90))).is_empty());
        assert!(found(&format!("struct A {{ a: fn (u8), b: u8 }}\nmod b {{\n{} }}", body(90))).is_empty());
    }
}
