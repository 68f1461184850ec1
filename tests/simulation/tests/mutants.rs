//! The accidents that the simulator must find are patches of sources; sources change.

use std::{fs, path::Path};

struct Mutant {
    name: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("it is two folders deep")
}

fn mutants() -> Vec<Mutant> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants");
    let files = fs::read_dir(folder).expect("there are mutants").map(|file| file.expect("it is there").path());
    let named = files.filter(|path| path.extension().is_some_and(|extension| extension == "mutant"));
    let read = named.map(|path| Mutant {
        name: path.file_stem().expect("it has a name").to_string_lossy().into_owned(),
        text: fs::read_to_string(&path).expect("it was just listed"),
    });
    read.collect()
}

/// Each block's old and new text.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let parts = text.split("<<<<\n").skip(1);
    parts
        .map(|part| {
            let (old, rest) = part.split_once("====\n").expect("a block has two halves");
            (old, rest.split_once(">>>>\n").expect("a block ends").0)
        })
        .collect()
}

#[test]
fn every_mutant_still_applies() {
    let mut broken = Vec::new();
    for Mutant { name, text } in mutants() {
        let file = text.lines().nth(1).and_then(|line| line.strip_prefix("file: ")).expect("line 2 names the file");
        let mut source = fs::read_to_string(root().join(file)).expect("the file is there");
        for (old, new) in blocks(&text) {
            match source.matches(old).count() {
                1 => source = source.replacen(old, new, 1),
                count => broken.push(format!("{name}: {count} places in {file} for\n{old}")),
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_rule_that_the_engine_keeps_has_its_accident() {
    let names: Vec<String> = mutants().into_iter().map(|mutant| mutant.name).collect();
    for rule in [1, 2, 3, 4, 6, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 29, 30, 31, 32] {
        let prefix = format!("p{rule:02}-");
        assert!(names.iter().any(|name| name.starts_with(&prefix)), "no mutant of P{rule}");
    }
}
