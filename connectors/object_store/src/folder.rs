use crate::{fault, token::PieceToken};
use outflow_api::{BatchId, CommitOutcome, Fault, Piece, SweepReport, SweepScope};
use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::{self, File},
    io::{ErrorKind, Result, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::runtime::{Handle, RuntimeFlavor};

/// A folder of the local file system: files are written and synced out of sight, and revealed by a hard link, which
/// is there or not, and never replaces another.
pub struct Folder {
    root: PathBuf,
    /// Folders that are themselves known to be on disk. Time partitions make new ones for ever: there is a limit.
    durable: Mutex<HashSet<PathBuf>>,
}

/// Hidden, and with names that no `**/*.parquet` finds.
pub const STAGING: &str = ".outflow-staging";
const STAGED: &str = "part";
const UNFINISHED: &str = "new";
const ATTEMPTS_MAX: u32 = 1_000;
const DURABLE_MAX: usize = 10_000;

impl Folder {
    pub fn new(root: PathBuf) -> Folder {
        Folder { root, durable: Mutex::default() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn prepare(&self, id: BatchId, index: usize, piece: &Piece) -> std::result::Result<(), Fault> {
        blocking(|| self.stage(id, index, piece)).map_err(|error| fault::of_folder(&self.root, "written", error))
    }

    pub fn commit(
        &self,
        id: BatchId,
        index: usize,
        token: &PieceToken,
        rows: Option<&Piece>,
    ) -> std::result::Result<CommitOutcome, Fault> {
        let done = blocking(|| {
            let target = self.root.join(token.key(id));
            let outcome = self.reveal(id, index, &target, rows)?;
            if outcome != CommitOutcome::NeedsRows {
                self.sync_link(&target)?;
                remove(&self.staged(id, index))?;
            }
            Ok(outcome)
        });
        done.map_err(|error| fault::of_folder(&self.root, "made visible", error))
    }

    pub fn abort(&self, id: BatchId, index: usize) -> std::result::Result<(), Fault> {
        blocking(|| remove(&self.staged(id, index))).map_err(|error| fault::of_folder(&self.root, "removed", error))
    }

    pub fn sweep(&self, scope: &SweepScope) -> std::result::Result<SweepReport, Fault> {
        blocking(|| self.remove_older(scope)).map_err(|error| fault::of_folder(&self.root, "swept", error))
    }

    /// Writes, reveals and removes a file that no query engine reads.
    pub fn probe(&self, name: &str) -> std::result::Result<(), Fault> {
        let (staged, linked) = (self.root.join(STAGING).join(name), self.root.join(name));
        let tried = blocking(|| {
            fs::create_dir_all(self.root.join(STAGING))?;
            remove(&linked)?;
            File::create(&staged)?.sync_all()?;
            fs::hard_link(&staged, &linked)?;
            sync_folder(&self.root)
        });
        let cleaned = blocking(|| remove(&linked).and_then(|()| remove(&staged)));
        tried.and(cleaned).map_err(|error| fault::of_folder(&self.root, "written, linked and removed", error))
    }

    fn staged(&self, id: BatchId, index: usize) -> PathBuf {
        self.root.join(STAGING).join(format!("{id}-{index}.{STAGED}"))
    }

    /// Into a file that nobody else has open: a link to an older attempt's file shares its content, so that must
    /// never be written again.
    fn stage(&self, id: BatchId, index: usize, piece: &Piece) -> Result<()> {
        let staging = self.root.join(STAGING);
        fs::create_dir_all(&staging)?;
        let (mut file, unfinished) = create_new(&staging, &format!("{id}-{index}"))?;
        let written = piece.bytes.iter().try_for_each(|bytes| file.write_all(bytes)).and_then(|()| file.sync_all());
        let staged = written.and_then(|()| fs::rename(&unfinished, self.staged(id, index)));
        staged.inspect_err(|_| {
            // A full disk must not be kept full by what did not fit.
            let _ = fs::remove_file(&unfinished);
        })?;
        sync_folder(&staging)
    }

    fn reveal(&self, id: BatchId, index: usize, target: &Path, rows: Option<&Piece>) -> Result<CommitOutcome> {
        let staged = self.staged(id, index);
        if let Some(outcome) = link(&staged, target)? {
            return Ok(outcome);
        }
        // Nothing is staged: revealed before, or swept. The target's own name holds the batch's id, so whatever
        // stands there is this batch.
        if target.try_exists()? {
            return Ok(CommitOutcome::AlreadyCommitted);
        }
        let Some(piece) = rows else { return Ok(CommitOutcome::NeedsRows) };
        self.stage(id, index, piece)?;
        Ok(link(&staged, target)?.unwrap_or(CommitOutcome::NeedsRows))
    }

    /// A link is durable when its folder is synced, and that folder when the folders above it are.
    fn sync_link(&self, target: &Path) -> Result<()> {
        let Some(folder) = target.parent() else { return Ok(()) };
        sync_folder(folder)?;
        if self.durable().contains(folder) {
            return Ok(());
        }
        for above in folder.ancestors().skip(1) {
            // What stands above the root may be closed to us, and was most likely there before.
            sync_folder(above).or_else(|error| if above.starts_with(&self.root) { Err(error) } else { Ok(()) })?;
        }
        let mut durable = self.durable();
        if durable.len() >= DURABLE_MAX {
            durable.clear();
        }
        durable.insert(folder.to_owned());
        Ok(())
    }

    fn durable(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove_older(&self, scope: &SweepScope) -> Result<SweepReport> {
        let entries = match fs::read_dir(self.root.join(STAGING)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(SweepReport::default()),
            entries => entries?,
        };
        let mut report = SweepReport::default();
        for entry in entries {
            let entry = entry?;
            if is_swept(scope, &entry.file_name()) {
                remove(&entry.path())?;
                report.removed += 1;
            }
        }
        Ok(report)
    }
}

/// A file system has no other interface than one that blocks. Nothing is handed to another thread: a call that is cut
/// off leaves nobody behind who would go on writing.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn create_new(staging: &Path, name: &str) -> Result<(File, PathBuf)> {
    for attempt in 0..ATTEMPTS_MAX {
        let path = staging.join(format!("{name}.{attempt}.{UNFINISHED}"));
        match File::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            file => return Ok((file?, path)),
        }
    }
    Err(std::io::Error::new(ErrorKind::AlreadyExists, format!("{name} has {ATTEMPTS_MAX} unfinished files")))
}

/// None where nothing is staged.
fn link(staged: &Path, target: &Path) -> Result<Option<CommitOutcome>> {
    let linked = fs::hard_link(staged, target).or_else(|error| {
        let missing = error.kind() == ErrorKind::NotFound && staged.exists();
        let folder = target.parent().filter(|folder| missing && !folder.exists());
        let Some(folder) = folder else { return Err(error) };
        fs::create_dir_all(folder)?;
        fs::hard_link(staged, target)
    });
    match linked {
        Ok(()) => Ok(Some(CommitOutcome::Committed)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Some(CommitOutcome::AlreadyCommitted)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)?.sync_all()
}

fn is_swept(scope: &SweepScope, name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let numbers: Vec<&str> = name.split(['-', '.']).collect();
    let [incarnation, shard, generation, ..] = numbers[..] else { return false };
    let number = |text| u64::from_str_radix(text, 16).ok();
    number(incarnation) == Some(scope.incarnation.0)
        && number(shard) == Some(u64::from(scope.shard.0))
        && number(generation).is_some_and(|generation| generation < scope.below.0)
        && !scope.keep.iter().any(|kept| name.starts_with(&format!("{}-", kept.id)))
}
