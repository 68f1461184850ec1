use crate::{
    mutant::Mutant,
    report::{Ended, Report, run as run_command},
    root, scratch,
};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// Each accident must be found within these.
pub const MUTANT_SEEDS: u64 = 1_000;
const DEFAULT_SEEDS: u64 = 10_000;
/// Each is a build of its own, and all of them take longer than everything else.
const MUTANT_PARTS: usize = 6;
const MUTANTS: &str = "tests/simulation/mutants";
/// The dev profile keeps assertions (a simulator that does not check is a heater) and optimises engine and simulation.
const BUILT: &str = "debug/outflow-simulation";

/// The honest sources.
pub fn run(report: &mut Report, seeds: Option<u64>, seed: Option<u64>) {
    if report.build("build the simulation", &mut build(&root())) {
        let binary = root().join("target").join(BUILT);
        report.check("simulation", patient(binary).args(arguments(seeds, seed, DEFAULT_SEEDS)));
    }
}

/// A part of all accidents: six commits behind one another try all of them.
pub fn part_of_mutants(report: &mut Report, commit: usize) {
    let known = known();
    let own: Vec<&String> = known.iter().skip(commit % MUTANT_PARTS).step_by(MUTANT_PARTS).collect();
    println!("── {} of {} accidents; all of them: cargo xtask sim --mutant all", own.len(), known.len());
    find_each(report, own, None, None);
}

/// One accident by its name, or `all` of them.
pub fn mutants(report: &mut Report, name: &str, seeds: Option<u64>, seed: Option<u64>) {
    let known = known();
    let chosen: Vec<&String> = known.iter().filter(|mutant| name == "all" || *mutant == name).collect();
    if chosen.is_empty() {
        println!("no accident {name:?} in {MUTANTS}; there are: {}", known.join(", "));
        report.add("mutants", 0, 1, std::time::Duration::ZERO);
    }
    find_each(report, chosen, seeds, seed);
}

fn find_each(report: &mut Report, chosen: Vec<&String>, seeds: Option<u64>, seed: Option<u64>) {
    for mutant in chosen {
        let started = Instant::now();
        let (passed, verdict) = match find(mutant, seeds, seed) {
            Ok(found) => (1, found),
            Err(why) => (0, why),
        };
        report.add(&format!("mutant {mutant}: {verdict}"), passed, 1 - passed, started.elapsed());
    }
}

fn known() -> Vec<String> {
    let files = fs::read_dir(root().join(MUTANTS)).into_iter().flatten().flatten();
    let names = files.filter_map(|file| file.file_name().to_str()?.strip_suffix(".mutant").map(str::to_owned));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Builds the sources with the accident and says by which seed it was found, or why not.
fn find(name: &str, seeds: Option<u64>, seed: Option<u64>) -> Result<String, String> {
    let text = fs::read_to_string(root().join(MUTANTS).join(format!("{name}.mutant")));
    let mutant = Mutant::parse(&text.map_err(|error| error.to_string())?)?;
    println!("── accident {name}: {}", mutant.accident);
    let folder = root().join("target/mutants");
    let sources = folder.join("sources");
    scratch::refresh(&root(), &sources).map_err(|error| format!("the sources cannot be copied: {error}"))?;
    mutant.apply(&sources)?;
    // A folder of their own: cargo would take the last accident's program for the honest one.
    let target = folder.join("target");
    let warmed = scratch::warm(&root().join("target/debug"), &target);
    warmed.map_err(|error| format!("what is built already cannot be copied: {error}"))?;
    let built = run_command("build", build(&sources).arg("--target-dir").arg(&target));
    if !built.success {
        return Err("does not compile".to_owned());
    }
    let binary = target.join(BUILT);
    let ended = run_command("simulation", patient(binary).args(arguments(seeds, seed, MUTANT_SEEDS)));
    judge(&ended)
}

/// A simulation that fails names the seed; one that dies without it has shown nothing.
fn judge(ended: &Ended) -> Result<String, String> {
    match ended.lines.iter().find_map(|line| failed_seed(line)) {
        Some(seed) if !ended.success => Ok(format!("found by seed {seed}")),
        _ if ended.success => Err("not found".to_owned()),
        _ => Err("the simulation died without naming a seed".to_owned()),
    }
}

/// `seed 17 failed: …`, wherever it is in the line.
fn failed_seed(line: &str) -> Option<u64> {
    let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || c == ':').collect();
    words.windows(3).find(|words| words[0] == "seed" && words[2] == "failed").and_then(|words| words[1].parse().ok())
}

fn arguments(seeds: Option<u64>, seed: Option<u64>, default: u64) -> Vec<String> {
    match seed {
        Some(seed) => vec!["--seed".to_owned(), seed.to_string()],
        None => vec!["--seeds".to_owned(), seeds.unwrap_or(default).to_string()],
    }
}

/// Takes what others leave of the machine: laws that run beside it have their time limits.
fn patient(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(program);
    command
}

fn build(sources: &Path) -> Command {
    let mut command = patient("cargo");
    command.args(["build", "--quiet", "--workspace", "--bin", "outflow-simulation", "--manifest-path"]);
    command.arg(manifest(sources));
    command
}

fn manifest(sources: &Path) -> PathBuf {
    sources.join("Cargo.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(success: bool, line: &str) -> Ended {
        Ended { success, lines: vec!["seeds 1000".to_owned(), line.to_owned()] }
    }

    #[test]
    fn an_accident_counts_as_found_only_with_its_seed() {
        assert_eq!(judge(&ended(false, "seed 17 failed: a row is visible twice")), Ok("found by seed 17".to_owned()));
        assert!(judge(&ended(false, "out of memory")).is_err());
        assert!(judge(&ended(true, "1000 seeds passed")).is_err());
    }
}
