use crate::SourceFile;
use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Normal,
    Dev,
    Build,
}

pub struct Package {
    pub name: String,
    /// Relative to the root: `runtime/api`.
    pub folder: String,
    pub manifest: String,
    pub dependencies: Vec<(String, Kind)>,
}

impl Package {
    /// Where the manifest names the dependency.
    pub fn line_of(&self, dependency: &str) -> usize {
        let names = |line: &str| {
            line.trim_start().strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        };
        self.manifest.lines().position(names).map_or(1, |index| index + 1)
    }

    pub fn manifest_path(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }

    /// A sink's own crate; the registry only lists them.
    pub fn is_connector(&self) -> bool {
        self.folder.starts_with("connectors/") && self.folder != "connectors/registry"
    }

    pub fn is_test(&self) -> bool {
        self.folder.starts_with("tests/")
    }
}

pub struct Workspace {
    pub root: PathBuf,
    pub packages: Vec<Package>,
}

impl Workspace {
    /// # Panics
    /// If cargo cannot describe the workspace: then nothing else works either.
    pub fn read() -> Workspace {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo starts");
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata answers JSON");
        let root = PathBuf::from(text(&metadata["workspace_root"]));
        let packages = metadata["packages"].as_array().expect("a list of packages");
        let packages = packages.iter().map(|package| read_package(&root, package)).collect();
        Workspace { root, packages }
    }

    /// Every Rust source of the packages.
    pub fn sources(&self) -> Vec<SourceFile> {
        self.packages.iter().flat_map(|package| self.sources_of(package)).collect()
    }

    pub fn sources_of(&self, package: &Package) -> Vec<SourceFile> {
        let rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
        let files = files_below(&self.root.join(&package.folder)).into_iter().filter(rust);
        files.map(|path| SourceFile::new(&self.relative(&path), &read(&path))).collect()
    }

    /// Path and text of all that people write here: sources, manifests, documents, examples, scripts.
    pub fn texts(&self) -> Vec<(String, String)> {
        let written = ["rs", "toml", "md", "yaml", "yml", "json", "sh", "py", "java", "go", "xml", "mutant"];
        let is_written = |path: &PathBuf| match path.extension().and_then(|extension| extension.to_str()) {
            Some(extension) => written.contains(&extension),
            None => path.parent().and_then(Path::file_name).is_some_and(|folder| folder == ".ci"),
        };
        let files = files_below(&self.root).into_iter().filter(is_written);
        files.map(|path| (self.relative(&path), read(&path))).collect()
    }

    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).expect("below the root").to_string_lossy().into_owned()
    }
}

fn read_package(root: &Path, package: &Value) -> Package {
    let manifest_path = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest_path.parent().expect("a manifest is in a folder");
    let folder = folder.strip_prefix(root).expect("members are below the root").to_string_lossy().into_owned();
    let dependencies = package["dependencies"].as_array().expect("a list of dependencies");
    let dependencies = dependencies.iter().map(|dependency| (text(&dependency["name"]), kind(&dependency["kind"])));
    Package {
        name: text(&package["name"]),
        folder,
        manifest: read(&manifest_path),
        dependencies: dependencies.collect(),
    }
}

fn kind(value: &Value) -> Kind {
    match value.as_str() {
        None => Kind::Normal,
        Some("dev") => Kind::Dev,
        Some(_) => Kind::Build,
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("cargo metadata names this").to_owned()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("a file that was just listed")).into_owned()
}

/// What git and cargo keep, and what runs leave behind, is not ours to judge.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let skipped = ["target", ".git", ".rig", "outflow-demo", "node_modules"];
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !skipped.iter().any(|skip| name == *skip) => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort();
    files
}
