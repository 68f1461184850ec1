use crate::{SourceFile, Violation};

/// A word that must not be in the code of some folders.
pub struct Ban {
    pub pattern: &'static str,
    /// Beginnings of paths; empty: everywhere.
    pub folders: &'static [&'static str],
    pub in_tests_too: bool,
    pub reason: &'static str,
}

/// What decides, encodes or talks to a destination gets time, chance and threads from the driver alone.
const PURE: &[&str] = &["runtime/api/", "runtime/engine/", "runtime/journal/", "runtime/formats/", "connectors/"];

/// The driver bounds its queues by what the engine lets be in flight.
const NOT_DRIVER: &[&str] = &[
    "runtime/api/",
    "runtime/engine/",
    "runtime/journal/",
    "runtime/formats/",
    "runtime/kafka/",
    "runtime/local/",
    "runtime/control/",
    "runtime/daemon/",
    "runtime/demo/",
    "connectors/",
    "config/",
];

const CLOCK: &str = "time comes in as an event or an argument: a batch that is made again after a crash must come out \
                     the same, and the simulator must be able to replay it";
const CHANCE: &str =
    "chance comes in as an argument: the same events must give the same batches, today and after a crash";
const SLEEP: &str = "only the driver waits and retries; whoever sleeps here holds up all other lanes";
const SPAWN: &str =
    "only the driver starts tasks and threads, so that a fence or a shutdown can stop every one of them";
const UNBOUNDED: &str =
    "there is a limit on everything: a queue without one turns a slow destination into a full memory";
const IGNORED: &str = "a test that does not run proves nothing; mend it or delete it";
const UNFINISHED: &str = "what is not there is left out and listed as a gap, never a panic in somebody's night";

const fn pure(pattern: &'static str, reason: &'static str) -> Ban {
    Ban { pattern, folders: PURE, in_tests_too: false, reason }
}

const fn everywhere(pattern: &'static str, reason: &'static str) -> Ban {
    Ban { pattern, folders: &[], in_tests_too: true, reason }
}

pub const BANS: &[Ban] = &[
    pure("Instant::now", CLOCK),
    pure("SystemTime::now", CLOCK),
    pure("Utc::now", CLOCK),
    pure("Local::now", CLOCK),
    pure("UNIX_EPOCH.elapsed", CLOCK),
    pure("rand", CHANCE),
    pure("fastrand", CHANCE),
    pure("getrandom", CHANCE),
    pure("thread_rng", CHANCE),
    pure("RandomState", CHANCE),
    pure("Uuid::new_v4", CHANCE),
    Ban { pattern: "thread::sleep", folders: PURE, in_tests_too: true, reason: SLEEP },
    pure("tokio::time", SLEEP),
    pure("tokio::spawn", SPAWN),
    pure("task::spawn", SPAWN),
    pure("thread::spawn", SPAWN),
    Ban { pattern: "unbounded_channel", folders: NOT_DRIVER, in_tests_too: true, reason: UNBOUNDED },
    Ban { pattern: "mpsc::unbounded", folders: NOT_DRIVER, in_tests_too: true, reason: UNBOUNDED },
    everywhere("#[ignore", IGNORED),
    everywhere("todo!", UNFINISHED),
    everywhere("unimplemented!", UNFINISHED),
    everywhere("fn test_", "a test's name is the law that it shows: a sentence, which `test_` only lengthens"),
];

pub fn check(source: &SourceFile) -> Vec<Violation> {
    let tests_from = source.tests_from();
    let applies = |ban: &&Ban| ban.folders.is_empty() || ban.folders.iter().any(|at| source.path.starts_with(at));
    let found = |ban: &'static Ban| {
        let lines = source.lines_with(ban.pattern).into_iter();
        lines.filter(move |line| ban.in_tests_too || *line < tests_from).map(move |line| (ban, line))
    };
    let report = |(ban, line): (&Ban, usize)| {
        Violation::new(&source.path, line, format!("`{}` is not allowed here", ban.pattern), ban.reason)
    };
    BANS.iter().filter(applies).flat_map(found).map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ban_finds_its_word_and_leaves_comments_alone() {
        for ban in BANS {
            let folder = ban.folders.first().unwrap_or(&"runtime/kafka/");
            let path = format!("{folder}src/x.rs");
            let found = check(&SourceFile::new(&path, &format!("a\n{} \n", ban.pattern)));
            assert!(found.iter().any(|violation| violation.line == 2), "{} was not found", ban.pattern);
            assert_eq!(check(&SourceFile::new(&path, &format!("// {}", ban.pattern))), []);
        }
    }

    #[test]
    fn a_clock_is_allowed_in_the_driver_and_in_tests() {
        assert_eq!(check(&SourceFile::new("runtime/driver/src/x.rs", "Instant::now()")), []);
        assert_eq!(check(&SourceFile::new("runtime/engine/src/x.rs", "#[cfg(test)]\nInstant::now()")), []);
        assert_eq!(check(&SourceFile::new("runtime/engine/src/x.rs", "Instant::now()")).len(), 1);
    }
}
