use crate::{limits, problem::Problem};
use std::{
    collections::BTreeSet,
    fmt::Display,
    path::{Component, Path, PathBuf},
};

/// What the patterns of a worker's file name. Sorted, each once.
pub fn files(folder: &Path, patterns: &[String]) -> Result<Vec<PathBuf>, Problem> {
    let mut files = BTreeSet::new();
    for pattern in patterns {
        // The folder's own name may hold brackets and stars.
        let base = if Path::new(pattern).is_absolute() { String::new() } else { escaped(folder) };
        let wrong = |error: &dyn Display| Problem::new(format!("`config` can't hold `{pattern}`: {error}"));
        let found = glob::glob(&format!("{base}{pattern}")).map_err(|error| wrong(&error))?;
        let before = files.len();
        for file in found.take(limits::FILES_MAX + 1) {
            files.insert(file.map_err(|error| wrong(&error))?);
        }
        if files.len() == before && !has_wildcard(pattern) {
            return Err(wrong(&"there is no such file").hint("paths are relative to the folder of this file"));
        }
        if files.len() > limits::FILES_MAX {
            return Err(wrong(&"it names too many files").allowed(format!("at most {} files", limits::FILES_MAX)));
        }
    }
    Ok(files.into_iter().collect())
}

/// The folders in which a file may come that a pattern names, or a folder that leads there: down to the first that is a
/// pattern itself, and all that there are from there on.
pub fn bases(folder: &Path, patterns: &[String]) -> BTreeSet<PathBuf> {
    let mut bases = BTreeSet::new();
    for pattern in patterns {
        let parent = Path::new(pattern).parent().unwrap_or(Path::new(""));
        let is_fixed = |part: &Component<'_>| !has_wildcard(&part.as_os_str().to_string_lossy());
        let mut path: PathBuf = parent.components().take_while(is_fixed).collect();
        bases.insert(folder.join(&path));
        for part in parent.components().skip_while(is_fixed) {
            path.push(part);
            bases.extend(folders(folder, &path).take(limits::FILES_MAX));
        }
    }
    bases
}

/// Those that are there now.
fn folders(folder: &Path, pattern: &Path) -> impl Iterator<Item = PathBuf> {
    let base = if pattern.is_absolute() { String::new() } else { escaped(folder) };
    // A pattern that is none was refused when files were looked for.
    let found = glob::glob(&format!("{base}{}", pattern.display())).ok();
    found.into_iter().flatten().filter_map(Result::ok).filter(|path| path.is_dir())
}

fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn escaped(folder: &Path) -> String {
    let folder = folder.display().to_string();
    if folder.is_empty() { folder } else { format!("{}/", glob::Pattern::escape(&folder)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_a_folder_to_watch() {
        let patterns = ["a/*.yaml", "b/*/c/*.yaml", "d.yaml", "/e/f.yaml"].map(str::to_owned);
        let expected = ["/e", "w/", "w/a", "w/b"].map(PathBuf::from);
        assert_eq!(bases(Path::new("w"), &patterns), BTreeSet::from(expected));
    }

    #[test]
    fn each_folder_that_a_pattern_leads_into_is_watched_with_files_or_without() {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["m/a/orders", "m/b", "n/x/y"] {
            std::fs::create_dir_all(root.path().join(folder)).expect("our own folder can be written");
        }
        std::fs::write(root.path().join("m/file"), "").expect("our own folder can be written");
        let watched = |pattern: &str| {
            let bases = bases(root.path(), &[pattern.to_owned()]);
            let name = |path: PathBuf| path.strip_prefix(root.path()).expect("it is within").display().to_string();
            bases.into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(watched("m/*/orders/*.yaml"), ["m", "m/a", "m/a/orders", "m/b"]);
        assert_eq!(watched("n/**/*.yaml"), ["n", "n/x", "n/x/y"]);
        assert_eq!(watched("*.yaml"), [""]);
    }
}
