use crate::problem::Problem;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, recommended_watcher};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

/// Tells when to look at the files again. Knows no files: whoever is told looks at all of them, and finds out what
/// changed. So a change that is told twice costs little, and one that is not told waits for the next look.
pub struct Watcher {
    changes: Receiver<()>,
    change: SyncSender<()>,
    stopped: Arc<AtomicBool>,
    /// None where the system has no watches to give: then there are only looks in between.
    watches: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    times: Times,
}

/// Why a wait is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// Something in the folders changed.
    Changed,
    /// Nothing was told for a while; look all the same, for some file systems tell nothing.
    Routine,
    Stopped,
}

/// Ends a wait from another thread.
#[derive(Clone)]
pub struct Stopper {
    change: SyncSender<()>,
    stopped: Arc<AtomicBool>,
}

impl Stopper {
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // A full channel wakes as well.
        let _ = self.change.try_send(());
    }
}

struct Times {
    /// As long as changes follow each other so closely they are one.
    quiet: Duration,
    /// In units of `quiet`: an endless stream of changes is looked at as well.
    rounds_max: usize,
    routine: Duration,
}

const TIMES: Times = Times { quiet: Duration::from_millis(200), rounds_max: 10, routine: Duration::from_secs(30) };

impl Default for Watcher {
    fn default() -> Watcher {
        Watcher::with(TIMES)
    }
}

impl Watcher {
    pub fn new() -> Watcher {
        Watcher::default()
    }

    fn with(times: Times) -> Watcher {
        let (change, changes) = sync_channel(1);
        let told = change.clone();
        // Looking at the files is an access, and must not lead to another look.
        let matters = |event: &Event| !matches!(event.kind, EventKind::Access(_));
        let tell = move |event: notify::Result<Event>| {
            if event.as_ref().map_or(true, matters) {
                let _ = told.try_send(());
            }
        };
        let watches = recommended_watcher(tell).ok();
        Watcher { changes, change, stopped: Arc::default(), watches, watched: BTreeSet::new(), times }
    }

    /// Watches these folders, and no others any more. Those that are new are to be looked at once more, for something
    /// may have come between the last look and this. Of those that can't be watched the reason is answered: changes in
    /// them are seen with the next routine look.
    pub fn watch(&mut self, folders: &BTreeSet<PathBuf>) -> Vec<Problem> {
        let unseen = |folder: &Path, why: &str| {
            Problem::new(format!("changes in this folder are seen late, for it can't be watched: {why}"))
                .in_file(folder.display().to_string())
        };
        let Some(watches) = &mut self.watches else {
            return folders.iter().map(|folder| unseen(folder, "the system has no watches left")).collect();
        };
        for gone in self.watched.difference(folders) {
            let _ = watches.unwatch(here(gone));
        }
        let mut problems = Vec::new();
        let mut watched = BTreeSet::new();
        for folder in folders {
            let known = self.watched.contains(folder) && folder.exists();
            match if known { Ok(()) } else { watches.watch(here(folder), RecursiveMode::NonRecursive) } {
                Ok(()) => drop(watched.insert(folder.clone())),
                Err(error) => problems.push(unseen(folder, &error.to_string())),
            }
        }
        if !watched.is_subset(&self.watched) {
            let _ = self.change.try_send(());
        }
        self.watched = watched;
        problems
    }

    pub fn stopper(&self) -> Stopper {
        Stopper { change: self.change.clone(), stopped: Arc::clone(&self.stopped) }
    }

    /// Blocks until it is time to look again.
    pub fn wait(&self) -> Wake {
        if self.stopped.load(Ordering::SeqCst) {
            return Wake::Stopped;
        }
        let mut wake = self.next(self.times.routine);
        for _ in 0..self.times.rounds_max {
            if wake != Wake::Changed || self.next(self.times.quiet) == Wake::Routine {
                break;
            }
        }
        if self.stopped.load(Ordering::SeqCst) {
            wake = Wake::Stopped;
        }
        wake
    }

    fn next(&self, longest: Duration) -> Wake {
        match self.changes.recv_timeout(longest) {
            _ if self.stopped.load(Ordering::SeqCst) => Wake::Stopped,
            Ok(()) => Wake::Changed,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Wake::Routine,
        }
    }
}

/// The folder of a file that is named without one.
fn here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, thread};

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(10);

    fn watcher(quiet: Duration, routine: Duration) -> Watcher {
        Watcher::with(Times { quiet, rounds_max: 3, routine })
    }

    #[test]
    fn a_change_in_a_watched_folder_is_told_once() {
        let folder = tempfile::tempdir().expect("a folder");
        // The machine may be busy between two writes.
        let mut watcher = watcher(Duration::from_secs(2), LONG);
        assert_eq!(watcher.watch(&[folder.path().to_owned()].into()), []);
        for name in ["a.yaml", "b.yaml"] {
            fs::write(folder.path().join(name), "merchant: a").expect("written");
        }
        assert_eq!(watcher.wait(), Wake::Changed);
        assert_eq!(watcher.next(SHORT), Wake::Routine, "both changes are one");
        fs::read(folder.path().join("a.yaml")).expect("read");
        assert_eq!(watcher.next(SHORT), Wake::Routine, "a look is no change");
    }

    #[test]
    fn a_folder_that_is_new_is_looked_at_once_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut watcher = watcher(SHORT, LONG);
        let folders = [folder.path().to_owned()].into();
        // Written between a look and the watch.
        fs::write(folder.path().join("a.yaml"), "merchant: a").expect("written");
        assert_eq!(watcher.watch(&folders), []);
        assert_eq!(watcher.wait(), Wake::Changed);
        assert_eq!(watcher.watch(&folders), []);
        assert_eq!(watcher.next(SHORT), Wake::Routine, "it is known");
    }

    #[test]
    fn where_nothing_can_be_watched_there_is_a_look_in_between() {
        let mut watcher = watcher(SHORT, SHORT);
        let problems = watcher.watch(&["/nowhere".into()].into());
        assert!(problems[0].to_string().contains("seen late"), "{problems:?}");
        assert_eq!(watcher.wait(), Wake::Routine);
    }

    #[test]
    fn a_wait_can_be_stopped() {
        let watcher = watcher(LONG, LONG);
        let stopper = watcher.stopper();
        let stopping = thread::spawn(move || stopper.stop());
        assert_eq!(watcher.wait(), Wake::Stopped);
        assert_eq!(watcher.wait(), Wake::Stopped);
        stopping.join().expect("stopped");
    }

    #[test]
    fn an_endless_stream_of_changes_is_looked_at_as_well() {
        let watcher = watcher(LONG, LONG);
        let (change, stopper) = (watcher.change.clone(), watcher.stopper());
        let streaming =
            thread::spawn(move || while !stopper.stopped.load(Ordering::SeqCst) && change.send(()).is_ok() {});
        assert_eq!(watcher.wait(), Wake::Changed);
        watcher.stopper().stop();
        drop(watcher);
        streaming.join().expect("ended");
    }
}
