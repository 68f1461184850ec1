use crate::reject::{Reject, Step};

/// Arrays and objects within each other; deeper records are rejected before the stack notices.
pub const DEPTH_MAX: u32 = 64;

/// A strict JSON reader (RFC 8259) over text that is known to be UTF-8. It never looks at a byte twice on the usual
/// way, and checks what it skips as strictly as what it keeps.
pub struct Scanner<'a> {
    pub text: &'a str,
    pub at: usize,
    depth: u32,
}

/// A string between its quotes, checked, with its escapes as they came.
#[derive(Clone, Copy)]
pub struct Quoted<'a> {
    pub raw: &'a str,
    pub escaped: bool,
}

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// High bits at quotes, backslashes and control characters, exact up to the first of them.
#[inline]
fn ends_plain_text(word: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

/// How many bytes come before the next quote, backslash or control character, or the end.
#[inline]
pub fn plain_bytes(bytes: &[u8]) -> usize {
    // Most texts end soon; blocks are for the long ones. The compiler makes a few vector instructions of a block; they
    // say whether there is an end, not where.
    let (mut at, ended) = plain_words(bytes, 0, 2);
    if ended {
        return at;
    }
    while let Some(block) = bytes[at..].first_chunk::<16>() {
        if block.iter().fold(false, |end, byte| end | (*byte < b' ') | (*byte == b'"') | (*byte == b'\\')) {
            break;
        }
        at += block.len();
    }
    let (mut at, ended) = plain_words(bytes, at, usize::MAX);
    while !ended && bytes.get(at).is_some_and(|byte| *byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at
}

/// Counts whole words of plain text, and up to the end of it if that comes.
#[inline]
fn plain_words(bytes: &[u8], mut at: usize, words: usize) -> (usize, bool) {
    for _ in 0..words {
        let Some(word) = bytes[at..].first_chunk::<8>() else { return (at, false) };
        let ends = ends_plain_text(u64::from_le_bytes(*word));
        if ends != 0 {
            return (at + (ends.trailing_zeros() / 8) as usize, true);
        }
        at += word.len();
    }
    (at, false)
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0, depth: 0 }
    }

    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    pub fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    pub fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    #[cold]
    pub fn fail<T>(&self, expected: &str) -> Step<T> {
        Err(Reject::not_json(self.at, expected))
    }

    /// The colon behind a key.
    #[inline]
    pub fn colon(&mut self) -> Step {
        self.space();
        if self.take(b':') { Ok(()) } else { self.fail("':' expected") }
    }

    /// Calls `field` at each key's opening quote; it consumes key, colon and value.
    #[inline]
    pub fn object(&mut self, mut field: impl FnMut(&mut Self) -> Step) -> Step {
        self.items(b'{', b'}', |scanner| match scanner.peek() {
            Some(b'"') => field(scanner),
            _ => scanner.fail("a key in double quotes expected"),
        })
    }

    /// Calls `item` before each value.
    #[inline]
    pub fn array(&mut self, item: impl FnMut(&mut Self) -> Step) -> Step {
        self.items(b'[', b']', item)
    }

    #[inline]
    fn items(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Step) -> Step {
        debug_assert_eq!(self.peek(), Some(open), "the caller has seen what comes");
        if self.depth == DEPTH_MAX {
            return Err(Reject::new("too-deep", format!("at most {DEPTH_MAX} levels of objects and arrays allowed")));
        }
        self.depth += 1;
        self.at += 1;
        self.space();
        if !self.take(close) {
            loop {
                item(self)?;
                self.space();
                if self.take(close) {
                    break;
                }
                if !self.take(b',') {
                    return self.fail("',' or the end of the object or array expected");
                }
                self.space();
            }
        }
        self.depth -= 1;
        Ok(())
    }

    #[inline]
    pub fn literal(&mut self, word: &str) -> Step {
        if self.rest().starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        self.fail("true, false or null expected")
    }

    /// Checks and skips one value, answers its text.
    pub fn value(&mut self) -> Step<&'a str> {
        self.space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => drop(self.string()?),
            Some(b'{') => self.object(|scanner| {
                scanner.string()?;
                scanner.colon()?;
                scanner.value().map(drop)
            })?,
            Some(b'[') => self.array(|scanner| scanner.value().map(drop))?,
            Some(b't') => self.literal("true")?,
            Some(b'f') => self.literal("false")?,
            Some(b'n') => self.literal("null")?,
            Some(b'-' | b'0'..=b'9') => drop(self.number()?),
            _ => return self.fail("a value expected"),
        }
        Ok(&self.text[start..self.at])
    }

    /// At a minus sign or a digit.
    pub fn number(&mut self) -> Step<&'a str> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    #[inline]
    fn digits(&mut self) -> Step {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { self.fail("a digit expected") } else { Ok(()) }
    }

    /// At the opening quote.
    #[inline]
    pub fn string(&mut self) -> Step<Quoted<'a>> {
        let start = self.at + 1;
        self.at = start;
        self.plain();
        if self.take(b'"') {
            return Ok(Quoted { raw: &self.text[start..self.at - 1], escaped: false });
        }
        self.string_with_escapes(start)
    }

    /// Moves to the next quote, backslash or control character, or the end.
    #[inline]
    fn plain(&mut self) {
        self.at += plain_bytes(self.rest());
    }

    fn string_with_escapes(&mut self, start: usize) -> Step<Quoted<'a>> {
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Quoted { raw: &self.text[start..self.at - 1], escaped: true });
                }
                Some(b'\\') => drop(self.escape()?),
                Some(_) => return self.fail("control characters must be escaped"),
                None => return self.fail("the end of a string expected"),
            }
            self.plain();
        }
    }

    /// At a backslash.
    fn escape(&mut self) -> Step<char> {
        self.at += 1;
        let Some(kind) = self.peek() else { return self.fail("an escape expected") };
        self.at += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return self.fail("one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u expected"),
        })
    }

    /// Behind `\u`; a pair of surrogates is one character, half a pair is none.
    fn unicode(&mut self) -> Step<char> {
        let first = self.hex()?;
        let mut code = first;
        if (0xD800..0xDC00).contains(&first) && self.rest().starts_with(b"\\u") {
            self.at += 2;
            let second = self.hex()?;
            if !(0xDC00..0xE000).contains(&second) {
                return self.fail("the second half of a surrogate pair expected");
            }
            code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        }
        char::from_u32(code).map_or_else(|| self.fail("a surrogate without its other half"), Ok)
    }

    fn hex(&mut self) -> Step<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return self.fail("four hexadecimal digits expected") };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

impl Quoted<'_> {
    #[inline]
    pub fn append_to(self, out: &mut Vec<u8>) {
        if self.escaped {
            return self.append_unescaped(out);
        }
        out.extend_from_slice(self.raw.as_bytes());
    }

    #[cold]
    fn append_unescaped(self, out: &mut Vec<u8>) {
        let mut scanner = Scanner::new(self.raw);
        while scanner.at < self.raw.len() {
            let start = scanner.at;
            scanner.plain();
            out.extend_from_slice(&self.raw.as_bytes()[start..scanner.at]);
            if scanner.peek() == Some(b'\\') {
                let decoded = scanner.escape().expect("the scanner has checked this string's escapes");
                out.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    pub fn to_text(self) -> String {
        let mut bytes = Vec::with_capacity(self.raw.len());
        self.append_to(&mut bytes);
        String::from_utf8(bytes).expect("checked text, and characters from escapes")
    }
}
