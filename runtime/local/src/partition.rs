use crate::{
    RecordToWrite,
    disk::{failed, lock, open, sync_folder},
    frame::{self, Found},
    pulse::Pulse,
    record::{self, Decision, RECORD_BYTES_MAX},
    topic::read_info,
};
use outflow_api::{Blame, Fault, Offset, OffsetRange, TopicPartition, Verdict};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A reader holds one frame in memory, so frames are small; a larger record has one of its own.
const FRAME_BYTES: usize = 1 << 20;

/// One partition's segments: one object per process, shared by its writers and readers.
pub(crate) struct PartitionLog {
    pub partition: TopicPartition,
    pub topic: String,
    root: PathBuf,
    folder: PathBuf,
    segment_bytes: u64,
    pulse: Arc<Pulse>,
    tail: Mutex<Option<Tail>>,
}

/// Behind the last frame that was seen whole and is durable.
struct Tail {
    file: File,
    base: i64,
    position: u64,
    next: i64,
    /// Something lies behind it that is no whole frame: torn, or in the middle of being written.
    broken: bool,
}

impl PartitionLog {
    pub fn new(
        root: &Path,
        folder: PathBuf,
        topic: &str,
        partition: TopicPartition,
        segment_bytes: u64,
        pulse: &Arc<Pulse>,
    ) -> PartitionLog {
        let (root, topic, pulse) = (root.to_owned(), topic.to_owned(), Arc::clone(pulse));
        PartitionLog { partition, topic, root, folder, segment_bytes, pulse, tail: Mutex::new(None) }
    }

    pub fn segment(&self, base: i64) -> PathBuf {
        self.folder.join(format!("{base:020}.log"))
    }

    /// First offsets of the segments, rising.
    pub fn bases(&self) -> Result<Vec<i64>, Fault> {
        let entries = fs::read_dir(&self.folder).map_err(|error| self.gone(error))?;
        let base = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok();
        let mut bases: Vec<i64> = entries.flatten().filter_map(base).collect();
        bases.sort_unstable();
        Ok(bases)
    }

    pub fn bounds(&self) -> Result<OffsetRange, Fault> {
        let next = self.end()?;
        let start = self.bases()?.first().map_or(Offset::ZERO, |base| Offset(*base));
        Ok(OffsetRange::new(start.min(next), next))
    }

    pub fn end(&self) -> Result<Offset, Fault> {
        let mut tail = self.tail();
        let tail = self.refreshed(&mut tail)?;
        if tail.broken {
            self.check_damage(tail)?;
        }
        Ok(Offset(tail.next))
    }

    /// Another topic under this name, or none: its records are not ours to mix with.
    pub fn check_topic(&self) -> Result<(), Fault> {
        match read_info(&self.root, &self.topic)? {
            Some(info) if info.id == self.partition.topic => Ok(()),
            found => {
                let now = if found.is_some() { "was made anew under its old name" } else { "was deleted" };
                let hint = format!("topic {} {now}; what was read of the old one is complete", self.topic);
                Err(Fault::new(Verdict::Park, Blame::Us, "topic-recreated", hint))
            }
        }
    }

    pub fn append(&self, records: &[RecordToWrite<'_>], decision: Option<Decision>) -> Result<OffsetRange, Fault> {
        self.check_sizes(records)?;
        let mut tail = self.tail();
        let path = self.folder.join("lock");
        self.check_topic()?;
        let file = open(&path)?;
        let _locked = lock(&file, &path)?;
        let tail = self.refreshed(&mut tail)?;
        self.cut_torn_end(tail)?;
        if tail.position >= self.segment_bytes {
            *tail = self.open_segment(tail.next)?;
        }
        let (bytes, next) = encode_frames(tail.position, tail.next, decision, records);
        let written = tail.file.write_all_at(&bytes, tail.position).and_then(|()| tail.file.sync_data());
        if let Err(error) = written {
            // Nobody was promised these records; what is left of them is cut off by the next append.
            let _ = tail.file.set_len(tail.position);
            return Err(failed("append to", &self.segment(tail.base))(error));
        }
        let range = OffsetRange::new(Offset(tail.next), Offset(next));
        tail.position += bytes.len() as u64;
        tail.next = next;
        self.pulse.beat();
        Ok(range)
    }

    pub fn trim_below(&self, offset: Offset) -> Result<Offset, Fault> {
        let path = self.folder.join("lock");
        let file = open(&path)?;
        let _locked = lock(&file, &path)?;
        self.check_topic()?;
        let bases = self.bases()?;
        // From the front, so that a crash leaves no hole.
        for pair in bases.windows(2).take_while(|pair| pair[1] <= offset.0) {
            let segment = self.segment(pair[0]);
            fs::remove_file(&segment).map_err(failed("remove", &segment))?;
            sync_folder(&self.folder)?;
        }
        Ok(Offset(self.bases()?.first().copied().unwrap_or(0)))
    }

    pub fn damaged(&self, segment: i64, position: u64, what: &str) -> Fault {
        let path = self.segment(segment);
        let hint = format!("{} is damaged at byte {position}: {what}; restore the file", path.display());
        Fault::halt("topic-damaged", hint)
    }

    fn tail(&self) -> MutexGuard<'_, Option<Tail>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self, error: std::io::Error) -> Fault {
        match self.check_topic() {
            Err(fault) => fault,
            Ok(()) => failed("list", &self.folder)(error),
        }
    }

    fn refreshed<'t>(&self, slot: &'t mut Option<Tail>) -> Result<&'t mut Tail, Fault> {
        if slot.is_none() {
            let base = self.bases()?.last().copied().unwrap_or(0);
            *slot = Some(self.open_segment(base)?);
        }
        let tail = slot.as_mut().expect("just set");
        let mut payload = Vec::new();
        loop {
            self.advance(tail, &mut payload)?;
            let next = self.segment(tail.next);
            if tail.next == tail.base || tail.broken || !next.exists() {
                break;
            }
            *tail = self.open_segment(tail.next)?;
        }
        Ok(tail)
    }

    fn open_segment(&self, base: i64) -> Result<Tail, Fault> {
        let path = self.segment(base);
        let is_new = !path.exists();
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| self.gone(error))?;
        if is_new {
            sync_folder(&self.folder)?;
        }
        // Behind the open: a topic that was made anew meanwhile has files of the same names.
        self.check_topic()?;
        Ok(Tail { file, base, position: 0, next: base, broken: false })
    }

    /// To the segment's last whole frame; what it passes is synced, for its writer may have died before he did.
    fn advance(&self, tail: &mut Tail, payload: &mut Vec<u8>) -> Result<(), Fault> {
        let path = self.segment(tail.base);
        let (mut position, mut next) = (tail.position, tail.next);
        tail.broken = loop {
            let file_bytes = tail.file.metadata().map_err(failed("look at", &path))?.len();
            match frame::read(&tail.file, position, file_bytes, payload).map_err(failed("read", &path))? {
                Found::End => break false,
                Found::Broken => break true,
                Found::Frame { next: after, .. } => {
                    let batch = record::decode(payload).filter(|batch| batch.base == next);
                    let unknown = || self.damaged(tail.base, position, "records of an unknown version or place");
                    next = batch.ok_or_else(unknown)?.next();
                    position = after;
                }
            }
        };
        if position > tail.position {
            tail.file.sync_data().map_err(failed("sync", &path))?;
        }
        (tail.position, tail.next) = (position, next);
        Ok(())
    }

    /// Only while nobody writes: what is broken then stays broken.
    fn check_damage(&self, tail: &mut Tail) -> Result<(), Fault> {
        let path = self.folder.join("lock");
        let file = open(&path)?;
        if file.try_lock_shared().is_err() {
            return Ok(());
        }
        let checked = self.advance(tail, &mut Vec::new()).and_then(|()| self.find_damage(tail));
        let _ = file.unlock();
        checked
    }

    fn find_damage(&self, tail: &Tail) -> Result<(), Fault> {
        if !tail.broken {
            return Ok(());
        }
        let path = self.segment(tail.base);
        let file_bytes = tail.file.metadata().map_err(failed("look at", &path))?.len();
        match frame::damage(&tail.file, tail.position, file_bytes).map_err(failed("read", &path))? {
            Some(whole) => Err(self.damaged(tail.base, tail.position, &format!("whole again at byte {whole}"))),
            None => Ok(()),
        }
    }

    fn cut_torn_end(&self, tail: &mut Tail) -> Result<(), Fault> {
        if !tail.broken {
            return Ok(());
        }
        self.find_damage(tail)?;
        let cut = tail.file.set_len(tail.position).and_then(|()| tail.file.sync_all());
        cut.map_err(failed("cut the torn end off", &self.segment(tail.base)))?;
        tail.broken = false;
        Ok(())
    }

    fn check_sizes(&self, records: &[RecordToWrite<'_>]) -> Result<(), Fault> {
        let Some(bytes) = records.iter().map(RecordToWrite::bytes).find(|bytes| *bytes > RECORD_BYTES_MAX) else {
            return Ok(());
        };
        let hint = format!("a record of {bytes} bytes for topic {}; allowed are {RECORD_BYTES_MAX}", self.topic);
        Err(Fault::new(Verdict::Park, Blame::Us, "record-too-large", hint))
    }
}

fn encode_frames(begin: u64, base: i64, decision: Option<Decision>, records: &[RecordToWrite<'_>]) -> (Vec<u8>, i64) {
    let mut out = Vec::new();
    let (mut next, mut rest) = (base, records);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|record| {
            bytes += record.bytes();
            bytes <= FRAME_BYTES
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        frame::push(&mut out, begin, |out| record::encode(out, next, decision, now));
        next += now.len() as i64;
        rest = later;
    }
    (out, next)
}
