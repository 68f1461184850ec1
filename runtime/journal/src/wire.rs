use bytes::Bytes;
use outflow_api::{Offset, OffsetRange, TopicId, TopicPartition};
use std::collections::BTreeMap;

/// Answers what was found instead of what was expected; the caller adds which record it was.
pub(crate) type Read<T> = Result<T, String>;

#[derive(Default)]
pub(crate) struct Writer(pub Vec<u8>);

impl Writer {
    pub fn version(version: u8) -> Writer {
        Writer(vec![version])
    }

    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn offset(&mut self, offset: Offset) {
        self.number(offset.0 as u64);
    }

    /// Start and length + 1; 0 in place of the length is the open end, which would take nine bytes otherwise.
    pub fn range(&mut self, range: OffsetRange) {
        self.offset(range.start);
        let length = range.next.0.wrapping_sub(range.start.0) as u64;
        self.number(if range.next == Offset::OPEN { 0 } else { length + 1 });
    }

    /// Distances between neighbours: rejected rows tend to lie close together.
    pub fn offsets(&mut self, offsets: &[Offset]) {
        self.number(offsets.len() as u64);
        let mut before = 0i64;
        for offset in offsets {
            self.number(offset.0.wrapping_sub(before) as u64);
            before = offset.0;
        }
    }

    /// Grouped by topic, so that its sixteen bytes are written once.
    pub fn map<T>(&mut self, map: &BTreeMap<TopicPartition, T>, mut value: impl FnMut(&mut Writer, &T)) {
        let entries: Vec<_> = map.iter().collect();
        let topics: Vec<_> = entries.chunk_by(|a, b| a.0.topic == b.0.topic).collect();
        self.number(topics.len() as u64);
        for partitions in topics {
            self.fixed(&partitions[0].0.topic.0.to_be_bytes());
            self.number(partitions.len() as u64);
            for (partition, item) in partitions {
                self.number(u64::from(partition.partition));
                value(self, item);
            }
        }
    }
}

pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn fixed<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| ends_early(N, self.0.len()))?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn byte(&mut self) -> Read<u8> {
        self.fixed::<1>().map(|[byte]| byte)
    }

    pub fn number(&mut self) -> Read<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number is longer than 64 bits".to_owned())
    }

    pub fn number32(&mut self) -> Read<u32> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| format!("{number} where at most {} is possible", u32::MAX))
    }

    /// A count of things of at least one byte each: a wrong one must not make us reserve memory.
    pub fn count(&mut self) -> Read<usize> {
        let count = self.number()?;
        let left = self.0.len();
        usize::try_from(count).ok().filter(|count| *count <= left).ok_or_else(|| ends_early(count, left))
    }

    pub fn slice(&mut self) -> Read<&'a [u8]> {
        let length = self.count()?;
        let (head, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(head)
    }

    pub fn bytes(&mut self) -> Read<Bytes> {
        self.slice().map(Bytes::copy_from_slice)
    }

    pub fn text(&mut self) -> Read<String> {
        let bytes = self.slice()?;
        String::from_utf8(bytes.to_vec()).map_err(|error| format!("text is not UTF-8: {error}"))
    }

    pub fn offset(&mut self) -> Read<Offset> {
        self.number().map(|number| Offset(number as i64))
    }

    pub fn range(&mut self) -> Read<OffsetRange> {
        let start = self.offset()?;
        let next = match self.number()? {
            0 => Offset::OPEN,
            length => Offset(start.0.wrapping_add((length - 1) as i64)),
        };
        if start > next {
            return Err(format!("a range that ends before it starts: {}..{}", start.0, next.0));
        }
        Ok(OffsetRange::new(start, next))
    }

    pub fn offsets(&mut self) -> Read<Vec<Offset>> {
        let count = self.count()?;
        let mut before = 0i64;
        let mut next = || {
            before = before.wrapping_add(self.number()? as i64);
            Ok(Offset(before))
        };
        (0..count).map(|_| next()).collect()
    }

    pub fn map<T>(&mut self, mut value: impl FnMut(&mut Reader<'a>) -> Read<T>) -> Read<BTreeMap<TopicPartition, T>> {
        let mut map = BTreeMap::new();
        for _ in 0..self.count()? {
            let topic = TopicId(u128::from_be_bytes(self.fixed()?));
            for _ in 0..self.count()? {
                let partition = TopicPartition { topic, partition: self.number32()? };
                if map.insert(partition, value(self)?).is_some() {
                    return Err(format!("partition {partition:?} twice in one list"));
                }
            }
        }
        Ok(map)
    }

    pub fn end(self) -> Read<()> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("{} bytes behind the end", self.0.len())) }
    }
}

fn ends_early(wanted: impl std::fmt::Display, left: usize) -> String {
    format!("{wanted} more bytes or items expected, {left} bytes left")
}
