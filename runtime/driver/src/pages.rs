use crate::memory::Budget;
use outflow_api::{RecordBlock, TopicPartition};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

pub(crate) const PAGE_BYTES: usize = 1024;

pub(crate) type Page = Box<[u8; PAGE_BYTES]>;

/// Of the records that others are compressed beside.
const PATTERN_BYTES: usize = 8 * 1024;

/// Where lanes' own rows wait: pages of one size, which one lane gives back and the next one takes. Ten thousand lanes
/// that each grow an allocation of their own would leave holes of all sizes behind.
#[derive(Clone)]
pub(crate) struct Pages(Arc<Shelves>);

struct Shelves {
    budget: Budget,
    spare: Mutex<Vec<Page>>,
    /// What records of a partition look like.
    patterns: Mutex<HashMap<TopicPartition, Arc<[u8]>>>,
}

impl Pages {
    pub fn new(budget: Budget) -> Pages {
        Pages(Arc::new(Shelves { budget, spare: Mutex::default(), patterns: Mutex::default() }))
    }

    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    pub fn take(&self) -> Page {
        let spare = self.0.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Box::new([0; PAGE_BYTES]))
    }

    pub fn give_back(&self, pages: &mut Vec<Page>) {
        self.0.spare.lock().unwrap_or_else(PoisonError::into_inner).append(pages);
    }

    /// Some records of the block's partition, the same ones for as long as the process lives: beside them a few records
    /// alone are compressed as well as many together.
    pub fn pattern(&self, block: &RecordBlock) -> Arc<[u8]> {
        let mut patterns = self.0.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        let pattern = patterns.entry(block.partition()).or_insert_with(|| {
            let mut bytes = Vec::with_capacity(PATTERN_BYTES);
            for row in 0..block.len() {
                let payload = block.payload(row);
                if bytes.len() + payload.len() > PATTERN_BYTES {
                    break;
                }
                bytes.extend_from_slice(payload);
            }
            bytes.into()
        });
        Arc::clone(pattern)
    }
}
