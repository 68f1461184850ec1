use crate::{memory::Budget, pattern::Pattern};
use outflow_api::{RecordBlock, TopicId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

pub(crate) const PAGE_BYTES: usize = 1024;

pub(crate) type Page = Box<[u8; PAGE_BYTES]>;

/// Where lanes' own rows wait: pages of one size, which one lane gives back and the next one takes. Ten thousand lanes
/// that each grow an allocation of their own would leave holes of all sizes behind.
#[derive(Clone)]
pub(crate) struct Pages(Arc<Shelves>);

struct Shelves {
    budget: Budget,
    spare: Mutex<Vec<Page>>,
    /// What records of a topic look like.
    patterns: Mutex<HashMap<TopicId, Arc<Pattern>>>,
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

    /// Some records of the block's topic: beside them a few records alone are compressed as well as many together. The
    /// same ones for as long as the process lives, unless the first block had next to none.
    pub fn pattern(&self, block: &RecordBlock) -> Arc<Pattern> {
        let mut patterns = self.0.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        let topic = block.partition().topic;
        match patterns.get(&topic).filter(|known| !known.is_poor_beside(block)) {
            Some(known) => Arc::clone(known),
            None => {
                let made = Arc::new(Pattern::of(block));
                patterns.insert(topic, Arc::clone(&made));
                made
            }
        }
    }
}
