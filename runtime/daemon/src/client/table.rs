//! Answers for people.

mod connect;
mod dry_run;
mod events;

pub use connect::{connector, connectors, offsets, plugins, steps, validation};
pub use dry_run::dry_run;
pub use events::events;

use outflow_control::{Accepted, Delivery, Detail, Merchant, Page, Repair, Replacement};
use serde_json::Value;

const HEAD: [&str; 9] = ["MERCHANT", "CONNECTOR", "LANE", "STATE", "OWED", "LAG", "KEPT FOR", "EVERY", "WHERE"];

pub fn page(page: &Page) -> String {
    let mut text = table(&HEAD.map(str::to_owned), &page.merchants.iter().flat_map(rows).collect::<Vec<_>>());
    if page.merchants.is_empty() {
        text = "no merchant is as asked for\n".to_owned();
    }
    if let Some(next) = &page.next {
        text += &format!("\nmore behind: --after {}\n", plain(next));
    }
    text + &format!("\nstates of shards {:?}\n", page.shards)
}

fn replacement(lane: u32, all: &Replacement) -> String {
    let Replacement { run, records, widened, batches, left, hangs, refused } = all;
    let found = match (refused, run) {
        (Some(why), _) => format!("refused, nothing is sent or removed: {}", plain(why)),
        (None, 0) => format!("of an earlier owner: {left} old batches are still there"),
        (None, _) => format!(
            "{records} records are read again, {widened} of them beyond what was asked for; of {batches} old batches \
             {left} are still there"
        ),
    };
    let hangs = hangs.as_ref().map_or_else(String::new, |why| format!(", and are not removed yet: {}", plain(why)));
    format!("lane {lane}: replacement {run}: {found}{hangs}\n")
}

pub fn detail(detail: &Detail) -> String {
    let mut text = table(&HEAD.map(str::to_owned), &rows(&detail.merchant));
    for one in &detail.merchant.deliveries {
        let told = [&one.code, &one.hint].map(Option::as_deref).map(Option::unwrap_or_default);
        match told {
            ["", ""] => {}
            // Most hints begin with their code.
            [code, hint] if hint.starts_with(code) => text += &format!("lane {}: {}\n", one.lane, plain(hint)),
            [code, hint] => text += &format!("lane {}: {}: {}\n", one.lane, plain(code), plain(hint)),
        }
        if let Some(Repair { run, records, refused }) = &one.repair {
            let found = match (refused, records) {
                (Some(why), _) => format!("refused, nothing is sent: {}", plain(why)),
                (None, 0) => "nothing was missing".to_owned(),
                (None, records) => format!("{records} records are read for what was missing"),
            };
            text += &format!("lane {}: repair {run}: {found}\n", one.lane);
        }
        text += &one.replacement.as_ref().map_or_else(String::new, |all| replacement(one.lane, all));
        if one.runs > 0 || one.open_rows > 0 || one.pending {
            let pending = if one.pending { ", a decided batch waits to become visible" } else { "" };
            text += &format!("lane {}: {} runs under way, {} rows open{pending}\n", one.lane, one.runs, one.open_rows);
        }
    }
    let partitions = detail.merchant.deliveries.iter().flat_map(|one| one.partitions.iter().map(move |at| (one, at)));
    let owed: Vec<Vec<String>> = partitions
        .map(|(one, at)| {
            let numbers = [at.owed_from, at.log_start].map(|offset| offset.to_string());
            let [from, start] = numbers;
            let (until, lost) = (at.offsets_until_loss.to_string(), at.offsets_lost.to_string());
            let place = format!("{}/{}", at.topic, at.partition);
            let kept = kept(at.retention_left_seconds, at.records_left);
            vec![one.lane.to_string(), place, from, seconds(at.lag_seconds), kept, start, until, lost]
        })
        .collect();
    if !owed.is_empty() {
        let head = ["LANE", "PARTITION", "OWED FROM", "LAG", "KEPT FOR", "LOG START", "UNTIL LOSS", "LOST"];
        text += &format!("\n{}", table(&head.map(str::to_owned), &owed));
    }
    if let Some(note) = &detail.note {
        text += &format!("\n{}\n", plain(note));
    }
    text + &format!("\nstates of shards {:?}\n", detail.shards)
}

fn rows(merchant: &Merchant) -> Vec<Vec<String>> {
    merchant.deliveries.iter().map(|delivery| row(&merchant.merchant, delivery)).collect()
}

fn row(merchant: &str, delivery: &Delivery) -> Vec<String> {
    let state = match &delivery.code {
        Some(code) if code != delivery.state.name() => format!("{} ({code})", delivery.state.name()),
        _ => delivery.state.name().to_owned(),
    };
    let every = if delivery.schedule == 0 { "-".to_owned() } else { span(delivery.schedule.into()) };
    let texts = [merchant, &delivery.connector, &delivery.lane.to_string(), &state];
    let kept = kept(delivery.retention_left_seconds, delivery.records_left);
    let kept = if delivery.alarm.is_some() { format!("{kept} (alarm)") } else { kept };
    let (owed, lag) = (delivery.lag_records.to_string(), seconds(delivery.lag_seconds));
    let numbers = [&owed, &lag, &kept, &every, &delivery.identity];
    texts.into_iter().chain(numbers.map(String::as_str)).map(plain).collect()
}

/// `?` is not known.
fn seconds(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| "?".to_owned(), span)
}

/// In the two largest units that it has: what is days old is not read in seconds.
fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let first = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let parts = units.iter().skip(first).take(2).map(|(unit, name)| {
        let count = rest / unit;
        rest %= unit;
        (count, name)
    });
    let parts = parts.enumerate().filter(|(at, (count, _))| *at == 0 || *count > 0);
    parts.map(|(_, (count, name))| format!("{count}{name}")).collect::<Vec<_>>().join(" ")
}

/// How long the topics keep what is owed, as far as there is a limit.
fn kept(seconds: Option<u64>, records: Option<u64>) -> String {
    match (seconds, records) {
        (Some(seconds), _) => span(seconds),
        (None, Some(records)) => format!("{records} records"),
        (None, None) => "-".to_owned(),
    }
}

pub fn accepted(accepted: &Accepted) -> String {
    if accepted.repeated {
        return format!("id {} was taken before: nothing was done now\n", plain(&accepted.id));
    }
    let lanes: Vec<String> = accepted.lanes.iter().map(u32::to_string).collect();
    let Accepted { id, revision, .. } = accepted;
    let missing = match accepted.missing {
        None => String::new(),
        Some(0) => "by the ledger nothing is missing so far\n".to_owned(),
        Some(records) => {
            format!("up to {records} records are read for what is missing; `show` tells what came of it\n")
        }
    };
    format!("taken as revision {revision}, of lane {} (id {})\n{missing}", lanes.join(", "), plain(id))
}

pub fn lag(lag: &Value) -> String {
    let head = ["CONNECTOR", "RECORDS", "LAG", "KEPT FOR", "ALARMS", "BEHIND", "PARKED"].map(str::to_owned);
    let connectors = lag["connectors"].as_object();
    let row = |name: &str, one: &Value| {
        let [records, alarms, behind, parked] =
            ["lag_records", "retention_alarms", "lanes_behind", "lanes_parked"].map(|key| one[key].to_string());
        let (age, kept) = (seconds(one["lag_seconds"].as_u64()), kept(one["retention_left_seconds"].as_u64(), None));
        vec![plain(name), records, age, kept, alarms, behind, parked]
    };
    let mut rows: Vec<Vec<String>> = connectors.into_iter().flatten().map(|(name, one)| row(name, one)).collect();
    rows.push(vec!["total".to_owned(), lag["lag_records"].to_string()]);
    format!("{}\nof shards {}\n", table(&head, &rows), lag["shards"])
}

/// As wide as its widest cells.
pub fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let all = rows.iter().map(Vec::as_slice).chain([head]);
        all.filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    std::iter::once(line(head)).chain(rows.iter().map(|row| line(row))).collect()
}

/// Nothing that a terminal would obey.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_two_largest_units_that_it_has() {
        let told = [0, 59, 60, 61, 3_600, 3_725, 86_400, 90_000, 604_799, 31_536_000].map(span);
        assert_eq!(told, ["0s", "59s", "1m", "1m 1s", "1h", "1h 2m", "1d", "1d 1h", "6d 23h", "365d"]);
        assert_eq!(
            (seconds(None), kept(None, Some(7)), kept(None, None)),
            ("?".into(), "7 records".into(), "-".into())
        );
    }
}
