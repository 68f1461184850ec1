use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

/// Checksum of all that follows, length of the payload, position of the frame in its file, position where the write
/// began that wrote it.
///
/// The position keeps bytes within a payload that look like a frame from being taken for one. The begin tells a torn
/// write of several frames, whose later pages reached the disk first, from damage.
const HEADER: usize = 24;
/// The largest publication of the config log, with the lengths of its keys and values.
pub(crate) const PAYLOAD_BYTES_MAX: usize = outflow_journal::config::BYTES_MAX + (1 << 20);

/// Appends a frame to `out`, which is to be written at `begin`.
pub(crate) fn push(out: &mut Vec<u8>, begin: u64, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    fill(out);
    let length = u32::try_from(out.len() - start - HEADER).expect("payloads are limited by their writers");
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    out[start + 8..start + 16].copy_from_slice(&(begin + start as u64).to_le_bytes());
    out[start + 16..start + 24].copy_from_slice(&begin.to_le_bytes());
    let checksum = crc32fast::hash(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// The payload is in the buffer; the next frame starts at `next`.
    Frame {
        next: u64,
        begin: u64,
    },
    End,
    /// Torn, being written at this moment, or damaged.
    Broken,
}

pub(crate) fn read(file: &File, position: u64, file_bytes: u64, payload: &mut Vec<u8>) -> io::Result<Found> {
    if position >= file_bytes {
        return Ok(if position == file_bytes { Found::End } else { Found::Broken });
    }
    let mut header = [0; HEADER];
    if file_bytes - position < HEADER as u64 || !read_whole(file, &mut header, position)? {
        return Ok(Found::Broken);
    }
    let word = |range: Range<usize>| u32::from_le_bytes(header[range].try_into().expect("four bytes"));
    let long = |range: Range<usize>| u64::from_le_bytes(header[range].try_into().expect("eight bytes"));
    let length = word(4..8) as usize;
    let next = position + (HEADER + length) as u64;
    if long(8..16) != position || length > PAYLOAD_BYTES_MAX || next > file_bytes {
        return Ok(Found::Broken);
    }
    payload.resize(length, 0);
    if !read_whole(file, payload, position + HEADER as u64)? {
        return Ok(Found::Broken);
    }
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&header[4..]);
    checksum.update(payload);
    if checksum.finalize() != word(0..4) {
        return Ok(Found::Broken);
    }
    Ok(Found::Frame { next, begin: long(16..24) })
}

/// False if the file was cut off meanwhile.
fn read_whole(file: &File, buffer: &mut [u8], position: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, position) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The frame at `broken` can't be read. Answers where a frame of a later write follows it: then what is broken was
/// once complete and synced, and is not the torn end of the last write.
pub(crate) fn damage(file: &File, broken: u64, file_bytes: u64) -> io::Result<Option<u64>> {
    const CHUNK: usize = 1 << 20;
    let mut window = vec![0; CHUNK + HEADER];
    let mut payload = Vec::new();
    let mut at = broken + 1;
    while at + HEADER as u64 <= file_bytes {
        let bytes = window.len().min((file_bytes - at) as usize);
        if !read_whole(file, &mut window[..bytes], at)? {
            return Ok(None);
        }
        for index in 0..=bytes - HEADER {
            let position = at + index as u64;
            if window[index + 8..index + 16] != position.to_le_bytes() {
                continue;
            }
            match read(file, position, file_bytes, &mut payload)? {
                Found::Frame { begin, .. } if begin > broken => return Ok(Some(position)),
                _ => continue,
            }
        }
        at += (bytes - HEADER + 1) as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file
    }

    fn frames(payloads: &[&[u8]]) -> Vec<u8> {
        let mut all = Vec::new();
        for payload in payloads {
            let mut one = Vec::new();
            push(&mut one, all.len() as u64, |out| out.extend_from_slice(payload));
            all.extend_from_slice(&one);
        }
        all
    }

    #[test]
    fn a_file_cut_at_any_byte_is_torn_and_never_damaged() {
        let all = frames(&[b"first", &[0; 70], b""]);
        for cut in 0..all.len() {
            let file = file(&all[..cut]);
            let (mut position, mut payload) = (0, Vec::new());
            let found = loop {
                match read(&file, position, cut as u64, &mut payload).expect("readable") {
                    Found::Frame { next, .. } => position = next,
                    other => break other,
                }
            };
            assert_eq!(found == Found::End, position == cut as u64);
            assert_eq!(damage(&file, position, cut as u64).expect("readable"), None);
        }
    }

    #[test]
    fn any_changed_byte_before_a_later_write_is_damage() {
        let all = frames(&[b"first", b"second"]);
        for at in 0..HEADER + 5 {
            let mut changed = all.clone();
            changed[at] ^= 0x40;
            let file = file(&changed);
            let bytes = all.len() as u64;
            assert_eq!(read(&file, 0, bytes, &mut Vec::new()).expect("readable"), Found::Broken, "byte {at}");
            assert_eq!(damage(&file, 0, bytes).expect("readable"), Some(HEADER as u64 + 5));
        }
    }

    #[test]
    fn frames_within_a_payload_or_of_the_same_write_are_no_damage() {
        let inner = frames(&[b"a copy of a log as a record's value"]);
        let mut one_write = Vec::new();
        push(&mut one_write, 0, |out| out.extend_from_slice(&inner));
        push(&mut one_write, 0, |out| out.extend_from_slice(b"second"));
        one_write[3] ^= 1;
        let bytes = one_write.len() as u64;
        assert_eq!(damage(&file(&one_write), 0, bytes).expect("readable"), None);
    }
}
