use crate::cache_folder;
use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

/// The program of a Go package, built once per machine; processes that ask at the same time wait for the first one.
///
/// # Panics
/// If Go is missing or the package cannot be built.
pub fn go_program(package: &str, version: &str) -> PathBuf {
    let name = package.rsplit('/').next().expect("a package has a path");
    let cache = cache_folder();
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("the cache folder can be written");
    lock.lock().expect("a lock file can be locked");
    let folder = cache.join(format!("{name}@{version}"));
    if !folder.join(name).exists() {
        let fresh = cache.join(format!("{name}.partial"));
        let output = Command::new("go")
            .args(["install", &format!("{package}@{version}")])
            .env("GOBIN", &fresh)
            .output()
            .expect("go starts: it comes with the system package `golang-go`, 1.26 or newer");
        assert!(output.status.success(), "go install failed: {}", String::from_utf8_lossy(&output.stderr));
        fs::rename(&fresh, &folder).expect("the cache folder can be written");
    }
    folder.join(name)
}
