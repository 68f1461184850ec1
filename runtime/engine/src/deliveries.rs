//! Which batches a lane has within some offsets, as the shard's ledger shows it (P32).

use crate::{
    Reason,
    account::{no_beginning, reason},
    replace::touch,
};
use bytes::Bytes;
use outflow_api::{
    BatchId, Delivered, Incarnation, LaneId, LedgerEvent, LedgerRow, OffsetRange, Ranges, TopicPartition,
};
use std::collections::BTreeMap;

type Covers = BTreeMap<TopicPartition, Ranges>;

/// They all stand in the lane's record until they are removed, beside a batch's token and what is owed; a record may
/// have 256 KiB.
const BATCHES_MAX: usize = 1_000;
const NAMES_BYTES_MAX: usize = 128 << 10;
/// What a batch's own name takes.
const NAME_BYTES: usize = 32;
/// Of which most were removed later on; a ledger that has more of them is not read on.
const SEEN_MAX: usize = 100_000;

/// Told every row of a ledger, oldest first, it knows which batches have rows of one lane within the ranges that were
/// asked for, and what else these batches cover.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deliveries {
    lane: LaneId,
    asked: Covers,
    /// Whose decisions are all here.
    began: Option<Incarnation>,
    /// Rows of another journal lie within what was asked: its lanes may have been others.
    is_mixed: bool,
    is_too_long: bool,
    batches: BTreeMap<BatchId, Delivery>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Delivery {
    covers: BTreeMap<TopicPartition, OffsetRange>,
    receipt: Bytes,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Decided,
    Visible,
    Abandoned,
}

/// What is to be removed, and all that has to be delivered again for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub ranges: Covers,
    pub old: Vec<Delivered>,
}

impl Deliveries {
    pub fn new(lane: LaneId, asked: BTreeMap<TopicPartition, Ranges>) -> Deliveries {
        let batches = BTreeMap::new();
        Deliveries { lane, asked, began: None, is_mixed: false, is_too_long: false, batches }
    }

    pub fn see(&mut self, row: &LedgerRow) {
        if row.event == LedgerEvent::Began {
            self.began = Some(row.batch.incarnation);
        }
        if row.batch.lane != self.lane {
            return;
        }
        match &row.event {
            // One without rows has dead letters alone: nothing of it is there.
            LedgerEvent::Decided { covers, rows, receipt, .. } if *rows > 0 && touch(covers, &self.asked) => {
                self.is_mixed |= self.began != Some(row.batch.incarnation);
                self.is_too_long |= self.batches.len() >= SEEN_MAX;
                if !self.is_too_long {
                    let (covers, receipt) = (covers.clone(), receipt.clone());
                    self.batches.insert(row.batch, Delivery { covers, receipt, fate: Fate::Decided });
                }
            }
            LedgerEvent::Revealed => self.note(row.batch, Fate::Visible),
            LedgerEvent::Abandoned => self.note(row.batch, Fate::Abandoned),
            LedgerEvent::Lost { .. } | LedgerEvent::Removed { .. } => drop(self.batches.remove(&row.batch)),
            LedgerEvent::Decided { .. } | LedgerEvent::Skipped { .. } | LedgerEvent::Began => {}
        }
    }

    fn note(&mut self, batch: BatchId, fate: Fate) {
        if let Some(delivery) = self.batches.get_mut(&batch) {
            delivery.fate = fate;
        }
    }

    pub(crate) fn asked(&self) -> &Covers {
        &self.asked
    }

    /// More than was asked where a batch reaches out of it: then others may have rows there too, and are asked for
    /// next. Refused where the ledger does not know enough to say, or a batch could not be removed.
    pub(crate) fn found(self, own: Incarnation) -> Result<Found, Reason> {
        if self.began != Some(own) {
            return Err(no_beginning());
        }
        if self.is_mixed {
            let hint = "the ledger has deliveries of an older journal within these offsets, and nobody knows whether \
                        its lanes were the same: ask for later offsets";
            return Err(reason("ledger-mixed", hint));
        }
        let bytes: usize = self.batches.values().map(|delivery| NAME_BYTES + delivery.receipt.len()).sum();
        if self.is_too_long || self.batches.len() > BATCHES_MAX || bytes > NAMES_BYTES_MAX {
            let hint = format!(
                "more than {BATCHES_MAX} batches, or more objects than {NAMES_BYTES_MAX} bytes can name, would be \
                 removed: ask for fewer offsets at once"
            );
            return Err(reason("too-many-batches", &hint));
        }
        let mut found = Found { ranges: self.asked, old: Vec::new() };
        for (id, Delivery { covers, receipt, fate }) in self.batches {
            if fate != Fate::Visible {
                return Err(unproven(id, fate));
            }
            if receipt.is_empty() {
                return Err(no_receipt(id));
            }
            covers.iter().for_each(|(key, range)| found.ranges.entry(*key).or_default().insert(*range));
            found.old.push(Delivered { id, receipt });
        }
        Ok(found)
    }
}

fn unproven(id: BatchId, fate: Fate) -> Reason {
    let hint = match fate {
        Fate::Abandoned => format!(
            "batch {id} within these offsets was abandoned without proof: it may be visible, or may become so later, \
             and cannot be removed for certain"
        ),
        _ => format!("batch {id} within these offsets waits for the destination's word: ask again later"),
    };
    reason("unproven", &hint)
}

fn no_receipt(id: BatchId) -> Reason {
    let hint = format!(
        "the ledger does not keep by what batch {id} within these offsets could be removed: an older build delivered \
         it, or its destination cannot remove. Nothing is sent or removed; ask for later offsets"
    );
    reason("no-receipt", &hint)
}
