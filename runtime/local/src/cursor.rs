use crate::{
    disk::failed,
    frame::{self, Found},
    partition::PartitionLog,
    record::{self, Batch},
};
use outflow_api::{Blame, Fault, Offset, Verdict};
use std::{fs::File, sync::Arc};

/// Goes over a partition's frames, from segment to segment.
pub(crate) struct Cursor {
    log: Arc<PartitionLog>,
    file: File,
    base: i64,
    position: u64,
    next: Offset,
    payload: Vec<u8>,
}

impl Cursor {
    /// Finds its place by walking over the segment's frames: once per assignment, at most one segment.
    pub fn open(log: &Arc<PartitionLog>, from: Offset) -> Result<Cursor, Fault> {
        let bounds = log.bounds()?;
        if from < bounds.start {
            return Err(offsets_gone(log, from, bounds.start));
        }
        if from > bounds.next {
            return Err(truncated(log, from, bounds.next));
        }
        let base = log.bases()?.into_iter().rfind(|base| *base <= from.0).unwrap_or(0);
        let path = log.segment(base);
        let file = File::open(&path).map_err(failed("open", &path))?;
        log.check_topic()?;
        let log = Arc::clone(log);
        Ok(Cursor { log, file, base, position: 0, next: Offset(base), payload: Vec::new() })
    }

    /// The next frame that holds something at or above `from` and below `end`, where the log was seen to end.
    pub fn read(&mut self, from: Offset, end: Offset) -> Result<Option<Batch<'_>>, Fault> {
        while self.next < end {
            let path = self.log.segment(self.base);
            let file_bytes = self.file.metadata().map_err(failed("look at", &path))?.len();
            let found = frame::read(&self.file, self.position, file_bytes, &mut self.payload);
            match found.map_err(failed("read", &path))? {
                Found::End => self.next_segment()?,
                Found::Broken => return Err(self.log.damaged(self.base, self.position, "the checksum is wrong")),
                Found::Frame { next, .. } => {
                    let batch = record::decode(&self.payload).filter(|batch| batch.base == self.next.0);
                    let unknown =
                        || self.log.damaged(self.base, self.position, "records of an unknown version or place");
                    self.next = Offset(batch.ok_or_else(unknown)?.next());
                    self.position = next;
                    if self.next > from {
                        return Ok(record::decode(&self.payload));
                    }
                }
            }
        }
        Ok(None)
    }

    fn next_segment(&mut self) -> Result<(), Fault> {
        let path = self.log.segment(self.next.0);
        let Ok(file) = File::open(&path) else {
            let start = self.log.bounds()?.start;
            if start > self.next {
                return Err(offsets_gone(&self.log, self.next, start));
            }
            return Err(self.log.damaged(self.base, self.position, "the segment that follows is missing"));
        };
        self.log.check_topic()?;
        (self.file, self.base, self.position) = (file, self.next.0, 0);
        Ok(())
    }
}

fn offsets_gone(log: &PartitionLog, from: Offset, start: Offset) -> Fault {
    let hint = format!(
        "topic {} partition {}: offsets {} to {} were deleted before they were read ({} records at most); \
         keep records for longer, or accept the loss by an explicit reset to {}",
        log.topic,
        log.partition.partition,
        from.0,
        start.0 - 1,
        start.0 - from.0,
        start.0
    );
    Fault::new(Verdict::Park, Blame::Us, "offsets-gone", hint)
}

pub(crate) fn truncated(log: &PartitionLog, from: Offset, end: Offset) -> Fault {
    let hint = format!(
        "topic {} partition {} ends at offset {}, but was read up to {} before; records were lost at its end: \
         restore it, or reset to {} explicitly",
        log.topic, log.partition.partition, end.0, from.0, end.0
    );
    Fault::halt("log-truncated", hint)
}
