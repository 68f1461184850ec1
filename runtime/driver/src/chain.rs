use crate::{
    memory::Reserved,
    pages::{PAGE_BYTES, Page, Pages},
};

/// Bytes behind one another, in pages.
pub(crate) struct Chain {
    from: Pages,
    pages: Vec<Page>,
    bytes: usize,
    memory: Reserved,
}

impl Chain {
    pub fn new(from: &Pages) -> Chain {
        Chain { from: from.clone(), pages: Vec::new(), bytes: 0, memory: from.budget().reserve(0) }
    }

    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn held_bytes(&self) -> usize {
        self.pages.len() * PAGE_BYTES
    }

    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = self.bytes % PAGE_BYTES;
            if self.bytes == self.held_bytes() {
                self.pages.push(self.from.take());
                self.memory.resize(self.held_bytes());
            }
            let page = self.pages.last_mut().expect("a page was just added, or has room");
            let (now, rest) = bytes.split_at(bytes.len().min(PAGE_BYTES - at));
            page[at..at + now.len()].copy_from_slice(now);
            self.bytes += now.len();
            bytes = rest;
        }
    }

    /// In place of whatever is there.
    pub fn copy_to(&self, all: &mut Vec<u8>) {
        all.clear();
        all.reserve(self.held_bytes());
        self.pages.iter().for_each(|page| all.extend_from_slice(&page[..]));
        all.truncate(self.bytes);
    }

    pub fn clear(&mut self) {
        self.from.give_back(&mut self.pages);
        self.bytes = 0;
        self.memory.resize(0);
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.clear();
    }
}
