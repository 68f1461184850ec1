/// A Rust source, with its code apart from comments and literals, so that a rule can name what it forbids.
pub struct SourceFile {
    /// Relative to the root of the repository.
    pub path: String,
    pub text: String,
    /// As `text`, line by line and byte by byte, with blanks for comments and for the contents of literals.
    pub code: String,
}

impl SourceFile {
    pub fn new(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    /// Line numbers from 1 where the code contains the pattern as a whole word.
    pub fn lines_with(&self, pattern: &str) -> Vec<usize> {
        let lines = self.code.lines().enumerate();
        lines.filter(|(_, line)| has_word(line, pattern)).map(|(index, _)| index + 1).collect()
    }

    /// First line of the test module, if there is one: by custom it is the last thing in a file. A file of tests is
    /// tests from line 1.
    pub fn tests_from(&self) -> usize {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let is_tests = |folder: &str| ["tests", "benches", "examples"].contains(&folder);
        let below_package = self.path.split('/').skip(2);
        if name.ends_with("tests.rs") || below_package.into_iter().any(is_tests) || self.path.starts_with("tests/") {
            return 1;
        }
        self.code.lines().position(|line| line.trim() == "#[cfg(test)]").map_or(usize::MAX, |index| index + 1)
    }
}

fn has_word(line: &str, pattern: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(pattern).any(|(at, found)| {
        let before = line[..at].chars().next_back().is_some_and(is_word);
        let after = line[at + found.len()..].chars().next().is_some_and(is_word);
        let begins_open = !(before && pattern.starts_with(is_word));
        let ends_open = !(after && pattern.ends_with(|c| is_word(c) && c != '_'));
        begins_open && ends_open
    })
}

/// Replaces all but code by blanks; every byte keeps its place.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match skipped(bytes, at) {
            Some(end) => end,
            None => {
                at += 1;
                continue;
            }
        };
        let blanks = code[at..end].iter_mut().filter(|byte| **byte != b'\n');
        blanks.for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8(code).expect("whole characters were replaced")
}

/// The end of the comment or literal that starts here, if one does.
fn skipped(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(find(bytes, at, b"\n"));
    }
    if rest.starts_with(b"/*") {
        return Some(block_comment_end(bytes, at));
    }
    match rest[0] {
        b'"' => Some(string_end(bytes, at)),
        b'r' if !at.checked_sub(1).is_some_and(|before| is_name(bytes[before]) && bytes[before] != b'b') => {
            raw_string_end(bytes, at)
        }
        b'\'' => char_end(bytes, at),
        _ => None,
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `wanted` begins at or after `from`, or the end of the text.
fn find(bytes: &[u8], from: usize, wanted: &[u8]) -> usize {
    let found = bytes[from..].windows(wanted.len()).position(|window| window == wanted);
    found.map_or(bytes.len(), |distance| from + distance)
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0;
    let mut at = at;
    while at < bytes.len() {
        match &bytes[at..(at + 2).min(bytes.len())] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at.min(bytes.len())
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    (end + 1).min(bytes.len())
}

fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(at + 1 + hashes) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    Some((find(bytes, at + 2 + hashes, &close) + close.len()).min(bytes.len()))
}

/// A lifetime looks like the start of a character.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    let length = match bytes.get(at + 1)? {
        b'\\' => find(bytes, at + 3, b"'") - at,
        first => 1 + first.leading_ones().max(1) as usize,
    };
    (bytes.get(at + length) == Some(&b'\'')).then_some(at + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left_and_every_line_keeps_its_place() {
        let text = "a // todo!\n/* /* b */ */ c \"todo!\\\"\" d\nr#\"todo!\"\"# e 'f' '\\'' &'g str '\u{e9}' h";
        let source = SourceFile::new("runtime/x/src/lib.rs", text);
        let words: Vec<Vec<&str>> = source.code.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words, [vec!["a"], vec!["c", "d"], vec!["e", "&'g", "str", "h"]]);
        assert_eq!(source.code.len(), text.len());
    }

    #[test]
    fn a_pattern_is_found_as_a_word_only() {
        let source = SourceFile::new("x.rs", "todo!()\nnot_todo!()\nfn test_a() {}\nfn latest_a() {}");
        assert_eq!(source.lines_with("todo!"), [1]);
        assert_eq!(source.lines_with("fn test_"), [3]);
    }

    #[test]
    fn product_code_ends_where_its_tests_begin() {
        let tests_from = |path: &str, text: &str| SourceFile::new(path, text).tests_from();
        assert_eq!(tests_from("runtime/a/src/b.rs", "x\n#[cfg(test)]\nmod tests {}"), 2);
        assert_eq!(tests_from("runtime/a/src/b.rs", "x"), usize::MAX);
        assert_eq!(tests_from("runtime/a/tests/b.rs", "x"), 1);
        assert_eq!(tests_from("runtime/a/src/b_tests.rs", "x"), 1);
    }
}
