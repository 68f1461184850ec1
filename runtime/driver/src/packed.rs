use crate::{
    chain::Chain,
    memory::Budget,
    pages::Pages,
    pattern::Pattern,
    rows::{Kept, whole},
};
use outflow_api::{Offset, RecordBlock, TopicPartition};
use std::{cell::RefCell, sync::Arc};

/// From here on rows that wait are compressed: little enough that ten thousand lanes hold little as it is.
const PACK_BYTES_MIN: usize = 4 * 1024;
/// Of a lane that holds much, more at once, which costs less and comes to less.
const PACK_BYTES_MAX: usize = 32 * 1024;
/// As a part of all that it holds.
const PACK_PART: usize = 32;
/// In front of what is compressed: how much it was and how much it is, each a little-endian u32.
const SIZES_BYTES: usize = 8;

/// A lane's own rows of one partition, copied out of the blocks that they came in: those that came last as they are,
/// those before them compressed.
pub(crate) struct Packed {
    partition: TopicPartition,
    /// What they are compressed beside.
    pattern: Arc<Pattern>,
    open: Chain,
    packed: Chain,
    /// Of what is packed, before it was.
    packed_raw: usize,
    rows: usize,
    last: Option<Offset>,
}

impl Packed {
    pub fn new(block: &RecordBlock, pages: &Pages) -> Packed {
        Packed {
            partition: block.partition(),
            pattern: pages.pattern(block),
            open: Chain::new(pages),
            packed: Chain::new(pages),
            packed_raw: 0,
            rows: 0,
            last: None,
        }
    }

    /// Rows of a partition come in rising order.
    pub fn goes_on_with(&self, partition: TopicPartition, offset: Offset) -> bool {
        self.partition == partition && self.last.is_none_or(|last| last < offset)
    }

    pub fn held_bytes(&self) -> usize {
        self.open.held_bytes() + self.packed.held_bytes()
    }

    pub fn raw_bytes(&self) -> usize {
        self.packed_raw + self.open.len()
    }

    pub fn push(&mut self, from: &RecordBlock, row: usize) {
        let (head, payload) = from.row_parts(row);
        self.open.push(&head);
        self.open.push(payload);
        self.rows += 1;
        self.last = Some(from.offset(row));
    }

    /// Compresses what came, if it is enough to be worth it.
    pub fn settle(&mut self) {
        if self.open.len() < (self.packed_raw / PACK_PART).clamp(PACK_BYTES_MIN, PACK_BYTES_MAX) {
            return;
        }
        with_scratch(|Scratch { raw, packed }| {
            self.open.copy_to(raw);
            self.pattern.pack(raw, packed);
            self.packed.push(&four_bytes(raw.len()));
            self.packed.push(&four_bytes(packed.len()));
            self.packed.push(packed);
            self.packed_raw += raw.len();
        });
        self.open.clear();
    }

    pub fn unpack(self, budget: &Budget) -> Kept {
        let mut block = RecordBlock::with_capacity(self.partition, self.raw_bytes(), self.rows);
        with_scratch(|Scratch { raw, packed }| {
            self.packed.copy_to(packed);
            let mut rest = packed.as_slice();
            while let Some((sizes, body)) = rest.split_at_checked(SIZES_BYTES) {
                let size = |at: usize| u32::from_le_bytes(sizes[at..at + 4].try_into().expect("four bytes")) as usize;
                let (bytes, behind) = body.split_at(size(4));
                raw.reserve(size(0).saturating_sub(raw.len()));
                self.pattern.unpack(bytes, raw);
                block.push_rows(raw);
                rest = behind;
            }
            self.open.copy_to(raw);
            block.push_rows(raw);
        });
        let memory = budget.reserve(block.held_bytes());
        whole(block, memory)
    }
}

/// A thread keeps no more for the next piece.
const SCRATCH_BYTES_MAX: usize = 1024 * 1024;

/// A thread's own, used again for each piece.
#[derive(Default)]
struct Scratch {
    raw: Vec<u8>,
    packed: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fn with_scratch(work: impl FnOnce(&mut Scratch)) {
    SCRATCH.with_borrow_mut(|scratch| {
        work(scratch);
        for kept in [&mut scratch.raw, &mut scratch.packed] {
            if kept.capacity() > SCRATCH_BYTES_MAX {
                *kept = Vec::new();
            }
        }
    });
}

fn four_bytes(size: usize) -> [u8; 4] {
    u32::try_from(size).expect("a record and its neighbours are below 4 GiB").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::TopicId;

    #[test]
    fn rows_come_out_as_they_went_in_and_their_bytes_are_given_back() {
        let partition = TopicPartition { topic: TopicId(1), partition: 0 };
        let budget = Budget::new(1 << 30);
        let pages = Pages::new(budget.clone());
        let mut block = RecordBlock::new(partition);
        let value = |row: i64| format!("{row} and so on and so on and so on").repeat(if row == 77 { 900 } else { 20 });
        let headers = [("trace", Some(b"abc".as_slice())), ("null", None)];
        (0..500).for_each(|row| block.push(Offset(row), row, Some(b"key"), Some(value(row).as_bytes()), headers));
        block.push(Offset(500), -1, None, None, []);
        let mut packed = Packed::new(&block, &pages);
        (0..501).for_each(|row| {
            packed.push(&block, row);
            packed.settle();
        });
        assert!(!packed.goes_on_with(partition, Offset(500)) && packed.goes_on_with(partition, Offset(501)));
        assert!(budget.used() < block.payload_bytes() / 4, "{} bytes", budget.used());
        assert_eq!(budget.used(), packed.held_bytes());
        let kept = packed.unpack(&budget);
        let rows = crate::rows::rows_of(std::slice::from_ref(&kept));
        assert_eq!(rows.len(), 501);
        for (row, view) in rows.iter().enumerate() {
            let before = block.get(row);
            assert_eq!((view.offset, view.timestamp_ms), (before.offset, before.timestamp_ms));
            assert_eq!((view.key, view.value), (before.key, before.value));
            assert_eq!(view.headers.iter().collect::<Vec<_>>(), before.headers.iter().collect::<Vec<_>>());
        }
        drop((rows, kept));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_few_records_are_compressed_as_well_as_many() {
        let partition = TopicPartition { topic: TopicId(1), partition: 0 };
        let pages = Pages::new(Budget::new(1 << 30));
        let mut block = RecordBlock::new(partition);
        let value = |row: i64| {
            let id = row.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed());
            let device = r#"{"type":"mobile","user_agent":"Mozilla/5.0 (Linux; Android 14)"}"#;
            let page = format!(r#"{{"url":"https://shop.example/{row}","title":"A page"}}"#);
            format!(r#"{{"event_id":"{id:016x}","event_type":"page_view","page":{page},"device":{device}}}"#)
        };
        (0..100).for_each(|row| block.push(Offset(row), row, Some(b"1001"), Some(value(row).as_bytes()), []));
        let mut packed = Packed::new(&block, &pages);
        (50..70).for_each(|row| packed.push(&block, row));
        packed.settle();
        assert!(packed.packed_raw > 0 && packed.packed.len() * 3 < packed.packed_raw, "{}", packed.packed.len());
    }
}
