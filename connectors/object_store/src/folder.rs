use crate::{
    disk::{Disk, Written, blocking, briefly, lock},
    fault,
    token::Token,
};
use bytes::Bytes;
use outflow_api::{BatchId, CommitOutcome, Fault, Piece, SweepReport, SweepScope};
use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::{self, File},
    io::{ErrorKind, Result, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

/// A folder of the local file system: files are written and synced out of sight, and revealed by a hard link, which
/// is there or not, and never replaces another.
pub struct Folder {
    root: PathBuf,
    /// Known when the staging folder was made.
    disk: OnceLock<Arc<Disk>>,
    /// Batches that this process staged and has seen synced. Only such files are linked: others are synced before.
    synced: Mutex<HashSet<BatchId>>,
}

/// Hidden, and with names that no `**/*.parquet` finds.
pub const STAGING: &str = ".outflow-staging";
const STAGED: &str = "part";
const UNFINISHED: &str = "new";
const ATTEMPTS_MAX: u32 = 1_000;
/// Batches wait for their commit one or two at a time; who is forgotten costs a sync.
const SYNCED_MAX: usize = 1_000;

impl Folder {
    pub fn new(root: PathBuf) -> Folder {
        Folder { root, disk: OnceLock::new(), synced: Mutex::default() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub async fn prepare(&self, id: BatchId, pieces: &[Piece]) -> std::result::Result<(), Fault> {
        let staged = self.stage_synced(id, pieces.iter().enumerate().collect()).await;
        staged.map_err(|error| fault::of_folder(&self.root, "written", error))
    }

    /// `rows` of each piece, as far as they are there.
    pub async fn commit(
        &self,
        id: BatchId,
        token: &Token,
        rows: &[Option<&Piece>],
    ) -> std::result::Result<Vec<CommitOutcome>, Fault> {
        let revealed = self.reveal(id, token, rows).await;
        revealed.map_err(|error| fault::of_folder(&self.root, "made visible", error))
    }

    pub fn abort(&self, id: BatchId, pieces: usize) -> std::result::Result<(), Fault> {
        lock(&self.synced).remove(&id);
        let removed = blocking(|| (0..pieces).try_for_each(|index| remove(&self.staged(id, index))));
        removed.map_err(|error| fault::of_folder(&self.root, "removed", error))
    }

    /// Files under these names have no rows from here on, whatever they had.
    pub async fn empty(&self, id: BatchId, files: &[(String, Bytes, u64)]) -> std::result::Result<(), Fault> {
        let emptied = self.replace_by(id, files).await;
        emptied.map_err(|error| fault::of_folder(&self.root, "emptied", error))
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

    fn staging(&self) -> PathBuf {
        self.root.join(STAGING)
    }

    /// Makes the staging folder; without it nobody knows the file system.
    fn disk(&self) -> Result<&Disk> {
        if let Some(disk) = self.disk.get() {
            return Ok(disk);
        }
        fs::create_dir_all(self.staging())?;
        let disk = Disk::of(&self.staging())?;
        Ok(self.disk.get_or_init(|| disk))
    }

    async fn stage_synced(&self, id: BatchId, pieces: Vec<(usize, &Piece)>) -> Result<()> {
        // A repeated call replaces what an earlier one staged.
        lock(&self.synced).remove(&id);
        let disk = briefly(0, || self.disk())?;
        let stage = |(index, piece): &(usize, &Piece)| self.stage(disk, id, *index, piece);
        let bytes = pieces.iter().map(|(_, piece)| piece.len()).sum();
        let mut written: Written = briefly(bytes, || pieces.iter().map(stage).collect::<Result<_>>())?;
        let folders = self.up_to_durable(disk, &self.staging());
        written.extend(folders.iter().cloned());
        disk.sync(written).await?;
        disk.remember_durable(folders);
        let mut synced = lock(&self.synced);
        if synced.len() >= SYNCED_MAX {
            synced.clear();
        }
        synced.insert(id);
        Ok(())
    }

    /// Into a file that nobody else has open: a link to an older attempt's file shares its content, so that must
    /// never be written again.
    fn stage(&self, disk: &Disk, id: BatchId, index: usize, piece: &Piece) -> Result<PathBuf> {
        let (mut file, unfinished) = self.create_new(disk, &format!("{id}-{index}"))?;
        let staged = self.staged(id, index);
        let written = piece.bytes.iter().try_for_each(|bytes| file.write_all(bytes));
        written.and_then(|()| fs::rename(&unfinished, &staged)).inspect_err(|_| {
            // A full disk must not be kept full by what did not fit.
            let _ = fs::remove_file(&unfinished);
        })?;
        Ok(staged)
    }

    async fn reveal(&self, id: BatchId, token: &Token, rows: &[Option<&Piece>]) -> Result<Vec<CommitOutcome>> {
        let disk = briefly(0, || self.disk())?;
        let targets: Vec<PathBuf> = token.pieces.iter().map(|piece| self.root.join(piece.key(id))).collect();
        let is_synced = lock(&self.synced).contains(&id);
        if !is_synced {
            // Staged by an earlier process, or by a call that was cut off: perhaps in the kernel's memory alone.
            let staged = (0..targets.len()).map(|index| self.staged(id, index));
            disk.sync(briefly(0, || staged.filter(|staged| staged.exists()).collect())).await?;
        }
        let linked = |index: usize| self.link(disk, &self.staged(id, index), &targets[index]);
        let mut outcomes: Vec<_> = briefly(0, || (0..targets.len()).map(linked).collect());
        let lacks = |index: &usize| matches!(outcomes[*index], Ok(None));
        let again: Vec<usize> = (0..targets.len()).filter(lacks).filter(|index| rows[*index].is_some()).collect();
        if !again.is_empty() {
            self.stage_synced(id, again.iter().filter_map(|index| Some((*index, rows[*index]?))).collect()).await?;
            briefly(0, || again.iter().for_each(|index| outcomes[*index] = linked(*index)));
        }
        let is_there = |(index, outcome): (usize, &Result<_>)| matches!(outcome, Ok(Some(_))).then_some(index);
        let there: Vec<usize> = outcomes.iter().enumerate().filter_map(is_there).collect();
        self.sync_links(disk, there.iter().map(|index| targets[*index].as_path())).await?;
        briefly(0, || there.iter().try_for_each(|index| remove(&self.staged(id, *index))))?;
        let outcomes = outcomes.into_iter().map(|outcome| Ok(outcome?.unwrap_or(CommitOutcome::NeedsRows)));
        let outcomes = outcomes.collect::<Result<_>>()?;
        lock(&self.synced).remove(&id);
        Ok(outcomes)
    }

    /// Written and synced out of sight, then in the old one's place at once: no reader finds half a file, and no late
    /// link a free name.
    async fn replace_by(&self, id: BatchId, files: &[(String, Bytes, u64)]) -> Result<()> {
        let disk = briefly(0, || self.disk())?;
        let write = |(index, (_, bytes, _)): (usize, &(String, Bytes, u64))| {
            let (mut file, unfinished) = self.create_new(disk, &format!("{id}-{index}"))?;
            file.write_all(bytes)?;
            Ok(unfinished)
        };
        let written: Vec<PathBuf> = briefly(0, || files.iter().enumerate().map(write).collect::<Result<_>>())?;
        disk.sync(written.iter().cloned().collect()).await?;
        let targets: Vec<PathBuf> = files.iter().map(|(key, ..)| self.root.join(key)).collect();
        let place = |(unfinished, target): (&PathBuf, &PathBuf)| {
            if let Some(folder) = target.parent().filter(|folder| !folder.exists()) {
                self.make_folder(disk, folder)?;
            }
            fs::rename(unfinished, target)
        };
        briefly(0, || written.iter().zip(&targets).try_for_each(place))?;
        self.sync_links(disk, targets.iter().map(PathBuf::as_path)).await
    }

    async fn sync_links(&self, disk: &Disk, targets: impl Iterator<Item = &Path>) -> Result<()> {
        let named_in: HashSet<&Path> = targets.filter_map(Path::parent).collect();
        let folders: Written = named_in.into_iter().flat_map(|folder| self.up_to_durable(disk, folder)).collect();
        disk.sync(folders.clone()).await?;
        disk.remember_durable(folders);
        Ok(())
    }

    /// A name is durable when its folder is synced, and that folder's own name when the folder above it is: up to one
    /// that is known to be on disk.
    fn up_to_durable(&self, disk: &Disk, folder: &Path) -> Vec<PathBuf> {
        let known = folder.ancestors().position(|above| disk.is_durable(above));
        let unknown = folder.ancestors().take(known.map_or(usize::MAX, |known| known + 1));
        // What stands above the root may be closed to us, and was most likely there before.
        let open = |above: &&Path| above.starts_with(&self.root) || File::open(above).is_ok();
        unknown.filter(open).map(Path::to_owned).collect()
    }

    /// Somebody may have removed it since it was durable.
    fn make_folder(&self, disk: &Disk, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let ours: Vec<&Path> = folder.ancestors().take_while(|above| above.starts_with(&self.root)).collect();
        disk.forget_durable(&ours);
        Ok(())
    }

    fn create_new(&self, disk: &Disk, name: &str) -> Result<(File, PathBuf)> {
        for attempt in 0..ATTEMPTS_MAX {
            let path = self.staging().join(format!("{name}.{attempt}.{UNFINISHED}"));
            let created = File::create_new(&path).or_else(|error| {
                if error.kind() != ErrorKind::NotFound {
                    return Err(error);
                }
                self.make_folder(disk, &self.staging())?;
                File::create_new(&path)
            });
            match created {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                file => return Ok((file?, path)),
            }
        }
        Err(std::io::Error::new(ErrorKind::AlreadyExists, format!("{name} has {ATTEMPTS_MAX} unfinished files")))
    }

    /// None where the batch neither is nor was. The target's own name holds the batch's id, so whatever stands there
    /// is it.
    fn link(&self, disk: &Disk, staged: &Path, target: &Path) -> Result<Option<CommitOutcome>> {
        let linked = fs::hard_link(staged, target).or_else(|error| {
            let missing = error.kind() == ErrorKind::NotFound && staged.exists();
            let folder = target.parent().filter(|folder| missing && !folder.exists());
            let Some(folder) = folder else { return Err(error) };
            self.make_folder(disk, folder)?;
            fs::hard_link(staged, target)
        });
        match linked {
            Ok(()) => Ok(Some(CommitOutcome::Committed)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Some(CommitOutcome::AlreadyCommitted)),
            // Nothing is staged: revealed before, or swept.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(target.try_exists()?.then_some(CommitOutcome::AlreadyCommitted))
            }
            Err(error) => Err(error),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::PieceToken;
    use futures::future::join_all;
    use outflow_api::{Generation, Incarnation, LaneId, Shard};

    const LANES: u32 = 500;

    fn id(lane: u32) -> BatchId {
        BatchId { incarnation: Incarnation(1), shard: Shard(2), generation: Generation(3), lane: LaneId(lane), seq: 5 }
    }

    fn piece(lane: u32) -> Piece {
        Piece { name: format!("dt=1/{}.parquet", id(lane)), rows: 1, bytes: vec![format!("rows of {lane}").into()] }
    }

    fn token(lane: u32) -> Token {
        let piece = PieceToken::new(id(lane), &piece(lane).name, 1, 10, 0);
        Token { identity: String::new(), pieces: vec![piece] }
    }

    fn visible(folder: &Folder, lane: u32) -> Option<String> {
        fs::read_to_string(folder.root.join(piece(lane).name)).ok()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn five_hundred_lanes_at_once_need_far_fewer_syncs_than_files() {
        let root = tempfile::tempdir().expect("a folder");
        let disk = Disk::of(root.path()).expect("it is there");
        let lanes: Vec<(u32, Folder)> =
            (0..LANES).map(|lane| (lane, Folder::new(root.path().join(format!("{lane}/lake"))))).collect();
        let before = disk.syncs();
        let delivered = lanes.iter().map(async |(lane, folder)| {
            folder.prepare(id(*lane), &[piece(*lane)]).await?;
            assert_eq!(visible(folder, *lane), None, "nothing is seen before the commit");
            folder.commit(id(*lane), &token(*lane), &[None]).await
        });
        for outcome in join_all(delivered).await {
            assert_eq!(outcome.expect("the disk is sound"), [CommitOutcome::Committed]);
        }
        let syncs = disk.syncs() - before;
        println!("{syncs} syncs for {LANES} files, staged and linked");
        assert!(syncs <= u64::from(LANES) / 20 || !disk.syncs_whole(), "{syncs} syncs");
        for (lane, folder) in &lanes {
            assert_eq!(visible(folder, *lane), Some(format!("rows of {lane}")));
            assert_eq!(fs::read_dir(folder.staging()).expect("it is there").count(), 0);
        }
    }

    #[tokio::test]
    async fn a_new_folder_is_synced_with_those_above_it_up_to_one_that_is_on_disk() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(root.path().join("lake"));
        folder.prepare(id(1), &[piece(1)]).await.expect("the disk is sound");
        let disk = folder.disk().expect("it is there");
        let lake = folder.root.clone();
        assert_eq!(
            folder.up_to_durable(disk, &lake),
            std::slice::from_ref(&lake),
            "its name was synced with the staging folder"
        );
        let day = lake.join("dt=1");
        assert_eq!(folder.up_to_durable(disk, &day), [day.clone(), lake]);
        folder.commit(id(1), &token(1), &[None]).await.expect("the disk is sound");
        assert_eq!(folder.up_to_durable(disk, &day), [day]);
    }

    #[tokio::test]
    async fn what_another_process_staged_is_synced_before_it_is_linked() {
        let root = tempfile::tempdir().expect("a folder");
        let (one, other) = (Folder::new(root.path().join("lake")), Folder::new(root.path().join("lake")));
        one.prepare(id(1), &[piece(1)]).await.expect("the disk is sound");
        assert!(lock(&one.synced).contains(&id(1)) && lock(&other.synced).is_empty());
        let outcomes = other.commit(id(1), &token(1), &[None]).await.expect("the disk is sound");
        assert_eq!(outcomes, [CommitOutcome::Committed]);
        let outcomes = one.commit(id(1), &token(1), &[None]).await.expect("the disk is sound");
        assert_eq!(outcomes, [CommitOutcome::AlreadyCommitted]);
        assert!(lock(&one.synced).is_empty());
    }
}
