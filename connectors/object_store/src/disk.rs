use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::File,
    io::{Error, Result},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::OnceCell,
};

/// A file system that thousands of lanes write to. A sync of the whole costs less than that of two files, so all who
/// ask while one is under way wait for the next, which one of them makes for all. It is made within his call: nothing
/// is spawned, and if he is cut off while he waits for his turn, another of them makes it.
pub struct Disk {
    /// Open from the beginning: a sync of the whole answers every failure to write since then, once.
    root: File,
    syncs_whole: bool,
    /// One sync at a time: whoever comes meanwhile joins the next.
    turn: tokio::sync::Mutex<()>,
    next: Mutex<Arc<Round>>,
    /// Folders that are themselves known to be on disk. Time partitions make new ones for ever: there is a limit.
    durable: Mutex<HashSet<PathBuf>>,
    syncs: AtomicU64,
}

/// Those who wait for one sync. A failure is everybody's: the kernel tells it only once.
#[derive(Default)]
struct Round {
    written: Mutex<Written>,
    outcome: OnceCell<std::result::Result<(), Arc<Error>>>,
}

/// What a sync must cover: files with their content, folders with the names in them.
pub type Written = BTreeSet<PathBuf>;

/// Up to here each is synced by itself: beside a program that has just written a gigabyte, a sync of the whole waits
/// for that too. Beyond, each by itself would take as long.
const ONE_BY_ONE_MAX: usize = 8;
const DURABLE_MAX: usize = 100_000;

/// By device number, which no other file system has while this one is held open.
static DISKS: Mutex<BTreeMap<u64, Arc<Disk>>> = Mutex::new(BTreeMap::new());

impl Disk {
    pub fn of(folder: &Path) -> Result<Arc<Disk>> {
        let root = File::open(folder)?;
        let device = root.metadata()?.dev();
        let mut disks = lock(&DISKS);
        Ok(Arc::clone(disks.entry(device).or_insert_with(|| Arc::new(Disk::new(root)))))
    }

    fn new(root: File) -> Disk {
        Disk {
            syncs_whole: whole::is_known(&root),
            root,
            turn: tokio::sync::Mutex::new(()),
            next: Mutex::default(),
            durable: Mutex::default(),
            syncs: AtomicU64::new(0),
        }
    }

    /// Answers when all that was written is on disk.
    pub async fn sync(&self, written: Written) -> Result<()> {
        if written.is_empty() {
            return Ok(());
        }
        if !self.syncs_whole {
            return blocking(|| self.one_by_one(&open(&written)?));
        }
        let round = self.join(written);
        let outcome = round.outcome.get_or_init(|| self.lead(&round)).await;
        outcome.clone().map_err(|error| Error::new(error.kind(), error))
    }

    pub fn is_durable(&self, folder: &Path) -> bool {
        lock(&self.durable).contains(folder)
    }

    /// They and all above them are on disk.
    pub fn remember_durable(&self, folders: impl IntoIterator<Item = PathBuf>) {
        let mut durable = lock(&self.durable);
        if durable.len() >= DURABLE_MAX {
            durable.clear();
        }
        durable.extend(folders);
    }

    /// They were made, perhaps anew.
    pub fn forget_durable(&self, folders: &[&Path]) {
        let mut durable = lock(&self.durable);
        for folder in folders {
            durable.remove(*folder);
        }
    }

    fn join(&self, written: Written) -> Arc<Round> {
        let next = lock(&self.next);
        let mut together = lock(&next.written);
        // Beyond it, nobody asks what they are.
        if together.len() <= ONE_BY_ONE_MAX {
            together.extend(written);
        }
        drop(together);
        Arc::clone(&next)
    }

    async fn lead(&self, round: &Arc<Round>) -> std::result::Result<(), Arc<Error>> {
        // Whoever is just about to ask may join.
        tokio::task::yield_now().await;
        let _turn = self.turn.lock().await;
        self.close(round);
        blocking(|| self.make(&lock(&round.written))).map_err(Arc::new)
    }

    /// Who comes from here on is not covered.
    fn close(&self, round: &Arc<Round>) {
        let mut next = lock(&self.next);
        if Arc::ptr_eq(&next, round) {
            *next = Arc::default();
        }
    }

    fn make(&self, written: &Written) -> Result<()> {
        if written.len() <= ONE_BY_ONE_MAX
            && let Ok(files) = open(written)
        {
            return self.one_by_one(&files);
        }
        // Also where somebody's folder is gone: that must not fail the others.
        self.syncs.fetch_add(1, Ordering::Relaxed);
        whole::sync(&self.root)
    }

    fn one_by_one(&self, files: &[File]) -> Result<()> {
        self.syncs.fetch_add(files.len() as u64, Ordering::Relaxed);
        files.iter().try_for_each(File::sync_all)
    }

    #[cfg(test)]
    pub fn syncs_whole(&self) -> bool {
        self.syncs_whole
    }

    #[cfg(test)]
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

fn open(written: &Written) -> Result<Vec<File>> {
    written.iter().map(File::open).collect()
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Small files and names: the kernel does it in its memory, in microseconds. A thread for each of ten thousand lanes,
/// with an allocator's pages of its own, would cost more than they do.
pub fn briefly<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes > BRIEF_BYTES_MAX { blocking(work) } else { work() }
}

const BRIEF_BYTES_MAX: usize = 1 << 20;

/// A file system has no other interface than one that blocks. Nothing is handed to another thread: a call that is cut
/// off leaves nobody behind who would go on writing.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(target_os = "linux")]
mod whole {
    use std::{fs::File, io::Result};

    /// ext2 to ext4, XFS, Btrfs, F2FS, ZFS, overlay, tmpfs. Others, networks' above all, may sync less than each file's
    /// own sync does.
    const KNOWN: [rustix::fs::FsWord; 7] =
        [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x2FC1_2FC1, 0x794C_7630, 0x0102_1994];

    pub fn is_known(root: &File) -> bool {
        rustix::fs::fstatfs(root).is_ok_and(|found| KNOWN.contains(&found.f_type))
    }

    pub fn sync(root: &File) -> Result<()> {
        Ok(rustix::fs::syncfs(root)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod whole {
    use std::{fs::File, io::Result};

    pub fn is_known(_root: &File) -> bool {
        false
    }

    pub fn sync(root: &File) -> Result<()> {
        root.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, future::join_all};

    fn disk() -> (tempfile::TempDir, Disk, Written) {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::new(File::open(folder.path()).expect("it is there"));
        let written = Written::from([folder.path().to_owned()]);
        (folder, disk, written)
    }

    #[tokio::test]
    async fn all_who_come_while_a_sync_is_under_way_share_the_next() {
        let (_folder, disk, written) = disk();
        let under_way = disk.turn.lock().await;
        let mut calls = Box::pin(join_all((0..100).map(|_| disk.sync(written.clone()))));
        // Until each of them waits.
        while calls.as_mut().now_or_never().is_none() && Arc::strong_count(&lock(&disk.next)) <= 100 {}
        drop(under_way);
        assert!(calls.await.iter().all(Result::is_ok));
        assert_eq!(disk.syncs(), 1);
        disk.sync(written).await.expect("the folder is there");
        assert_eq!(disk.syncs(), 2, "who comes later is not covered by what was before");
    }

    #[tokio::test]
    async fn who_is_cut_off_leaves_nobody_waiting() {
        let (_folder, disk, written) = disk();
        let under_way = disk.turn.lock().await;
        let mut leader = Box::pin(disk.sync(written.clone()));
        let mut follower = Box::pin(disk.sync(written.clone()));
        for _ in 0..3 {
            assert!(leader.as_mut().now_or_never().is_none() && follower.as_mut().now_or_never().is_none());
        }
        drop(leader);
        drop(under_way);
        follower.await.expect("the folder is there");
        assert_eq!(disk.syncs(), 1);
    }

    #[tokio::test]
    async fn a_failed_sync_fails_all_whom_it_should_have_covered_and_nobody_else() {
        let (_folder, disk, written) = disk();
        // Can be opened, and not be synced.
        let failing = Written::from([PathBuf::from("/dev/null")]);
        let (one, other) = tokio::join!(disk.sync(failing), disk.sync(written.clone()));
        assert!(one.is_err() && other.is_err());
        disk.sync(written).await.expect("the folder is there");
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_fails_nobody() {
        let (folder, disk, written) = disk();
        let gone = Written::from([folder.path().join("gone")]);
        let (one, other) = tokio::join!(disk.sync(gone), disk.sync(written));
        assert!(one.is_ok() && other.is_ok());
    }
}
