//! What rows that wait are compressed beside.

use outflow_api::RecordBlock;
use std::cell::RefCell;
use zstd_safe::{CCtx, CDict, DCtx, DDict, compress_bound};

/// Some forty records. They are digested once, so that more of them cost memory alone: one pattern for each topic.
const BYTES: usize = 32 * 1024;
/// The fastest that still writes its literals with fewer bits. Beside a pattern a few rows alone come to a fifth; at
/// level 1 to a sixth, for half as much time again.
const LEVEL: i32 = -1;

/// Some records of a topic: beside them a few records alone are compressed as well as many together.
pub(crate) struct Pattern {
    bytes: usize,
    packs: CDict<'static>,
    unpacks: DDict<'static>,
}

thread_local! {
    /// A thread's own: to set one up costs more than to compress a few rows.
    static PACKS: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static UNPACKS: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

impl Pattern {
    pub fn of(block: &RecordBlock) -> Pattern {
        let mut bytes = Vec::with_capacity(BYTES);
        for row in 0..block.len() {
            let payload = block.payload(row);
            bytes.extend_from_slice(&payload[..payload.len().min(BYTES - bytes.len())]);
        }
        Pattern { bytes: bytes.len(), packs: CDict::create(&bytes, LEVEL), unpacks: DDict::create(&bytes) }
    }

    /// Of few records, while this block would make one of many.
    pub fn is_poor_beside(&self, block: &RecordBlock) -> bool {
        self.bytes < BYTES / 2 && block.payload_bytes() > self.bytes * 2
    }

    /// `packed` becomes what `raw` comes to.
    pub fn pack(&self, raw: &[u8], packed: &mut Vec<u8>) {
        packed.clear();
        packed.reserve(compress_bound(raw.len()));
        let size = PACKS.with_borrow_mut(|context| context.compress_using_cdict(packed, raw, &self.packs));
        size.expect("there is room for whatever it may come to");
    }

    /// `raw` has as much room as there was when it was packed.
    pub fn unpack(&self, packed: &[u8], raw: &mut Vec<u8>) {
        raw.clear();
        let size = UNPACKS.with_borrow_mut(|context| context.decompress_using_ddict(raw, packed, &self.unpacks));
        size.expect("we compressed it ourselves");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{Offset, TopicId, TopicPartition};

    fn block(values: &[&[u8]]) -> RecordBlock {
        let mut block = RecordBlock::new(TopicPartition { topic: TopicId(1), partition: 0 });
        (0..).zip(values).for_each(|(offset, value)| block.push(Offset(offset), 0, None, Some(value), []));
        block
    }

    #[test]
    fn whatever_records_a_pattern_is_made_of_rows_come_out_as_they_went_in() {
        let large = vec![b'x'; 3 * BYTES];
        let (empty, small): (&[u8], &[u8]) = (b"", b"{\"id\":1}");
        for records in [vec![], vec![empty], vec![small], vec![&large, &large]] {
            let pattern = Pattern::of(&block(&records));
            let (mut packed, mut raw) = (Vec::new(), Vec::with_capacity(large.len()));
            for rows in [b"".as_slice(), b"{\"id\":2}", &large] {
                pattern.pack(rows, &mut packed);
                pattern.unpack(&packed, &mut raw);
                assert_eq!(raw, rows);
            }
        }
    }

    #[test]
    fn a_pattern_of_next_to_nothing_gives_way_to_one_of_more() {
        let large = vec![b'x'; 3 * BYTES];
        let (none, some, all) = (block(&[]), block(&[b"some"]), block(&[&large]));
        assert!(Pattern::of(&none).is_poor_beside(&some) && Pattern::of(&some).is_poor_beside(&all));
        assert!(!Pattern::of(&none).is_poor_beside(&none) && !Pattern::of(&some).is_poor_beside(&some));
        assert!(!Pattern::of(&all).is_poor_beside(&all));
    }
}
