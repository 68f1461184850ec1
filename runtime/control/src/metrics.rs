use crate::{CallsStatus, ConnectorStatus, Status};
use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
};

/// Series are for connectors and shards, never for lanes or merchants: there may be tens of thousands of those.
const CONNECTORS_MAX: usize = 1_000;
/// Fault codes are words of our sources; a sink that makes them up must not flood the time series.
const CODES_MAX: usize = 50;

type Reading = fn(&ConnectorStatus) -> u64;
type Seconds = fn(&ConnectorStatus) -> Option<u64>;

const COUNTERS: [(&str, &str, Reading); 7] = [
    ("outflow_records_read_total", "Records read from the source", |connector| connector.records_read),
    ("outflow_records_unclaimed_total", "Records that no merchant claims", |connector| connector.records_unclaimed),
    ("outflow_rows_visible_total", "Rows revealed at the destination", |connector| connector.rows_visible),
    ("outflow_batches_visible_total", "Batches revealed at the destination", |connector| connector.batches_visible),
    ("outflow_bytes_visible_total", "Encoded bytes revealed at the destination", |connector| connector.bytes_visible),
    ("outflow_rows_rejected_total", "Records gone to the dead letters", |connector| connector.rows_rejected),
    ("outflow_retries_total", "Repeated calls to the destination", |connector| connector.retries),
];
const GAUGES: [(&str, &str, Reading); 3] = [
    ("outflow_lag_records", "Records that are not visible at the destination yet", |connector| connector.lag_records),
    ("outflow_lanes_parked", "Lanes that need a human or another day", |connector| connector.lanes_parked),
    (
        "outflow_retention_alarms",
        "Lanes, and partitions not read, of which retention will remove records sooner than alarms.retention_left",
        |connector| connector.retention_alarms,
    ),
];
/// Absent where there is nothing to say.
const SECONDS: [(&str, &str, Seconds); 2] = [
    ("outflow_lag_seconds", "Age of the oldest record that is not visible yet", |connector| connector.lag_seconds),
    ("outflow_retention_left_seconds", "Until retention removes the first of them", |connector| {
        connector.retention_left_seconds
    }),
];

/// The status in Prometheus' text format.
pub fn metrics(status: &Status, version: &str) -> String {
    let mut page = Page(String::new());
    page.family("outflow_info", "gauge", "Version of this worker", [(label("version", version), 1)]);
    let ready = u64::from(status.not_ready().is_none());
    page.family("outflow_ready", "gauge", "1 while this worker works on at least one shard", [(String::new(), ready)]);
    let buffers = [(String::new(), status.memory_bytes)];
    page.family("outflow_memory_bytes", "gauge", "Held in buffers", buffers);
    let budget = [(String::new(), status.memory_bytes_max)];
    page.family("outflow_memory_max_bytes", "gauge", "What buffers may hold", budget);
    page.calls(&status.calls);
    let connectors = || status.connectors.iter().take(CONNECTORS_MAX);
    for (families, kind) in [(COUNTERS.as_slice(), "counter"), (GAUGES.as_slice(), "gauge")] {
        for (name, help, read) in families {
            page.family(name, kind, help, connectors().map(|(name, one)| (label("connector", name), read(one))));
        }
    }
    for (name, help, read) in SECONDS {
        let known = connectors().filter_map(|(name, one)| Some((label("connector", name), read(one)?)));
        page.family(name, "gauge", help, known);
    }
    let parked = connectors().flat_map(|(name, connector)| {
        let connector_label = label("connector", name);
        by_code(connector)
            .into_iter()
            .map(move |(code, count)| (format!("{connector_label},{}", label("code", code)), count))
    });
    page.family("outflow_lanes_parked_by_code", "gauge", "The worst parked lanes by fault code", parked);
    let shards = || status.shards.iter().map(|(number, shard)| (label("shard", number), shard));
    let owned = shards().map(|(label, shard)| (label, u64::from(shard.owned)));
    page.family("outflow_shard_owned", "gauge", "1 while this worker owns the shard", owned);
    let generations = shards().filter(|(_, shard)| shard.owned).map(|(label, shard)| (label, shard.generation));
    page.family("outflow_shard_generation", "gauge", "Rises with each owner of the shard", generations);
    page.0
}

fn by_code(connector: &ConnectorStatus) -> BTreeMap<&str, u64> {
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    for parked in &connector.parked {
        let known = codes.contains_key(parked.code.as_str()) || codes.len() < CODES_MAX;
        *codes.entry(if known { &parked.code } else { "other" }).or_default() += 1;
    }
    codes
}

fn label(name: &str, value: impl Display) -> String {
    let value = value.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

struct Page(String);

impl Page {
    fn calls(&mut self, calls: &CallsStatus) {
        let one = |count| [(String::new(), count)];
        self.family("outflow_calls_under_way", "gauge", "Calls to destinations", one(calls.under_way));
        self.family("outflow_calls_waiting", "gauge", "Calls that wait for a place", one(calls.waiting));
        let open = [(label("of", "host"), calls.open_hosts), (label("of", "credential"), calls.open_credentials)];
        self.family("outflow_circuits_open", "gauge", "Hosts and credentials whose lanes wait for a try", open);
        self.family("outflow_circuits_opened_total", "counter", "Circuits opened", one(calls.openings));
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, samples: impl IntoIterator<Item = (String, u64)>) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let written = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        written.expect("writing to a string cannot fail");
        for (labels, value) in samples {
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            writeln!(self.0, "{name}{labels} {value}").expect("writing to a string cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ParkedLane, Phase, ShardStatus};

    fn parked(code: &str) -> ParkedLane {
        ParkedLane { code: code.to_owned(), ..ParkedLane::default() }
    }

    #[test]
    fn every_number_of_the_status_has_its_line() {
        let parked = vec![parked("no-bucket"), parked("no-bucket"), parked("no-rights")];
        let orders = ConnectorStatus {
            records_read: 7,
            lag_records: 3,
            lag_seconds: Some(60),
            retention_left_seconds: Some(3_600),
            retention_alarms: 2,
            lanes_parked: 9,
            parked,
            ..Default::default()
        };
        let status = Status {
            phase: Phase::Running,
            connectors: [("a\"b".to_owned(), orders)].into(),
            shards: [(3, ShardStatus { owned: true, generation: 42, ..ShardStatus::default() })].into(),
            calls: CallsStatus { under_way: 5, open_credentials: 2, openings: 8, ..CallsStatus::default() },
            ..Status::default()
        };
        let page = metrics(&status, "0.1.0");
        let lines = [
            "outflow_calls_under_way 5",
            "outflow_circuits_open{of=\"host\"} 0",
            "outflow_circuits_open{of=\"credential\"} 2",
            "outflow_circuits_opened_total 8",
            "outflow_info{version=\"0.1.0\"} 1",
            "outflow_ready 1",
            "# TYPE outflow_records_read_total counter",
            "outflow_records_read_total{connector=\"a\\\"b\"} 7",
            "outflow_lag_records{connector=\"a\\\"b\"} 3",
            "outflow_lag_seconds{connector=\"a\\\"b\"} 60",
            "outflow_retention_left_seconds{connector=\"a\\\"b\"} 3600",
            "outflow_retention_alarms{connector=\"a\\\"b\"} 2",
            "outflow_lanes_parked{connector=\"a\\\"b\"} 9",
            "outflow_lanes_parked_by_code{connector=\"a\\\"b\",code=\"no-bucket\"} 2",
            "outflow_shard_generation{shard=\"3\"} 42",
        ];
        for line in lines {
            assert!(page.lines().any(|written| written == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn made_up_codes_and_countless_lanes_make_no_more_series() {
        let parked = (0..5_000).map(|number| parked(&format!("code-{number}"))).collect();
        let connector = ConnectorStatus { parked, ..Default::default() };
        let status = Status { connectors: [("orders".to_owned(), connector)].into(), ..Status::default() };
        let page = metrics(&status, "0.1.0");
        assert!(page.lines().count() < 150);
        assert!(!page.contains("outflow_lag_seconds"), "what is not known has no series");
        assert!(page.contains("code=\"other\"} 4950"));
    }
}
