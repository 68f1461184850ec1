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
