use crate::{report::Report, root, simulation, tools};
use std::{
    fs::File,
    io::Write,
    process::{Command, ExitCode},
    time::Duration,
};

const KILLS_TEST: u32 = 10;
const KILLS_LONG: u32 = 50;
/// Most tests that take long wait for a broker of their own.
const THREADS: &str = "4";
const SEEDS_TEST: u64 = 10_000;
const SEEDS_LONG: u64 = 100_000;
const RECORD: &str = "tests/long.md";

fn cargo(line: &str) -> Command {
    let mut command = Command::new("cargo");
    command.args(line.split_whitespace());
    command
}

/// Cold in 45 minutes on two cores, so a sixth of the mutants. Everything is in the dev profile, so that dependencies
/// are built once. Tests are built before they are linted: OpenSSL's own build takes minutes on one core, and there is
/// much to do beside it. The laws wait for brokers and time-outs most of the time; the simulation, which waits for
/// nothing, runs beside them.
pub fn test(report: &mut Report) {
    if is_ready(report) {
        report.check("format", &mut cargo("fmt --all --check"));
        report.build("build the tests", &mut cargo("test --workspace --no-run --quiet"));
        report.check("lints", &mut cargo("clippy --workspace --all-targets --quiet -- -D warnings"));
        let laws = |report: &mut Report| {
            let tests = &mut cargo("test --workspace --exclude outflow-e2e --no-fail-fast");
            report.tests("tests", tests.env("RUST_TEST_THREADS", THREADS));
            run_end_to_end(report, None, KILLS_TEST);
        };
        report.beside(laws, |report| {
            simulation::run(report, Some(SEEDS_TEST), None);
            simulation::part_of_mutants(report, commits());
        });
    }
}

pub fn long(report: &mut Report) {
    if is_ready(report) {
        simulation::run(report, Some(SEEDS_LONG), None);
        simulation::mutants(report, "all", None, None);
        run_end_to_end(report, None, KILLS_LONG);
        record(report).expect("the record can be written");
    }
}

pub fn end_to_end(report: &mut Report, name: Option<&str>) {
    if is_ready(report) {
        run_end_to_end(report, name, KILLS_TEST);
    }
}

fn run_end_to_end(report: &mut Report, name: Option<&str>, kills: u32) {
    // Of the whole workspace: to choose packages is to choose other features, and to build their dependencies again.
    if report.build("build the daemon", &mut cargo("build --quiet --workspace --bin outflow")) {
        let mut command = cargo("test --workspace --test end_to_end --no-fail-fast");
        report.tests("end to end", command.args(name).env("OUTFLOW_KILLS", kills.to_string()));
    }
}

pub fn bench(options: &[String]) -> ExitCode {
    if let Some(missing) = tools::missing(&["go", "npm"]) {
        println!("{missing}");
        return ExitCode::FAILURE;
    }
    let built = cargo("build --release --quiet -p outflow-daemon -p outflow-bench").status();
    if !built.is_ok_and(|status| status.success()) {
        return ExitCode::FAILURE;
    }
    let mut command = Command::new(root().join("target/release/outflow-bench"));
    command.args(options);
    if command.status().is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_ready(report: &mut Report) -> bool {
    let missing = tools::missing(&[]);
    if let Some(missing) = &missing {
        println!("{missing}");
        report.add("tools", 0, 1, Duration::ZERO);
    }
    missing.is_none()
}

/// One row per run, for everybody to see.
fn record(report: &Report) -> std::io::Result<()> {
    let path = root().join(RECORD);
    let is_new = !path.exists();
    let mut file = File::options().create(true).append(true).open(path)?;
    if is_new {
        writeln!(file, "# Long runs\n\nMade by `cargo xtask long`.\n")?;
        writeln!(file, "| day | commit | seeds | kills | passed | failed | minutes |\n|---|---|---|---|---|---|---|")?;
    }
    let (day, commit) = (answer("date", &["-u", "+%F"]), answer("git", &["rev-parse", "--short", "HEAD"]));
    let (passed, failed, minutes) = (report.passed(), report.failed(), report.took().as_secs() / 60);
    writeln!(file, "| {day} | {commit} | {SEEDS_LONG} | {KILLS_LONG} | {passed} | {failed} | {minutes} |")
}

/// So far; without git's history, none.
fn commits() -> usize {
    answer("git", &["rev-list", "--count", "HEAD"]).parse().unwrap_or_default()
}

fn answer(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
