use crate::native::{Batch, RawMessage};
use outflow_api::{Offset, OffsetRange, RecordBlock, SourceEvent, TopicPartition};
use std::{ops::Range, sync::Arc};

const BLOCK_BYTES: usize = 1 << 20;

/// Neighbours of one partition, from `first` on; an error is a run of its own.
pub(crate) fn run_at(batch: &Batch<'_>, first: usize) -> Range<usize> {
    let head = batch.get(first);
    if head.error().is_some() {
        return first..first + 1;
    }
    let belongs = |index: &usize| {
        let message = batch.get(*index);
        message.error().is_none() && message.is_of_same_partition(head)
    };
    let end = (first + 1..batch.len()).find(|index| !belongs(index)).unwrap_or(batch.len());
    first..end
}

/// Copies the messages of a run into blocks of about a mebibyte, and moves the position behind them. What is below the
/// position was answered already.
pub(crate) fn read(
    batch: &Batch<'_>,
    run: Range<usize>,
    partition: TopicPartition,
    position: &mut Offset,
    out: &mut Vec<SourceEvent>,
) {
    let start = *position;
    let mut rest = run.skip_while(|index| batch.get(*index).offset() < start.0).peekable();
    while rest.peek().is_some() {
        let (mut bytes, mut members) = (0, Vec::new());
        while let Some(index) = rest.next_if(|_| bytes < BLOCK_BYTES) {
            let message = batch.get(index);
            bytes += message.key().map_or(0, <[u8]>::len) + message.value().map_or(0, <[u8]>::len);
            members.push(message);
        }
        let block = block(partition, &members, bytes);
        let range = OffsetRange::new(*position, block.offset(block.len() - 1).after());
        *position = range.next;
        out.push(SourceEvent::Fetched { range, block: Arc::new(block) });
    }
}

fn block(partition: TopicPartition, messages: &[RawMessage<'_>], bytes: usize) -> RecordBlock {
    let mut block = RecordBlock::with_capacity(partition, bytes, messages.len());
    for message in messages {
        let headers = message.headers();
        let headers = headers.iter().map(|(name, value)| (name.as_ref(), *value));
        block.push(Offset(message.offset()), message.timestamp_ms(), message.key(), message.value(), headers);
    }
    block
}
