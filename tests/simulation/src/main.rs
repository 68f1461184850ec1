//! `outflow-simulation --seeds N [--from S] | --seed K [--trace] | --small`: runs worlds, prints the first that fails.

use outflow_simulation::{Options, Rng, run, small};
use std::{process::ExitCode, time::Instant};

const USAGE: &str = "outflow-simulation --seeds N [--from S] | --seed K [--trace] | --small";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1)?.parse::<u64>().ok()
    };
    match (number("--seeds"), number("--seed")) {
        (Some(seeds), None) => many(number("--from").unwrap_or(1), seeds),
        (None, Some(seed)) => one(seed, words.iter().any(|word| word == "--trace")),
        (None, None) if words.iter().any(|word| word == "--small") => all_small(),
        _ => {
            eprintln!("usage: {USAGE}");
            ExitCode::from(2)
        }
    }
}

fn many(from: u64, seeds: u64) -> ExitCode {
    let started = Instant::now();
    std::panic::set_hook(Box::new(|_| {}));
    let (mut steps, mut owners, mut rows, mut replaced) = (0, 0, 0, 0);
    for seed in from..from + seeds {
        match run(seed, false) {
            Ok(passed) => {
                steps += passed.steps;
                owners += passed.owners;
                rows += passed.rows;
                replaced += passed.replaced;
            }
            Err(why) => return fail(seed, &why),
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = steps as f64 / seconds / 1e6;
    println!(
        "{seeds} seeds passed: {rows} rows, {owners} owners, {replaced} replacements, {steps} steps, {seconds:.1} s \
         ({rate:.2} M steps/s)"
    );
    ExitCode::SUCCESS
}

fn one(seed: u64, tells: bool) -> ExitCode {
    println!("seed {seed}: {:?}", Options::draw(&mut Rng::new(seed)));
    match run(seed, tells) {
        Ok(passed) => {
            println!("seed {seed} passed: {passed:?}");
            ExitCode::SUCCESS
        }
        Err(why) => fail(seed, &why),
    }
}

fn all_small() -> ExitCode {
    let started = Instant::now();
    match small::all(0..small::PATTERNS) {
        Ok(small::Tally { cases, steps }) => {
            println!("{cases} small cases passed: {steps} steps, {:.1} s", started.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("small case failed: {why}");
            ExitCode::FAILURE
        }
    }
}

fn fail(seed: u64, why: &str) -> ExitCode {
    println!("seed {seed} failed: {why}");
    println!("options: {:?}", Options::draw(&mut Rng::new(seed)));
    println!("replay: outflow-simulation --seed {seed} --trace");
    ExitCode::FAILURE
}
