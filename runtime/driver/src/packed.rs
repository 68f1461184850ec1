use crate::{
    memory::{Budget, Reserved},
    rows::{Kept, whole},
};
use outflow_api::{RecordBlock, TopicPartition};

/// From here on rows that wait are compressed: small enough to be undone at once, large enough to be worth it.
const PACK_BYTES: usize = 16 * 1024;

/// A lane's own rows of one partition, copied out of the blocks that they came in.
pub(crate) struct Growing {
    block: RecordBlock,
    memory: Reserved,
}

/// Rows that wait, compressed.
pub(crate) struct Packed {
    partition: TopicPartition,
    bytes: Vec<u8>,
    index: Vec<u8>,
    raw_bytes: usize,
    /// Held as long as the rows are.
    _memory: Reserved,
}

impl Growing {
    pub fn new(partition: TopicPartition, budget: &Budget) -> Growing {
        Growing { block: RecordBlock::new(partition), memory: budget.reserve(0) }
    }

    pub fn partition(&self) -> TopicPartition {
        self.block.partition()
    }

    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    pub fn held_bytes(&self) -> usize {
        self.block.held_bytes()
    }

    /// Answers what has become large enough to be compressed.
    pub fn push(&mut self, from: &RecordBlock, row: usize, budget: &Budget) -> Option<Packed> {
        self.block.push_row(from, row);
        if self.block.payload_bytes() < PACK_BYTES {
            self.memory.resize(self.block.held_bytes());
            return None;
        }
        let new = Growing::new(self.block.partition(), budget);
        let full = std::mem::replace(self, new);
        Some(Packed::new(&full.block, budget))
    }

    pub fn finish(self) -> Kept {
        whole(self.block, self.memory)
    }
}

impl Packed {
    fn new(block: &RecordBlock, budget: &Budget) -> Packed {
        let (bytes, index) = block.to_parts();
        let raw_bytes = bytes.len() + index.len();
        let mut bytes = lz4_flex::compress_prepend_size(bytes);
        let mut index = lz4_flex::compress_prepend_size(&index);
        bytes.shrink_to_fit();
        index.shrink_to_fit();
        let memory = budget.reserve(bytes.len() + index.len() + size_of::<Packed>());
        Packed { partition: block.partition(), bytes, index, raw_bytes, _memory: memory }
    }

    pub fn held_bytes(&self) -> usize {
        self.bytes.len() + self.index.len()
    }

    pub fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    pub fn unpack(self, budget: &Budget) -> Kept {
        let undone = |bytes: &[u8]| lz4_flex::decompress_size_prepended(bytes).expect("we compressed it ourselves");
        let block = RecordBlock::from_parts(self.partition, undone(&self.bytes), &undone(&self.index));
        let memory = budget.reserve(block.held_bytes());
        whole(block, memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{Offset, TopicId};

    #[test]
    fn rows_come_out_as_they_went_in_and_their_bytes_are_given_back() {
        let partition = TopicPartition { topic: TopicId(1), partition: 0 };
        let budget = Budget::new(1 << 30);
        let mut block = RecordBlock::new(partition);
        let value = |row: i64| format!("{row} and so on and so on and so on").repeat(30);
        (0..500).for_each(|row| block.push(Offset(row), row, Some(b"key"), Some(value(row).as_bytes()), []));
        let mut growing = Growing::new(partition, &budget);
        let packed: Vec<Packed> = (0..500).filter_map(|row| growing.push(&block, row, &budget)).collect();
        assert!(packed.len() > 3 && budget.used() < block.payload_bytes() / 4, "{} bytes", budget.used());
        let mut kept: Vec<Kept> = packed.into_iter().map(|packed| packed.unpack(&budget)).collect();
        kept.push(growing.finish());
        let rows = crate::rows::rows_of(&kept);
        assert_eq!(rows.len(), 500);
        for (row, view) in (0..).zip(rows.iter()) {
            assert_eq!((view.offset, view.value), (Offset(row), Some(value(row).as_bytes())));
        }
        drop((rows, kept));
        assert_eq!(budget.used(), 0);
    }
}
