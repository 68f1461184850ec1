use crate::{Offset, TopicPartition};
use std::{ops::Range, sync::Arc};

const NULL: u32 = u32::MAX;
/// Of what is known of a row beside its payload, outside of a block.
const HEAD_BYTES: usize = 28;

/// Raw records of one partition, in offset order, back to back in one allocation.
///
/// The reader fills a block, lanes share it: no record is copied again on its way to the decoder.
#[derive(Debug)]
pub struct RecordBlock {
    partition: TopicPartition,
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// Key, headers and value lie behind one another from `start`.
#[derive(Clone, Copy, Debug)]
struct Span {
    offset: Offset,
    timestamp_ms: i64,
    start: usize,
    key_bytes: u32,
    headers_bytes: u32,
    value_bytes: u32,
}

impl Span {
    fn payload_bytes(&self) -> usize {
        let part = |bytes: u32| if bytes == NULL { 0 } else { bytes as usize };
        part(self.key_bytes) + self.headers_bytes as usize + part(self.value_bytes)
    }
}

/// One record, borrowed from its block.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    pub partition: TopicPartition,
    pub offset: Offset,
    /// Milliseconds since 1970 UTC; `-1` where the broker has none.
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// Name and value of each header, in order; names may repeat.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a>(&'a [u8]);

impl RecordBlock {
    pub fn new(partition: TopicPartition) -> RecordBlock {
        RecordBlock { partition, bytes: Vec::new(), spans: Vec::new() }
    }

    pub fn with_capacity(partition: TopicPartition, bytes: usize, records: usize) -> RecordBlock {
        RecordBlock { partition, bytes: Vec::with_capacity(bytes), spans: Vec::with_capacity(records) }
    }

    /// # Panics
    /// If offsets do not rise, or a key, value or all headers of a record together exceed 4 GiB.
    pub fn push<'h>(
        &mut self,
        offset: Offset,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) {
        assert!(self.spans.last().is_none_or(|last| last.offset < offset), "offsets of a block must rise");
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key.unwrap_or_default());
        let headers_start = self.bytes.len();
        for (name, value) in headers {
            self.bytes.extend_from_slice(&length(Some(name.as_bytes())).to_le_bytes());
            self.bytes.extend_from_slice(&length(value).to_le_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(value.unwrap_or_default());
        }
        let headers_bytes = u32::try_from(self.bytes.len() - headers_start).expect("headers are below 4 GiB");
        self.bytes.extend_from_slice(value.unwrap_or_default());
        let (key_bytes, value_bytes) = (length(key), length(value));
        self.spans.push(Span { offset, timestamp_ms, start, key_bytes, headers_bytes, value_bytes });
    }

    /// A row for whoever keeps rows in a place of his own: what is known of it, and its payload. Behind one another
    /// they are what `push_rows` takes.
    pub fn row_parts(&self, row: usize) -> ([u8; HEAD_BYTES], &[u8]) {
        let span = &self.spans[row];
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&span.offset.0.to_le_bytes());
        head[8..16].copy_from_slice(&span.timestamp_ms.to_le_bytes());
        for (at, length) in [(16, span.key_bytes), (20, span.headers_bytes), (24, span.value_bytes)] {
            head[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
        (head, self.payload(row))
    }

    /// Key, headers and value of a row, behind one another.
    pub fn payload(&self, row: usize) -> &[u8] {
        let span = &self.spans[row];
        &self.bytes[span.start..span.start + span.payload_bytes()]
    }

    /// Rows as `row_parts` gave them away.
    ///
    /// # Panics
    /// If they are not, or their offsets do not rise.
    pub fn push_rows(&mut self, mut rows: &[u8]) {
        while let Some((head, behind)) = rows.split_at_checked(HEAD_BYTES) {
            let long = |at: usize| i64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
            let short = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
            let span = Span {
                offset: Offset(long(0)),
                timestamp_ms: long(8),
                start: self.bytes.len(),
                key_bytes: short(16),
                headers_bytes: short(20),
                value_bytes: short(24),
            };
            assert!(self.spans.last().is_none_or(|last| last.offset < span.offset), "offsets of a block must rise");
            let (payload, rest) = behind.split_at(span.payload_bytes());
            self.bytes.extend_from_slice(payload);
            self.spans.push(span);
            rows = rest;
        }
        assert!(rows.is_empty(), "rows are whole");
    }

    pub fn partition(&self) -> TopicPartition {
        self.partition
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// What the block occupies in memory.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    pub fn payload_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn offset(&self, row: usize) -> Offset {
        self.spans[row].offset
    }

    /// The first row at or above `offset`.
    pub fn row_at(&self, offset: Offset) -> usize {
        self.spans.partition_point(|span| span.offset < offset)
    }

    pub fn get(&self, row: usize) -> RecordView<'_> {
        let span = self.spans[row];
        let part = |from: usize, bytes: u32| (bytes != NULL).then(|| &self.bytes[from..from + bytes as usize]);
        let headers_start = span.start + if span.key_bytes == NULL { 0 } else { span.key_bytes as usize };
        let value_start = headers_start + span.headers_bytes as usize;
        RecordView {
            partition: self.partition,
            offset: span.offset,
            timestamp_ms: span.timestamp_ms,
            key: part(span.start, span.key_bytes),
            value: part(value_start, span.value_bytes),
            headers: Headers(&self.bytes[headers_start..value_start]),
        }
    }
}

fn length(bytes: Option<&[u8]>) -> u32 {
    let Some(bytes) = bytes else { return NULL };
    u32::try_from(bytes.len()).ok().filter(|length| *length != NULL).expect("a key or value is below 4 GiB")
}

impl<'a> Headers<'a> {
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (lengths, body) = rest.split_at_checked(8)?;
            let word = |at: usize| u32::from_le_bytes(lengths[at..at + 4].try_into().expect("four bytes"));
            let (name, value) = (word(0) as usize, word(4));
            let value_bytes = if value == NULL { 0 } else { value as usize };
            rest = &body[name + value_bytes..];
            let text = std::str::from_utf8(&body[..name]).expect("a header's name came in as text");
            Some((text, (value != NULL).then(|| &body[name..name + value_bytes])))
        })
    }
}

/// Some neighbouring rows of a block.
#[derive(Clone, Debug)]
pub struct RowSlice {
    pub block: Arc<RecordBlock>,
    pub rows: Range<usize>,
}

/// The rows of a batch in (topic, partition, offset) order.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    slices: Vec<RowSlice>,
    count: usize,
}

impl Rows {
    /// Sorts the slices; each must hold rows of its own.
    ///
    /// # Panics
    /// If two slices overlap: a row would be delivered twice.
    pub fn new(mut slices: Vec<RowSlice>) -> Rows {
        slices.retain(|slice| !slice.rows.is_empty());
        slices.sort_by_key(|slice| (slice.block.partition(), slice.block.offset(slice.rows.start)));
        for pair in slices.windows(2) {
            let last = pair[0].block.offset(pair[0].rows.end - 1);
            let next = pair[1].block.offset(pair[1].rows.start);
            assert!(pair[0].block.partition() != pair[1].block.partition() || last < next, "slices overlap");
        }
        let count = slices.iter().map(|slice| slice.rows.len()).sum();
        Rows { slices, count }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn slices(&self) -> &[RowSlice] {
        &self.slices
    }

    pub fn iter(&self) -> impl Iterator<Item = RecordView<'_>> {
        self.slices.iter().flat_map(|slice| slice.rows.clone().map(|row| slice.block.get(row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicId;

    const PARTITION: TopicPartition = TopicPartition { topic: TopicId(1), partition: 0 };

    #[test]
    fn a_record_comes_out_of_its_block_as_it_went_in() {
        let mut block = RecordBlock::new(PARTITION);
        let headers = [("trace", Some(b"abc".as_slice())), ("empty", Some(b"")), ("null", None)];
        block.push(Offset(3), 17, Some(b"key"), Some(b"value"), headers);
        block.push(Offset(9), -1, None, None, []);
        block.push(Offset(10), 0, Some(b""), Some(b""), []);
        let first = block.get(0);
        assert_eq!((first.offset, first.timestamp_ms), (Offset(3), 17));
        assert_eq!((first.key, first.value), (Some(b"key".as_slice()), Some(b"value".as_slice())));
        assert_eq!(first.headers.iter().collect::<Vec<_>>(), headers);
        assert_eq!((block.get(1).key, block.get(1).value), (None, None));
        assert_eq!((block.get(2).key, block.get(2).value), (Some(b"".as_slice()), Some(b"".as_slice())));
        assert_eq!((block.row_at(Offset(0)), block.row_at(Offset(4)), block.row_at(Offset(11))), (0, 1, 3));
    }

    #[test]
    fn rows_that_are_copied_and_taken_apart_stay_what_they_were() {
        let mut block = RecordBlock::new(PARTITION);
        block.push(Offset(1), 4, Some(b"a"), Some(b"one"), [("h", Some(b"x".as_slice())), ("n", None)]);
        block.push(Offset(2), 5, None, None, []);
        block.push(Offset(7), -1, Some(b""), Some(b"three"), []);
        let mut bytes = Vec::new();
        for row in [0, 2] {
            let (head, payload) = block.row_parts(row);
            bytes.extend(head);
            bytes.extend(payload);
        }
        let mut copy = RecordBlock::new(PARTITION);
        copy.push_rows(&bytes);
        for (row, of) in [(0, 0), (1, 2)] {
            let (own, other) = (copy.get(row), block.get(of));
            assert_eq!((own.offset, own.timestamp_ms, own.key), (other.offset, other.timestamp_ms, other.key));
            assert_eq!(own.value, other.value);
            assert_eq!(own.headers.iter().collect::<Vec<_>>(), other.headers.iter().collect::<Vec<_>>());
        }
    }
}
