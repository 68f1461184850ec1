use std::{fs, io, path::Path};

const COPIED: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "LICENSE",
    "README.md",
    "config",
    "connectors",
    "runtime",
    "tests",
];

/// A copy of the sources in `to`: accidents are never applied to the product's own. Only what differs is written, so
/// that cargo compiles the accident and little else.
pub fn refresh(root: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    COPIED.iter().filter(|name| root.join(name).exists()).try_for_each(|name| copy(&root.join(name), &to.join(name)))
}

/// What others have built of dependencies, for a build folder that has nothing yet: to build them again takes longer
/// than ten accidents do. Programs and objects are left out: they are most of the bytes.
pub fn warm(built: &Path, target: &Path) -> io::Result<()> {
    let to = target.join("debug");
    if to.exists() || !built.exists() {
        return Ok(());
    }
    for folder in [".fingerprint", "build"] {
        copy_as_it_is(&built.join(folder), &to.join(folder), &|_| true)?;
    }
    let is_library = |path: &Path| path.extension().is_some_and(|extension| extension != "o");
    copy_as_it_is(&built.join("deps"), &to.join("deps"), &is_library)
}

/// With its time and permissions: by them cargo knows what is older than what, and runs what it built.
fn copy_as_it_is(from: &Path, to: &Path, takes: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let copy = to.join(path.file_name().expect("a folder's entry has a name"));
        if path.is_dir() {
            copy_as_it_is(&path, &copy, takes)?;
        } else if path.is_file() && takes(&path) {
            fs::copy(&path, &copy)?;
            fs::File::open(&copy)?.set_modified(fs::metadata(&path)?.modified()?)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        let bytes = fs::read(from)?;
        return if fs::read(to).is_ok_and(|old| old == bytes) { Ok(()) } else { fs::write(to, bytes) };
    }
    fs::create_dir_all(to)?;
    let names = |folder: &Path| -> io::Result<Vec<_>> { fs::read_dir(folder)?.map(|e| Ok(e?.file_name())).collect() };
    let wanted = names(from)?;
    for name in names(to)?.iter().filter(|name| !wanted.contains(name)) {
        remove(&to.join(name))?;
    }
    wanted.iter().try_for_each(|name| copy(&from.join(name), &to.join(name)))
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
