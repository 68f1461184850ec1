//! The second reader: whatever is read beside the live stream (debts, runs, passes, rows of a decided batch after a
//! crash) goes through one thread and one source, one piece after the other, so that catching up takes a bounded share
//! of everything.

use crate::{memory::Budget, rows::Kept};
use outflow_api::{Fault, Offset, OffsetRange, RowSlice, Source, SourceEvent, TopicPartition};
use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// A piece of which no record comes for this long fails.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Times of records are looked up so seldom, and for so long at most.
const TIMES_PAUSE: Duration = Duration::from_millis(250);
const TIME_MAX: Duration = Duration::from_secs(3);
/// The live stream comes first: while memory is short nothing is read beside it.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Of one piece.
const ROWS_MAX: usize = 20_000;
const BYTES_MAX: usize = 4 << 20;

#[derive(Clone)]
pub(crate) struct CatchUp(mpsc::Sender<Request>);

enum Request {
    Read {
        partition: TopicPartition,
        range: OffsetRange,
        answer: oneshot::Sender<Result<Piece, Fault>>,
    },
    TimeAt {
        partition: TopicPartition,
        offset: Offset,
        answer: oneshot::Sender<Result<TimeAt, Fault>>,
    },
    Bounds {
        partitions: Vec<TopicPartition>,
        answer: oneshot::Sender<Result<BTreeMap<TopicPartition, OffsetRange>, Fault>>,
    },
}

/// When the first record at or above an offset was written.
pub(crate) enum TimeAt {
    /// The record, and its time as the log has it.
    Record(Offset, i64),
    /// No record is there yet.
    End,
    /// There is more important work: ask again.
    Busy,
}

/// A prefix of the range that was asked for.
pub(crate) struct Piece {
    pub start: Offset,
    pub kept: Vec<Kept>,
    pub next: Offset,
}

impl CatchUp {
    pub fn start(source: Box<dyn Source>, budget: Budget) -> CatchUp {
        let (sender, requests) = mpsc::channel();
        let mut reading = Reading { source, budget, at: None, asked: None };
        let run = move || {
            while let Ok(request) = requests.recv() {
                match request {
                    Request::Read { partition, range, answer } => {
                        let _ = answer.send(reading.read(partition, range));
                    }
                    Request::TimeAt { partition, offset, answer } => {
                        let _ = answer.send(reading.time_at(partition, offset));
                    }
                    Request::Bounds { partitions, answer } => {
                        let mut bound = |key| Ok((key, reading.source.bounds(key)?));
                        let _ = answer.send(partitions.into_iter().map(&mut bound).collect());
                    }
                }
            }
        };
        std::thread::Builder::new().name("catch-up".into()).spawn(run).expect("a thread can be started");
        CatchUp(sender)
    }

    pub async fn read(&self, partition: TopicPartition, range: OffsetRange) -> Result<Piece, Fault> {
        let (answer, receiver) = oneshot::channel();
        let _ = self.0.send(Request::Read { partition, range, answer });
        receiver.await.unwrap_or_else(|_| Err(gone()))
    }

    pub async fn time_at(&self, partition: TopicPartition, offset: Offset) -> Result<TimeAt, Fault> {
        let (answer, receiver) = oneshot::channel();
        let _ = self.0.send(Request::TimeAt { partition, offset, answer });
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

struct Reading {
    source: Box<dyn Source>,
    budget: Budget,
    /// Assigned, and where it stands: the next piece mostly goes on there.
    at: Option<(TopicPartition, Offset)>,
    /// When somebody last wanted to know the time of a record.
    asked: Option<Instant>,
}

impl Reading {
    fn read(&mut self, partition: TopicPartition, range: OffsetRange) -> Result<Piece, Fault> {
        self.wait_for_room();
        if self.at != Some((partition, range.start)) {
            if let Some((before, _)) = self.at.take() {
                self.source.unassign(&[before]);
            }
            self.source.assign(&[(partition, range.start)])?;
        }
        self.at = None;
        let piece = self.read_on(partition, range);
        match &piece {
            Ok((_, standing)) => self.at = Some((partition, *standing)),
            Err(_) => self.source.unassign(&[partition]),
        }
        piece.map(|(piece, _)| piece)
    }

    /// For people alone: rows that are owed come first.
    fn time_at(&mut self, partition: TopicPartition, offset: Offset) -> Result<TimeAt, Fault> {
        if self.budget.is_full() || self.asked.is_some_and(|asked| asked.elapsed() < TIMES_PAUSE) {
            return Ok(TimeAt::Busy);
        }
        self.asked = Some(Instant::now());
        if let Some((before, _)) = self.at.take() {
            self.source.unassign(&[before]);
        }
        self.source.assign(&[(partition, offset)])?;
        let found = self.first_record(partition, offset);
        self.source.unassign(&[partition]);
        found
    }

    fn first_record(&mut self, partition: TopicPartition, offset: Offset) -> Result<TimeAt, Fault> {
        let (mut standing, mut events, deadline) = (offset, Vec::new(), Instant::now() + TIME_MAX);
        while Instant::now() < deadline {
            self.source.poll(Duration::from_millis(100), &mut events)?;
            for event in events.drain(..) {
                match event {
                    SourceEvent::Fetched { range, block }
                        if block.partition() == partition && range.start == standing =>
                    {
                        standing = range.next;
                        if !block.is_empty() {
                            return Ok(TimeAt::Record(block.offset(0), block.get(0).timestamp_ms));
                        }
                    }
                    SourceEvent::AtEnd { partition: ended, end } if ended == partition && end == standing => {
                        return Ok(TimeAt::End);
                    }
                    SourceEvent::Failed { partition: failed, fault } if failed == partition => return Err(fault),
                    SourceEvent::Fetched { .. } | SourceEvent::Failed { .. } | SourceEvent::AtEnd { .. } => {}
                }
            }
        }
        let hint = format!("{partition:?} gave no record for {TIME_MAX:?} while one's time was wanted");
        Err(Fault::retry("source-silent", hint))
    }

    fn wait_for_room(&self) {
        let deadline = Instant::now() + PAUSE_MAX;
        while self.budget.is_full() && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
        }
    }

    /// The piece, and where the source stands, which may be past the end of the piece.
    fn read_on(&mut self, partition: TopicPartition, wanted: OffsetRange) -> Result<(Piece, Offset), Fault> {
        let mut piece = Piece { start: wanted.start, kept: Vec::new(), next: wanted.start };
        let (mut standing, mut heard) = (wanted.start, Instant::now());
        let (mut rows_read, mut bytes, mut events) = (0, 0, Vec::new());
        while piece.next < wanted.next && rows_read < ROWS_MAX && bytes < BYTES_MAX {
            events.clear();
            self.source.poll(Duration::from_millis(100), &mut events)?;
            for event in events.drain(..) {
                match event {
                    SourceEvent::Fetched { range, block }
                        if block.partition() == partition && range.start == standing =>
                    {
                        heard = Instant::now();
                        standing = range.next;
                        let rows = block.row_at(wanted.start)..block.row_at(wanted.next);
                        piece.next = range.next.min(wanted.next).max(piece.next);
                        if rows.is_empty() {
                            continue;
                        }
                        (rows_read, bytes) = (rows_read + rows.len(), bytes + block.payload_bytes());
                        let memory = Arc::new(self.budget.reserve(block.held_bytes()));
                        piece.kept.push(Kept { slice: RowSlice { block, rows }, memory });
                    }
                    SourceEvent::Failed { partition: failed, fault } if failed == partition => return Err(fault),
                    // The tail of an earlier piece, or the end of the log, which says nothing about our range.
                    SourceEvent::Fetched { .. } | SourceEvent::Failed { .. } | SourceEvent::AtEnd { .. } => {}
                }
            }
            if heard.elapsed() > SILENCE_MAX {
                let hint = format!("{partition:?} gave no record for {SILENCE_MAX:?} while {wanted:?} was read again");
                return Err(Fault::retry("source-silent", hint));
            }
        }
        Ok((piece, standing))
    }
}
