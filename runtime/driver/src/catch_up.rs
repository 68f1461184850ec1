//! The second reader: whatever has to be read again (debts, rows of a decided batch after a crash) goes through one
//! thread and one source, one request after the other, so that catching up takes a bounded share of everything.

use crate::{batch::Covers, memory::Budget, rows::Kept};
use outflow_api::{Fault, Offset, OffsetRange, RowSlice, Source, SourceEvent, TopicPartition};
use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// A request that sees no record for this long fails: its lane parks and tries again later.
const SILENCE_MAX: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct CatchUp(mpsc::Sender<Request>);

enum Request {
    Read(ReadRequest),
    Bounds {
        partitions: Vec<TopicPartition>,
        answer: oneshot::Sender<Result<BTreeMap<TopicPartition, OffsetRange>, Fault>>,
    },
}

struct ReadRequest {
    ranges: Covers,
    rows_max: u64,
    bytes_max: u64,
    answer: oneshot::Sender<Result<Reread, Fault>>,
}

/// What was read, and how far: a prefix of each range that was asked for.
pub(crate) struct Reread {
    pub kept: Vec<Kept>,
    pub covers: Covers,
}

impl CatchUp {
    pub fn start(mut source: Box<dyn Source>, budget: Budget) -> CatchUp {
        let (sender, requests) = mpsc::channel();
        let run = move || {
            while let Ok(request) = requests.recv() {
                match request {
                    Request::Read(request) => {
                        let answer = read(source.as_mut(), &budget, &request);
                        let _ = request.answer.send(answer);
                    }
                    Request::Bounds { partitions, answer } => {
                        let bounds = partitions.into_iter().map(|key| Ok((key, source.bounds(key)?))).collect();
                        let _ = answer.send(bounds);
                    }
                }
            }
        };
        std::thread::Builder::new().name("catch-up".into()).spawn(run).expect("a thread can be started");
        CatchUp(sender)
    }

    pub async fn read(&self, ranges: Covers, rows_max: u64, bytes_max: u64) -> Result<Reread, Fault> {
        let (answer, receiver) = oneshot::channel();
        let _ = self.0.send(Request::Read(ReadRequest { ranges, rows_max, bytes_max, answer }));
        receiver.await.unwrap_or_else(|_| Err(gone()))
    }

    pub async fn bounds(
        &self,
        partitions: Vec<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, OffsetRange>, Fault> {
        let (answer, receiver) = oneshot::channel();
        let _ = self.0.send(Request::Bounds { partitions, answer });
        receiver.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> Fault {
    Fault::retry("catch-up-gone", "the thread that reads again is gone: the worker is stopping")
}

fn read(source: &mut dyn Source, budget: &Budget, request: &ReadRequest) -> Result<Reread, Fault> {
    let mut reread = Reread { kept: Vec::new(), covers: Covers::new() };
    let (mut rows, mut bytes) = (0, 0);
    for (partition, range) in &request.ranges {
        if rows >= request.rows_max || bytes >= request.bytes_max {
            break;
        }
        source.assign(&[(*partition, range.start)])?;
        let reached = read_partition(source, budget, *partition, *range, &mut |kept| {
            rows += kept.slice.rows.len() as u64;
            bytes += (kept.slice.block.payload_bytes() * kept.slice.rows.len() / kept.slice.block.len().max(1)) as u64;
            reread.kept.push(kept);
            rows < request.rows_max && bytes < request.bytes_max
        });
        source.unassign(&[*partition]);
        reread.covers.insert(*partition, OffsetRange::new(range.start, reached?));
    }
    Ok(reread)
}

/// Answers the offset that was reached: the end of the range, unless `keep` wants no more.
fn read_partition(
    source: &mut dyn Source,
    budget: &Budget,
    partition: TopicPartition,
    wanted: OffsetRange,
    keep: &mut dyn FnMut(Kept) -> bool,
) -> Result<Offset, Fault> {
    let (mut reached, mut heard) = (wanted.start, Instant::now());
    let mut events = Vec::new();
    while reached < wanted.next {
        events.clear();
        source.poll(Duration::from_millis(100), &mut events)?;
        for event in events.drain(..) {
            match event {
                SourceEvent::Fetched { range, block } if block.partition() == partition && range.start == reached => {
                    heard = Instant::now();
                    let rows = block.row_at(wanted.start)..block.row_at(wanted.next);
                    reached = range.next.min(wanted.next);
                    if rows.is_empty() {
                        continue;
                    }
                    let memory = Arc::new(budget.reserve(block.held_bytes()));
                    if !keep(Kept { slice: RowSlice { block, rows }, memory }) {
                        return Ok(reached);
                    }
                }
                SourceEvent::Failed { partition: failed, fault } if failed == partition => return Err(fault),
                // The tail of an earlier request, or the end of the log, which says nothing about our range.
                SourceEvent::Fetched { .. } | SourceEvent::Failed { .. } | SourceEvent::AtEnd { .. } => {}
            }
        }
        if heard.elapsed() > SILENCE_MAX {
            let hint = format!("{partition:?} gave no record for {SILENCE_MAX:?} while {wanted:?} was read again");
            return Err(Fault::retry("source-silent", hint));
        }
    }
    Ok(reached)
}
