use super::{
    http::{Answer, Daemon, encoded},
    options::Place,
    table,
};
use clap::Args;
use outflow_control::EventPage;

#[derive(Args)]
pub struct EventsOptions {
    #[command(flatten)]
    place: Place,
    /// An age as 90s, 15m, 2h or 1d, or a time as 2026-11-01T00:00:00Z.
    #[arg(long)]
    since: Option<String>,
    /// Of this merchant alone; with his own token he sees no others.
    #[arg(long)]
    merchant: Option<String>,
    /// Of this connector alone.
    #[arg(long)]
    connector: Option<String>,
    /// lane-parked, shard-owned, …
    #[arg(long)]
    kind: Option<String>,
    /// Of a fault.
    #[arg(long)]
    code: Option<String>,
    /// info, warn or error: this one and worse.
    #[arg(long)]
    level: Option<String>,
    /// Older than the event of this id.
    #[arg(long)]
    after: Option<String>,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    limit: u64,
}

pub fn events(options: &EventsOptions) -> Answer<()> {
    let daemon = Daemon::new(&options.place)?;
    let limit = options.limit.to_string();
    let parts = [
        ("since", options.since.as_deref()),
        ("connector", options.connector.as_deref()),
        ("kind", options.kind.as_deref()),
        ("code", options.code.as_deref()),
        ("level", options.level.as_deref()),
        ("after", options.after.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let query: Vec<String> =
        parts.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", encoded(value?)))).collect();
    // The path that is open to the merchant himself as well.
    let path = match &options.merchant {
        Some(merchant) => format!("v1/merchants/{}/events", encoded(merchant)),
        None => "v1/events".to_owned(),
    };
    let page = daemon.get(&format!("{path}?{}", query.join("&")))?;
    daemon.show::<EventPage>(page, table::events)
}
