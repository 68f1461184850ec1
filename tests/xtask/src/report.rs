use std::{
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

/// What was run, and how it ended.
pub struct Report {
    started: Instant,
    steps: Vec<Step>,
}

struct Step {
    name: String,
    passed: u64,
    failed: u64,
    took: Duration,
}

/// How a command ended and what it printed to its standard output.
pub struct Ended {
    pub success: bool,
    pub lines: Vec<String>,
}

impl Report {
    pub fn new() -> Report {
        Report { started: Instant::now(), steps: Vec::new() }
    }

    /// Runs a command that others need: its success shows nothing yet.
    pub fn build(&mut self, name: &str, command: &mut Command) -> bool {
        self.step(name, command, |ended| if ended.success { (0, 0) } else { (0, 1) })
    }

    /// Runs a command that passes or fails as one.
    pub fn check(&mut self, name: &str, command: &mut Command) -> bool {
        self.step(name, command, |ended| if ended.success { (1, 0) } else { (0, 1) })
    }

    /// Runs a command that prints results as cargo's test runner does, and adds them up.
    pub fn tests(&mut self, name: &str, command: &mut Command) -> bool {
        self.step(name, command, |ended| counted(&ended.lines, ended.success))
    }

    /// Runs a command and lets `judge` say how many passed and failed.
    pub fn step(&mut self, name: &str, command: &mut Command, judge: impl FnOnce(&Ended) -> (u64, u64)) -> bool {
        let started = Instant::now();
        let ended = run(name, command);
        let (passed, failed) = judge(&ended);
        self.add(name, passed, failed, started.elapsed());
        failed == 0
    }

    pub fn add(&mut self, name: &str, passed: u64, failed: u64, took: Duration) {
        let step = Step { name: name.to_owned(), passed, failed, took };
        println!("── {}", step.line());
        self.steps.push(step);
    }

    /// Two lines of steps at a time; their output is mixed, line by line.
    pub fn beside(&mut self, first: impl FnOnce(&mut Report), second: impl FnOnce(&mut Report) + Send) {
        let mut other = Report::new();
        std::thread::scope(|scope| {
            scope.spawn(|| second(&mut other));
            first(self);
        });
        self.steps.append(&mut other.steps);
    }

    pub fn failed(&self) -> u64 {
        self.steps.iter().map(|step| step.failed).sum()
    }

    pub fn passed(&self) -> u64 {
        self.steps.iter().map(|step| step.passed).sum()
    }

    pub fn took(&self) -> Duration {
        self.started.elapsed()
    }

    /// Nothing run is nothing shown: that fails, too.
    pub fn finish(&self) -> ExitCode {
        println!("\nSteps");
        for step in &self.steps {
            println!("  {}", step.line());
        }
        println!("Time: {}", seconds(self.took()));
        println!("{} passed, {} failed", self.passed(), self.failed());
        if self.failed() == 0 && self.passed() > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Step {
    fn line(&self) -> String {
        let Step { name, passed, failed, took } = self;
        let verdict = if *failed == 0 { "ok" } else { "FAILED" };
        format!("{verdict:6} {name}: {passed} passed, {failed} failed, {}", seconds(*took))
    }
}

fn seconds(took: Duration) -> String {
    let whole = took.as_secs();
    if whole < 60 { format!("{:.1} s", took.as_secs_f64()) } else { format!("{} min {:02} s", whole / 60, whole % 60) }
}

/// Runs the command, printing its output as it comes.
pub fn run(name: &str, command: &mut Command) -> Ended {
    println!("── {name}: {}", shown(command));
    let mut lines = Vec::new();
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("{} does not start: {error}", command.get_program().display());
            return Ended { success: false, lines };
        }
    };
    let output = child.stdout.take().expect("it was asked for");
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        println!("{line}");
        lines.push(line);
    }
    Ended { success: child.wait().is_ok_and(|status| status.success()), lines }
}

fn shown(command: &Command) -> String {
    let environment = command.get_envs().filter_map(|(key, value)| Some((key, value?)));
    let environment = environment.map(|(key, value)| format!("{}={}", key.display(), value.display()));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(|word| word.display().to_string());
    environment.chain(words).collect::<Vec<String>>().join(" ")
}

/// Adds up the lines `test result: ok. 3 passed; 1 failed; …`. A runner that ends badly without naming a failed test
/// (it did not compile, or a test took the process down) is one failure.
fn counted(lines: &[String], success: bool) -> (u64, u64) {
    let results = lines.iter().filter_map(|line| line.strip_prefix("test result: "));
    let (passed, failed) = results.fold((0, 0), |(passed, failed), result| {
        (passed + number_before(result, " passed"), failed + number_before(result, " failed"))
    });
    (passed, if success { failed } else { failed.max(1) })
}

fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or_default();
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_results_of_all_runners_are_added_up() {
        let output = lines(
            "test a ... ok\ntest result: ok. 12 passed; 0 failed; 0 ignored\nrunning 3\n\
             test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured",
        );
        assert_eq!(counted(&output, false), (14, 1));
    }

    #[test]
    fn a_runner_that_dies_without_a_word_is_a_failure() {
        assert_eq!(counted(&lines("test result: ok. 2 passed; 0 failed"), false), (2, 1));
        assert_eq!(counted(&[], false), (0, 1));
    }

    #[test]
    fn steps_that_run_beside_others_count_as_all_do() {
        let mut report = Report::new();
        let add = |name, passed, failed| move |report: &mut Report| report.add(name, passed, failed, Duration::ZERO);
        report.beside(add("laws", 2, 0), add("simulation", 1, 1));
        assert_eq!((report.passed(), report.failed()), (3, 1));
    }

    #[test]
    fn a_command_that_does_not_start_is_a_failure() {
        let mut report = Report::new();
        assert!(!report.check("nothing", &mut Command::new("no-such-program-anywhere")));
        assert_eq!((report.passed(), report.failed()), (0, 1));
    }
}
