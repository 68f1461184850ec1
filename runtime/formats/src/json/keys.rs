use super::scanner::{Quoted, Scanner};
use crate::reject::Step;
use std::collections::HashMap;

/// Fields that nobody wants are remembered too, so that they are recognised as fast; up to this many.
const STRANGERS_MAX: usize = 128;

/// Recognises an object's keys. Producers write fields in the same order again and again, so the key that followed
/// last time is tried first: one comparison instead of a scan and a hash. Being wrong costs time, never the result.
pub struct Keys {
    names: HashMap<String, usize>,
    /// Names below this number were declared.
    declared: usize,
    patterns: Vec<Pattern>,
    /// What followed each number last time; the last entry belongs to the object's start.
    followers: Vec<usize>,
}

/// `"name":`, its first sixteen bytes ready to be compared at once.
struct Pattern {
    head: u128,
    mask: u128,
    bytes: Box<[u8]>,
}

impl Pattern {
    fn new(text: String) -> Pattern {
        let bytes = text.into_bytes();
        let length = bytes.len().min(HEAD_BYTES);
        let mut head = [0; HEAD_BYTES];
        head[..length].copy_from_slice(&bytes[..length]);
        let mask = u128::MAX >> (8 * (HEAD_BYTES - length));
        Pattern { head: u128::from_le_bytes(head), mask, bytes: bytes.into_boxed_slice() }
    }

    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        match text.first_chunk::<HEAD_BYTES>() {
            Some(head) => {
                u128::from_le_bytes(*head) & self.mask == self.head
                    && (self.bytes.len() <= HEAD_BYTES || text.starts_with(&self.bytes))
            }
            None => text.starts_with(&self.bytes),
        }
    }
}

const HEAD_BYTES: usize = size_of::<u128>();

/// Which declared fields an object had so far; those beyond the 64th are not remembered.
#[derive(Default)]
pub struct Met(u64);

impl Met {
    /// False means that it was not there before.
    #[inline]
    pub fn perhaps_again(&mut self, number: usize) -> bool {
        let bit = if number < 64 { 1 << number } else { 0 };
        let again = bit == 0 || self.0 & bit != 0;
        self.0 |= bit;
        again
    }
}

/// The key that was found.
pub enum Key<'a> {
    Declared(usize),
    Stranger(Quoted<'a>),
}

impl Keys {
    pub fn new(names: impl IntoIterator<Item = String>) -> Keys {
        let mut keys = Keys { names: HashMap::new(), declared: 0, patterns: Vec::new(), followers: vec![0] };
        for name in names {
            keys.learn(name);
        }
        keys.declared = keys.patterns.len();
        keys
    }

    fn learn(&mut self, name: String) -> usize {
        let number = self.patterns.len();
        let plain = !name.contains(|c: char| c < ' ' || matches!(c, '"' | '\\'));
        // Such a name arrives with escapes only, and no key begins with this byte.
        let pattern = if plain { format!("\"{name}\":") } else { "\0".to_owned() };
        self.patterns.push(Pattern::new(pattern));
        // Declared order is the first guess; the object's start stays the last entry.
        self.followers.insert(number, number + 1);
        self.names.insert(name, number);
        number
    }

    /// To be given to [`Keys::next`] before an object's first key.
    pub fn start() -> usize {
        usize::MAX
    }

    /// Reads the key and its colon. `previous` is the number of the key before and becomes this one's.
    #[inline]
    pub fn next<'a>(&mut self, scanner: &mut Scanner<'a>, previous: &mut usize) -> Step<Key<'a>> {
        let slot = (*previous).min(self.followers.len() - 1);
        let guess = self.followers[slot];
        if let Some(pattern) = self.patterns.get(guess)
            && pattern.begins(scanner.rest())
        {
            let start = scanner.at + 1;
            scanner.at += pattern.bytes.len();
            *previous = guess;
            if guess < self.declared {
                return Ok(Key::Declared(guess));
            }
            return Ok(Key::Stranger(Quoted { raw: &scanner.text[start..scanner.at - 2], escaped: false }));
        }
        self.search(scanner, slot, previous)
    }

    fn search<'a>(&mut self, scanner: &mut Scanner<'a>, slot: usize, previous: &mut usize) -> Step<Key<'a>> {
        let key = scanner.string()?;
        scanner.colon()?;
        let number = if key.escaped { self.names.get(&key.to_text()) } else { self.names.get(key.raw) };
        let number = match number {
            Some(number) => *number,
            // A pattern is compared with raw text, so a name that is written with escapes has none.
            None if key.escaped || self.patterns.len() - self.declared >= STRANGERS_MAX => {
                *previous = Keys::start();
                return Ok(Key::Stranger(key));
            }
            None => {
                let slot_is_start = slot + 1 == self.followers.len();
                let number = self.learn(key.raw.to_owned());
                let slot = if slot_is_start { self.followers.len() - 1 } else { slot };
                self.followers[slot] = number;
                *previous = number;
                return Ok(Key::Stranger(key));
            }
        };
        self.followers[slot] = number;
        *previous = number;
        Ok(if number < self.declared { Key::Declared(number) } else { Key::Stranger(key) })
    }
}
