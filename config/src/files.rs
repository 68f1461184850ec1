use crate::{limits, problem::Problem};
use std::{
    collections::BTreeSet,
    fmt::Display,
    path::{Path, PathBuf},
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

/// The folders in which a file may come that a pattern names: down to the first that is a pattern itself.
pub fn bases(folder: &Path, patterns: &[String]) -> BTreeSet<PathBuf> {
    let base = |pattern: &String| {
        let fixed: PathBuf = Path::new(pattern)
            .parent()
            .unwrap_or(Path::new(""))
            .components()
            .take_while(|part| !has_wildcard(&part.as_os_str().to_string_lossy()))
            .collect();
        folder.join(fixed)
    };
    patterns.iter().map(base).collect()
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
}
