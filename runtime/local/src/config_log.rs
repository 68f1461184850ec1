use crate::{
    cluster::Shared,
    disk::{failed, lock, open, sync_folder},
    frame::{self, Found},
    log::{put_entries, take_entries},
    wire::Take,
};
use outflow_api::{ConfigLog, ConfigRevision, Fault, Forgotten, Publication, Revision};
use outflow_journal::{
    KeyValue,
    config::{self, READ_BYTES, Replay},
};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write,
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

const VERSION: u8 = 1;
/// Publications of other processes wake nobody here, so we look.
const LOOK: Duration = Duration::from_millis(50);

/// A file of revisions, one frame each, oldest first. Publishers hold the lock file beside it; who forgets
/// writes it anew.
pub(crate) struct LocalConfigLog {
    shared: Arc<Shared>,
    path: PathBuf,
    file: File,
    replay: Replay,
    /// Behind the last frame that was read.
    position: u64,
    /// Up to here it is durable: its publisher may have died before he made it so.
    synced: u64,
    current: bool,
    /// The file's size when its end was last found to be torn, and not damaged.
    torn: Option<u64>,
}

impl LocalConfigLog {
    pub fn open(shared: Arc<Shared>) -> Result<LocalConfigLog, Fault> {
        let folder = shared.root.join("config");
        let path = folder.join("log");
        let file = open(&path)?;
        sync_folder(&folder)?;
        let replay = Replay::default();
        Ok(LocalConfigLog { shared, path, file, replay, position: 0, synced: 0, current: false, torn: None })
    }

    /// Reads frames until there is none, or `bytes` of revisions wait to be answered.
    fn advance(&mut self, bytes: usize) -> Result<Found, Fault> {
        let mut payload = Vec::new();
        loop {
            let file_bytes = self.file_bytes()?;
            if file_bytes < self.position {
                return Err(self.damaged(file_bytes, &format!("it ended at byte {} before", self.position)));
            }
            let found = frame::read(&self.file, self.position, file_bytes, &mut payload);
            let found = found.map_err(failed("read", &self.path))?;
            let Found::Frame { next, .. } = found else { return Ok(found) };
            self.apply(&payload)?;
            self.position = next;
            if self.replay.bytes() >= bytes {
                return Ok(found);
            }
        }
    }

    fn entries(&self, payload: &[u8]) -> Result<Vec<KeyValue>, Fault> {
        let unknown = || self.damaged(self.position, "a frame of an unknown version or form");
        let mut take = Take(payload);
        let entries = take.byte().filter(|version| *version == VERSION).and_then(|_| take_entries(&mut take));
        entries.filter(|_| take.end().is_some()).ok_or_else(unknown)
    }

    fn apply(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let entries = self.entries(payload)?;
        let offset = self.position.cast_signed();
        entries.iter().try_for_each(|entry| self.replay.apply(&entry.key, entry.value.as_deref(), offset))
    }

    /// The file was written anew without what is forgotten: it is read again, and what was answered is passed over.
    fn renew(&mut self) -> Result<(), Fault> {
        let same = || {
            let (ours, there) = (self.file.metadata()?, fs::metadata(&self.path)?);
            Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        };
        if !same().map_err(failed("look at", &self.path))? {
            self.file = open(&self.path)?;
            self.replay.restart();
            (self.position, self.synced, self.torn) = (0, 0, None);
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), Fault> {
        self.renew()?;
        match self.advance(READ_BYTES)? {
            Found::Frame { .. } => return Ok(()),
            Found::End if self.replay.is_short() => return Err(self.replay.lost()),
            Found::End => {}
            Found::Broken => self.check_end()?,
        }
        self.current = true;
        Ok(())
    }

    /// Only while nobody writes: what is broken then stays broken. Looked into once.
    fn check_end(&mut self) -> Result<(), Fault> {
        let bytes = self.file_bytes()?;
        if self.torn == Some(bytes) {
            return Ok(());
        }
        let lock_file = open(&self.lock_path())?;
        if lock_file.try_lock_shared().is_err() {
            return Ok(());
        }
        let found = self.advance(usize::MAX);
        let checked = found.and_then(|found| if found == Found::Broken { self.refuse_damage() } else { Ok(()) });
        let _ = lock_file.unlock();
        self.torn = Some(bytes);
        checked
    }

    fn refuse_damage(&self) -> Result<(), Fault> {
        let damage =
            frame::damage(&self.file, self.position, self.file_bytes()?).map_err(failed("read", &self.path))?;
        damage.map_or(Ok(()), |whole| Err(self.damaged(self.position, &format!("it is whole again at byte {whole}"))))
    }

    /// Under the lock: what is broken is what a dead publisher left.
    fn read_to_end(&mut self) -> Result<(), Fault> {
        self.renew()?;
        if self.advance(usize::MAX)? == Found::Broken {
            self.refuse_damage()?;
            let cut = self.file.set_len(self.position).and_then(|()| self.file.sync_all());
            cut.map_err(failed("cut the torn end off", &self.path))?;
        }
        Ok(())
    }

    /// Never cut off again where it fails: somebody may have read it already.
    fn write(&self, revision: &ConfigRevision) -> Result<(), Fault> {
        let entries: Vec<_> = config::encode(revision).collect();
        let mut out = Vec::new();
        frame::push(&mut out, self.position, |out| {
            out.push(VERSION);
            put_entries(out, &entries);
        });
        let written = self.file.write_all_at(&out, self.position).and_then(|()| self.file.sync_data());
        written.map_err(failed("append to", &self.path))?;
        self.shared.pulse.beat();
        Ok(())
    }

    fn publish_next(&mut self, revision: &ConfigRevision) -> Result<Publication, Fault> {
        config::check(revision)?;
        let path = self.lock_path();
        let lock_file = open(&path)?;
        let _locked = lock(&lock_file, &path)?;
        self.read_to_end()?;
        if revision.revision.0 != self.replay.newest().0 + 1 {
            return Ok(Publication::Behind);
        }
        Ok(self.write(revision).map_or_else(Publication::Unknown, |()| Publication::Done))
    }

    fn forget_now(&mut self, forgotten: &Forgotten) -> Result<Publication, Fault> {
        let path = self.lock_path();
        let lock_file = open(&path)?;
        let _locked = lock(&lock_file, &path)?;
        self.read_to_end()?;
        if forgotten.until > self.replay.newest() {
            return Ok(Publication::Behind);
        }
        // A mark never falls: entries up to the highest one are missing.
        let until = forgotten.until.max(self.replay.forgotten());
        let gone: HashSet<Vec<u8>> = config::encode_forgotten(forgotten).map(|entry| entry.key).collect();
        Ok(self.write_anew(until, &gone).map_or_else(Publication::Unknown, |()| Publication::Done))
    }

    /// Under the lock, all of it being read.
    fn write_anew(&mut self, until: Revision, gone: &HashSet<Vec<u8>>) -> Result<(), Fault> {
        let new_path = self.path.with_file_name("log.new");
        let mut new = File::create(&new_path).map_err(failed("create", &new_path))?;
        let mut bytes = 0;
        let mut push = |entries: &[KeyValue]| {
            let mut out = Vec::new();
            frame::push(&mut out, bytes, |out| {
                out.push(VERSION);
                put_entries(out, entries);
            });
            bytes += out.len() as u64;
            new.write_all(&out).map_err(failed("write", &new_path))
        };
        push(&[config::forgotten(until)])?;
        let (mut position, mut payload) = (0, Vec::new());
        while position < self.position {
            let found = frame::read(&self.file, position, self.position, &mut payload);
            let Found::Frame { next, .. } = found.map_err(failed("read", &self.path))? else {
                return Err(self.damaged(position, "a frame that was whole before"));
            };
            let mut entries = self.entries(&payload)?;
            // The marks of before are among what goes.
            entries.retain(|entry| !gone.contains(&entry.key));
            if !entries.is_empty() {
                push(&entries)?;
            }
            position = next;
        }
        new.sync_all().map_err(failed("sync", &new_path))?;
        fs::rename(&new_path, &self.path).map_err(failed("rename", &new_path))?;
        sync_folder(self.path.parent().expect("it lies in a folder"))?;
        self.shared.pulse.beat();
        self.renew()?;
        self.read_to_end()
    }

    fn sync(&mut self) -> Result<(), Fault> {
        if self.synced < self.position {
            self.file.sync_data().map_err(failed("sync", &self.path))?;
            self.synced = self.position;
        }
        Ok(())
    }

    fn file_bytes(&self) -> Result<u64, Fault> {
        Ok(self.file.metadata().map_err(failed("look at", &self.path))?.len())
    }

    fn lock_path(&self) -> PathBuf {
        self.path.with_file_name("lock")
    }

    fn damaged(&self, position: u64, what: &str) -> Fault {
        let hint = format!("{} is damaged at byte {position}: {what}; restore the file", self.path.display());
        Fault::halt("config-damaged", hint)
    }
}

impl ConfigLog for LocalConfigLog {
    fn read(&mut self, wait: Duration) -> Result<Vec<ConfigRevision>, Fault> {
        let (started, was_current) = (Instant::now(), self.current);
        loop {
            let seen = self.shared.pulse.beats();
            self.look()?;
            let left = wait.saturating_sub(started.elapsed());
            if self.replay.bytes() > 0 || self.current != was_current || left.is_zero() {
                break;
            }
            self.shared.pulse.wait(seen, left.min(LOOK));
        }
        self.sync()?;
        Ok(self.replay.take())
    }

    fn is_current(&self) -> bool {
        self.current && self.replay.bytes() == 0 && !self.replay.is_short()
    }

    fn publish(&mut self, revision: &ConfigRevision) -> Publication {
        self.publish_next(revision).unwrap_or_else(Publication::Refused)
    }

    fn forget(&mut self, forgotten: &Forgotten) -> Publication {
        self.forget_now(forgotten).unwrap_or_else(Publication::Refused)
    }

    fn forgotten(&self) -> Revision {
        self.replay.forgotten()
    }
}
