//! The rules, held against this workspace.

use outflow_tidy::{SourceFile, Violation, Workspace, bans, dependencies, documents, functions, none};

fn in_sources(check: impl Fn(&SourceFile) -> Vec<Violation>) {
    none(Workspace::read().sources().iter().flat_map(check).collect());
}

#[test]
fn dependencies_point_one_way() {
    let workspace = Workspace::read();
    let mut violations = dependencies::check(&workspace);
    for package in &workspace.packages {
        let sources = workspace.sources_of(package);
        violations.extend(sources.iter().flat_map(|source| dependencies::check_source(package, source)));
    }
    none(violations);
}

#[test]
fn what_is_banned_is_not_used() {
    in_sources(bans::check);
}

#[test]
fn files_and_lines_are_short() {
    in_sources(documents::check_size);
}

#[test]
fn functions_fit_a_screen() {
    in_sources(functions::check);
}

#[test]
fn every_crate_says_what_it_is() {
    let is_root = |source: &&SourceFile| source.path.ends_with("/src/lib.rs") || source.path.ends_with("/src/main.rs");
    let workspace = Workspace::read();
    let roots = workspace.packages.iter().filter_map(|package| {
        let mut sources = workspace.sources_of(package);
        sources.sort_by_key(|source| source.path.ends_with("main.rs"));
        sources.into_iter().find(|source| is_root(&source))
    });
    none(roots.flat_map(|root| documents::check_crate_comment(&root)).collect());
}

#[test]
fn every_sink_has_the_same_page() {
    let workspace = Workspace::read();
    let sinks = workspace.packages.iter().filter(|package| package.is_connector());
    let pages = sinks.map(|sink| format!("{}/README.md", sink.folder));
    let check = |page: String| {
        let text = std::fs::read_to_string(workspace.root.join(&page)).unwrap_or_default();
        documents::check_sink_readme(&page, &text)
    };
    none(pages.flat_map(check).collect());
}

#[test]
fn no_text_names_a_path_of_one_machine() {
    let texts = Workspace::read().texts();
    none(texts.iter().flat_map(|(path, text)| documents::check_machine_paths(path, text)).collect());
}
