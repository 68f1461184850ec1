use super::{
    blocks,
    scanner::{self, DEPTH_MAX, Scanner},
};
use memchr::{memchr, memmem::Finder};
use std::{borrow::Cow, fmt};

/// Finds one scalar in a raw JSON record without parsing the rest: what a record is routed by.
///
/// Of a field that an object repeats the last counts, as for the decoder. What lies behind the field is not looked at,
/// but for that; so a record that is broken there is found, routed, and rejected where it is decoded.
#[derive(Clone, Debug)]
pub struct FieldPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    name: String,
    /// `"name"`: whoever looks for another field of this name finds this, unless the name is spelled with escapes.
    quoted: Finder<'static>,
}

/// Why a text is no path of fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldPathError(String);

impl fmt::Display for FieldPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FieldPathError(path) = self;
        write!(
            f,
            "{path:?} is no path of fields: 1 to {DEPTH_MAX} names with dots between, as in store_id or customer.id"
        )
    }
}

impl std::error::Error for FieldPathError {}

impl FieldPath {
    /// `store_id`, or `customer.id` for a field within an object.
    pub fn parse(path: &str) -> Result<FieldPath, FieldPathError> {
        let names = || path.split('.');
        if names().any(str::is_empty) || names().count() > DEPTH_MAX as usize {
            return Err(FieldPathError(path.to_owned()));
        }
        Ok(FieldPath::of(&names().collect::<Vec<_>>()))
    }

    /// Of names that may have dots themselves, from the top level down.
    pub fn of(names: &[impl AsRef<str>]) -> FieldPath {
        let step = |name: &str| Step {
            name: name.to_owned(),
            quoted: Finder::new(format!("\"{name}\"").as_bytes()).into_owned(),
        };
        FieldPath { steps: names.iter().map(|name| step(name.as_ref())).collect() }
    }

    /// A string without its escapes, a number or boolean as its text. None for null, an object, an array, nothing, and
    /// for what is no JSON up to there. Whatever the bytes are, this does not panic.
    pub fn find<'v>(&self, value: &'v [u8]) -> Option<Cow<'v, [u8]>> {
        let mut cursor = Cursor { bytes: value, at: 0 };
        for step in &self.steps {
            cursor.space();
            cursor.at = cursor.member(step)?;
        }
        cursor.scalar()
    }
}

/// Reads loosely: what is skipped is only followed to its end.
struct Cursor<'v> {
    bytes: &'v [u8],
    at: usize,
}

impl<'v> Cursor<'v> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek() == Some(wanted)).then(|| self.at += 1)
    }

    /// At an object: where the value of its last member of that name begins.
    fn member(&mut self, step: &Step) -> Option<usize> {
        self.take(b'{')?;
        self.space();
        let mut found = None;
        while self.peek()? != b'}' {
            let (name, escaped) = self.string()?;
            self.space();
            self.take(b':')?;
            self.space();
            if (!escaped && name == step.name.as_bytes()) || (escaped && *unescaped(name)? == *step.name.as_bytes()) {
                found = Some(self.at);
                let rest = &self.bytes[self.at..];
                if memchr(b'\\', rest).is_none() && step.quoted.find(rest).is_none() {
                    return found;
                }
            }
            self.skip()?;
            self.space();
            if self.peek()? == b',' {
                self.at += 1;
                self.space();
            }
        }
        found
    }

    /// The bytes between the quotes, and whether they hold escapes.
    #[inline]
    fn string(&mut self) -> Option<(&'v [u8], bool)> {
        self.take(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += scanner::plain_bytes(&self.bytes[self.at..]);
            match self.peek()? {
                b'"' => break,
                b'\\' => (self.at, escaped) = (self.at + 2, true),
                _ => return None, // a control character
            }
            if self.at > self.bytes.len() {
                return None;
            }
        }
        self.at += 1;
        Some((&self.bytes[start..self.at - 1], escaped))
    }

    #[inline]
    fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.skip_nested(),
            _ => {
                let start = self.at;
                while self.peek().is_some_and(is_plain) {
                    self.at += 1;
                }
                (self.at > start).then_some(())
            }
        }
    }

    fn skip_nested(&mut self) -> Option<()> {
        self.at += blocks::nested_bytes(&self.bytes[self.at..])?;
        Some(())
    }

    fn scalar(&mut self) -> Option<Cow<'v, [u8]>> {
        if self.peek()? == b'"' {
            let (text, escaped) = self.string()?;
            return if escaped { unescaped(text).map(Cow::Owned) } else { Some(Cow::Borrowed(text)) };
        }
        let start = self.at;
        while self.peek().is_some_and(is_plain) {
            self.at += 1;
        }
        let text = &self.bytes[start..self.at];
        let is_scalar = matches!(text, b"true" | b"false") || is_number(text);
        is_scalar.then_some(Cow::Borrowed(text))
    }
}

/// A character of a number or literal.
#[inline]
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

fn is_number(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let mut scanner = Scanner::new(text);
    matches!(scanner.peek(), Some(b'-' | b'0'..=b'9')) && scanner.number().is_ok() && scanner.at == text.len()
}

#[cold]
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let quoted = format!("\"{}\"", std::str::from_utf8(text).ok()?);
    let string = Scanner::new(&quoted).string().ok()?;
    Some(string.to_text().into_bytes())
}
