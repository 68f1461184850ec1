//! What a table of throughputs does not tell: starts, restarts, freshness, catching up, and what idle merchants cost.

mod answers;
mod catch_up;
mod crowd;
mod freshness;
mod idle;
mod postgres;
mod restart;
mod start;

use clap::ValueEnum;
use serde_json::Value;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Scenario {
    /// Fifty thousand merchants, each with a folder of his own
    #[value(name = "merchants-50k")]
    Crowd,
    /// From a worker's start to a new event, with fifty thousand merchants
    Start,
    /// How old rows are when they become visible, while others' destinations are well or dead
    Freshness,
    /// One merchant a million records behind
    CatchUp,
    /// From `kill -9` to new events, while ten thousand merchants' rows wait for five minutes
    Restart,
    /// What merchants cost who get nothing
    Idle,
    /// How soon a worker answers over HTTP, with fifty thousand merchants and a thousand dead destinations
    Answers,
    /// Rows a second into a PostgreSQL table, beside a bare COPY
    Postgres,
}

/// How much of everything; 0 where a scenario has no use for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Size {
    pub lanes: u32,
    pub events: u64,
    /// Events a second.
    pub rate: u32,
    pub seconds: u32,
    pub rounds: u32,
}

/// What was measured, as a table for people and as one JSON object.
pub struct Finding {
    pub text: String,
    pub values: Value,
}

impl Scenario {
    pub fn name(self) -> String {
        self.to_possible_value().expect("none is hidden").get_name().to_owned()
    }

    /// A quick one shows that everything works; its figures mean little.
    pub fn size(self, quick: bool) -> Size {
        match self {
            Scenario::Crowd => crowd::size(quick),
            Scenario::Start => start::size(quick),
            Scenario::Freshness => freshness::size(quick),
            Scenario::CatchUp => catch_up::size(quick),
            Scenario::Restart => restart::size(quick),
            Scenario::Idle => idle::size(quick),
            Scenario::Answers => answers::size(quick),
            Scenario::Postgres => postgres::size(quick),
        }
    }

    /// # Panics
    /// If a row is missing or doubled, or something takes longer than its limit.
    pub fn run(self, size: Size) -> Finding {
        match self {
            Scenario::Crowd => crowd::run(size),
            Scenario::Start => start::run(size),
            Scenario::Freshness => freshness::run(size),
            Scenario::CatchUp => catch_up::run(size),
            Scenario::Restart => restart::run(size),
            Scenario::Idle => idle::run(size),
            Scenario::Answers => answers::run(size),
            Scenario::Postgres => postgres::run(size),
        }
    }
}

fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}
