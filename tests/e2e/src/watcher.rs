use crate::Lake;
use outflow_rig::python::interpreter;
use serde_json::Value;
use std::process::{Child, Command, Stdio};

/// Lists a destination again and again and reads every new file: no row may come twice, no file may be half there,
/// change or go.
pub struct Watcher(Child);

#[derive(Debug)]
pub struct Seen {
    pub listings: u64,
    pub files: u64,
    pub rows: u64,
}

const SCRIPT: &str = concat!(include_str!("place.py"), "\n", include_str!("watch.py"));

impl Watcher {
    pub fn start(lake: &Lake) -> Watcher {
        let mut command = Command::new(interpreter());
        command.args(["-c", SCRIPT, &lake.place()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Watcher(command.spawn().expect("the interpreter was just made"))
    }

    /// # Panics
    /// If it has seen what nobody may see.
    pub fn check(&mut self) {
        if self.0.try_wait().expect("our own child can be asked").is_some() {
            panic!("the watcher stopped: {}", self.answer());
        }
    }

    /// Looks a last time.
    ///
    /// # Panics
    /// If it has seen what nobody may see.
    pub fn finish(mut self) -> Seen {
        drop(self.0.stdin.take());
        let answer = self.answer();
        let number = |key: &str| answer[key].as_u64().unwrap_or_else(|| panic!("the watcher saw: {answer}"));
        Seen { listings: number("listings"), files: number("files"), rows: number("rows") }
    }

    fn answer(&mut self) -> Value {
        let text = self.0.stdout.take().map(std::io::read_to_string);
        text.and_then(Result::ok).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
