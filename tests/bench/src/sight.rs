use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// When each file of some folders became visible, told by the kernel at that moment. A file's own times are of no use:
/// its content is older than its name, and its inode changes again when the staged name goes.
pub struct Sight {
    seen: Arc<Mutex<Seen>>,
    _watcher: RecommendedWatcher,
}

#[derive(Default)]
struct Seen {
    /// Milliseconds since 1970.
    files: HashMap<PathBuf, u128>,
    /// The kernel's queue ran over, or a folder could not be read.
    missed: Option<String>,
}

impl Sight {
    /// Of folders that are there already: what appears in them from now on is seen.
    ///
    /// # Panics
    /// If the kernel does not watch so many folders.
    pub fn of<'a>(folders: impl Iterator<Item = &'a Path>) -> Sight {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let told = Arc::clone(&seen);
        let mut watcher = notify::recommended_watcher(move |event| locked(&told).note(event)).expect("Linux watches");
        for folder in folders {
            let watched = watcher.watch(folder, RecursiveMode::NonRecursive);
            watched.expect("folders can be watched: see fs.inotify.max_user_watches");
        }
        Sight { seen, _watcher: watcher }
    }

    /// One line for each file: its path, and when it was seen. Answers how many there are.
    ///
    /// # Panics
    /// If some may have been missed.
    pub fn write(&self, target: &Path) -> usize {
        let seen = locked(&self.seen);
        assert!(seen.missed.is_none(), "files appeared unseen: {:?}", seen.missed);
        let lines: String = seen.files.iter().map(|(path, ms)| format!("{},{ms}\n", path.display())).collect();
        fs::write(target, lines).expect("our own folder can be written");
        seen.files.len()
    }
}

impl Seen {
    fn note(&mut self, event: notify::Result<Event>) {
        let now = now_ms();
        match event {
            Ok(event) if event.need_rescan() => self.missed = Some("too many at once".to_owned()),
            Ok(event) if event.kind.is_create() => {
                let files = event.paths.into_iter();
                let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet"));
                self.files.extend(files.map(|path| (path, now)));
            }
            Ok(_) => {}
            Err(error) => self.missed = Some(error.to_string()),
        }
    }
}

pub fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_millis()
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
