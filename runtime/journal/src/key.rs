use crate::wire::{Read, Reader, Writer};
use outflow_api::{Fault, LaneId, Revision};
use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Lane(LaneId),
    Floors,
    Revision(Revision),
    Incarnation,
    Barrier,
    Applied,
}

impl Key {
    pub fn encode(self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Key::Lane(lane) => {
                out.byte(b'L');
                out.fixed(&lane.0.to_be_bytes());
            }
            Key::Floors => out.byte(b'F'),
            Key::Revision(revision) => {
                out.byte(b'R');
                out.fixed(&revision.0.to_be_bytes());
            }
            Key::Incarnation => out.byte(b'I'),
            Key::Barrier => out.byte(b'B'),
            Key::Applied => out.byte(b'A'),
        }
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Read<Key> {
        let mut input = Reader(bytes);
        let key = match input.byte()? {
            b'L' => Key::Lane(LaneId(u32::from_be_bytes(input.fixed()?))),
            b'F' => Key::Floors,
            b'R' => Key::Revision(Revision(u64::from_be_bytes(input.fixed()?))),
            b'I' => Key::Incarnation,
            b'B' => Key::Barrier,
            b'A' => Key::Applied,
            other => return Err(format!("kind {other:#04x}, known are L, F, R, I, B and A")),
        };
        input.end()?;
        Ok(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Lane(lane) => write!(f, "lane {}", lane.0),
            Key::Floors => f.write_str("floors"),
            Key::Revision(revision) => write!(f, "revision {}", revision.0),
            Key::Incarnation => f.write_str("incarnation"),
            Key::Barrier => f.write_str("barrier"),
            Key::Applied => f.write_str("applied"),
        }
    }
}

pub(crate) fn unreadable(record: impl fmt::Display, found: impl fmt::Display) -> Fault {
    let hint = format!(
        "the record of {record} cannot be read: {found}; if a newer build wrote it, run that build; \
         otherwise the journal is damaged and has to be restored"
    );
    Fault::halt("journal-unreadable", hint)
}

/// A key that is no key can only be shown as it is; its first bytes are enough to find it.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let shown: String = bytes.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > 40 { format!("{shown}… ({} bytes)", bytes.len()) } else { shown }
}
