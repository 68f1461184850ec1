use outflow_api::{Blame, Fault, Verdict};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

/// The disk or its rights; nothing of ours is known to be wrong, so trying again later is right.
pub(crate) fn io_fault(what: &str, path: &Path, error: io::Error) -> Fault {
    let path = path.display();
    let (code, hint) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ("disk-full", format!("cannot {what} {path}; make room on that file system"))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ("no-rights", format!("cannot {what} {path}; this process needs to read and write there"))
        }
        _ => ("disk-failed", format!("cannot {what} {path}; look at the file system and its device")),
    };
    Fault::new(Verdict::Retry { after: None }, Blame::Us, code, hint).because(error)
}

/// For `map_err`.
pub(crate) fn failed<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Fault + 'a {
    move |error| io_fault(what, path, error)
}

/// Makes the folder and all above it; each new name is durable.
pub(crate) fn create_folder(path: &Path) -> Result<(), Fault> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folder(above)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io_fault("make the folder", path, error)),
        _ => sync_folder(above),
    }
}

pub(crate) fn sync_folder(path: &Path) -> Result<(), Fault> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder", path))
}

/// Whole or not at all, and durable.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(failed("write", path))?;
    sync_folder(path.parent().expect("a file is in a folder"))
}

pub(crate) fn open(path: &Path) -> Result<File, Fault> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    file.map_err(failed("open", path))
}

/// Gives the lock back when dropped; the operating system does it for a process that dies.
pub(crate) struct Locked<'a>(&'a File);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Holders keep these locks for one write, so a long wait means that one was stopped in the middle of it.
const LOCK_WAIT: Duration = Duration::from_secs(30);
const LOCK_PAUSE: Duration = Duration::from_millis(1);

pub(crate) fn lock<'a>(file: &'a File, path: &Path) -> Result<Locked<'a>, Fault> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Locked(file)),
            Err(TryLockError::Error(error)) => return Err(io_fault("lock", path, error)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                let hint = format!(
                    "{} is held by another process for {LOCK_WAIT:?}; is one stopped? Let it go on, or end it",
                    path.display()
                );
                return Err(Fault::new(Verdict::Retry { after: None }, Blame::Us, "lock-held", hint));
            }
        }
    }
}

/// Bits for an id that nobody else has.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Fault::halt("no-random", format!("the operating system gives no random numbers: {error}")))?;
    Ok(bytes)
}
