use crate::{rounds::System, scenario::Scenario};
use clap::{ValueEnum, builder::PossibleValue};

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A row of the table.
    System(System),
    Scenario(Scenario),
}

const ALL: [Subject; 13] = [
    Subject::System(System::Outflow),
    Subject::System(System::Merchants),
    Subject::System(System::Duckdb),
    Subject::System(System::Connect),
    Subject::System(System::Consumer),
    Subject::Scenario(Scenario::Crowd),
    Subject::Scenario(Scenario::Start),
    Subject::Scenario(Scenario::Freshness),
    Subject::Scenario(Scenario::CatchUp),
    Subject::Scenario(Scenario::Restart),
    Subject::Scenario(Scenario::Idle),
    Subject::Scenario(Scenario::Answers),
    Subject::Scenario(Scenario::Postgres),
];

impl ValueEnum for Subject {
    fn value_variants<'a>() -> &'a [Subject] {
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Subject::System(system) => system.to_possible_value(),
            Subject::Scenario(scenario) => scenario.to_possible_value(),
        }
    }
}

pub fn split(subjects: &[Subject]) -> (Vec<System>, Vec<Scenario>) {
    let (mut systems, mut scenarios) = (Vec::new(), Vec::new());
    for subject in subjects {
        match subject {
            Subject::System(system) => systems.push(*system),
            Subject::Scenario(scenario) => scenarios.push(*scenario),
        }
    }
    (systems, scenarios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_name() {
        let (systems, scenarios) = split(&ALL);
        assert_eq!(systems, System::value_variants());
        assert_eq!(scenarios, Scenario::value_variants());
    }
}
