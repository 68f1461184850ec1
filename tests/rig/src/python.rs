use crate::cache_folder;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// Readers that are not ours (what they count is the truth of a test), and clients of Kafka Connect.
const PACKAGES: [&str; 4] = ["duckdb==1.5.5", "pyarrow==26.0.1", "kafka-connect-py==1.0.0", "kafkaconnect==1.3.1"];

/// Runs a script with `args` as its `sys.argv[1:]` and answers what it prints; DuckDB and pyarrow can be imported.
///
/// # Panics
/// If the script fails, with what it printed.
pub fn python(script: &str, args: &[&str]) -> String {
    let output = Command::new(interpreter()).arg("-c").arg(script).args(args).output().expect("it was just made");
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the script failed: {answer}{errors}");
    answer
}

/// Python of an environment with [`PACKAGES`].
///
/// # Panics
/// If Python is missing or the packages cannot be fetched.
pub fn interpreter() -> PathBuf {
    environment("python", &PACKAGES)
}

/// Python of an environment with these packages, made once per machine; processes that ask at the same time wait for
/// the first one.
///
/// # Panics
/// If Python is missing or the packages cannot be fetched.
pub(crate) fn environment(name: &str, packages: &[&str]) -> PathBuf {
    let (cache, wanted) = (cache_folder(), packages.join("\n"));
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("the cache folder can be written");
    lock.lock().expect("a lock file can be locked");
    let folder = cache.join(name);
    let made = folder.join("packages");
    let interpreter = folder.join("bin/python");
    if fs::read_to_string(&made).is_ok_and(|found| found == wanted) && runs(&interpreter) {
        return interpreter;
    }
    let _ = fs::remove_dir_all(&folder);
    let hint = "Python 3.10 or newer with venv is needed: it comes with the system package `python3-venv`";
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder), hint);
    let install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:"];
    succeed(Command::new(&interpreter).args(install).args(packages), "the packages come from PyPI");
    fs::write(made, wanted).expect("the cache folder can be written");
    interpreter
}

/// An environment dies with the Python that made it.
fn runs(interpreter: &Path) -> bool {
    Command::new(interpreter).args(["-c", ""]).status().is_ok_and(|status| status.success())
}

fn succeed(command: &mut Command, hint: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}; {hint}"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?} failed; {hint}: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_independent_reader_answers() {
        let script = "import duckdb, pyarrow, sys; print(duckdb.sql('select 40 + ' + sys.argv[1]).fetchone()[0])";
        assert_eq!(python(script, &["2"]).trim(), "42");
    }
}
