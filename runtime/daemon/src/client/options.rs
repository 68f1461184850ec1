use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Args)]
pub struct MerchantsOptions {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub asked: Asked,
}

#[derive(Args)]
pub struct DeadLettersOptions {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub asked: AskedLetters,
}

#[derive(Subcommand)]
pub enum AskedLetters {
    /// Where they are, and why.
    List {
        #[command(flatten)]
        chosen: ChosenLetters,
        /// Behind this place: as the page before says at its end.
        #[arg(long)]
        after: Option<String>,
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        limit: u64,
    },
    /// Deliver them once more, now that what was wrong is mended; what was delivered meanwhile is left out.
    SendAgain {
        #[command(flatten)]
        chosen: ChosenLetters,
        /// The same id again takes effect once.
        #[arg(long)]
        id: Option<String>,
    },
}

#[derive(Args)]
pub struct ChosenLetters {
    /// Of this connector alone.
    #[arg(long)]
    pub connector: Option<String>,
    /// Of this merchant alone.
    #[arg(long)]
    pub merchant: Option<String>,
    /// Of this delivery alone.
    #[arg(long)]
    pub lane: Option<u32>,
    /// Refused for this reason.
    #[arg(long)]
    pub code: Option<String>,
    /// Of records that are not older: a time as 2026-11-01T00:00:00Z, or an age as 2h.
    #[arg(long)]
    pub since: Option<String>,
}

#[derive(Args)]
pub struct LagOptions {
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Clone, PartialEq, Eq)]
pub struct Place {
    /// The daemon's rest.listen.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8083", env = "OUTFLOW_URL")]
    pub url: String,
    /// Where the daemon asks for one.
    #[arg(long, global = true, env = "OUTFLOW_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The authority of the daemon's certificate, a PEM file, where it is none of the well-known ones.
    #[arg(long, global = true, env = "OUTFLOW_CA")]
    pub ca: Option<PathBuf>,
    /// Print the daemon's answer as it is.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum Asked {
    /// Merchants and how their deliveries stand.
    List(Listing),
    /// One merchant, with what is owed in each partition.
    Show { merchant: String },
    /// Deliver nothing more until `resume`; what comes is owed.
    Pause(Acting),
    /// Go on, behind `pause` or at once after a fault.
    Resume(Acting),
    /// Deliver what is owed by today's definitions and to today's place.
    Mend(Acting),
    /// Give up what is owed: it is never delivered.
    Skip(Acting),
    /// Give up the decided batch that cannot be made visible.
    Abandon(Acting),
    /// Deliver what is missing (`repair`), all once more in place of what is there (`replace`), or all once more beside
    /// it (`again`: rows are there twice).
    Replay {
        #[command(flatten)]
        acting: Acting,
        /// `earliest`, a time as 2026-11-01T00:00:00Z, or offsets as topic/0=123,topic/1=456.
        #[arg(long, value_parser = place)]
        from: Value,
        /// `now`, or offsets behind the last ones.
        #[arg(long, default_value = "now", value_parser = place)]
        to: Value,
        #[arg(long, value_parser = ["again", "repair", "replace"])]
        mode: String,
    },
    /// Say what a file would say of him, in JSON or YAML.
    Put {
        merchant: String,
        /// `-` is standard input.
        #[arg(long, short)]
        file: String,
    },
    /// Say what would come of it, and change nothing: of what is in force, or of a file that might be put.
    DryRun {
        merchant: String,
        #[command(flatten)]
        trial: Trying,
    },
    /// As it was put over REST.
    Config { merchant: String },
    /// Remove one that was put over REST.
    Remove {
        merchant: String,
        /// What becomes of records that he has not got yet: `keep` delivers them, `drop` never does.
        #[arg(long, value_parser = ["keep", "drop"])]
        undelivered: Option<String>,
    },
    /// Ask his destinations for all that a delivery asks, step by step, and leave nothing there.
    Test { merchant: String },
    /// Put the merchant elsewhere: `latest` skips what is owed, anything else replays from there.
    Reset {
        #[command(flatten)]
        acting: Acting,
        /// `latest`, `earliest`, a time, or offsets.
        #[arg(long, value_parser = place)]
        to: Value,
    },
}

#[derive(Args)]
pub struct Trying {
    /// What `put` takes; `-` is standard input.
    #[arg(long, short)]
    pub file: Option<String>,
    /// How many of the newest records are tried.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    pub records: u64,
}

#[derive(Args)]
pub struct Listing {
    /// Of this connector alone.
    #[arg(long)]
    pub connector: Option<String>,
    /// live, behind, parked, paused, scheduled or removed.
    #[arg(long)]
    pub state: Option<String>,
    /// retention: what will be removed from the topics before it is delivered.
    #[arg(long)]
    pub alarm: Option<String>,
    /// Ids that begin so.
    #[arg(long)]
    pub prefix: Option<String>,
    /// Ids behind this one.
    #[arg(long)]
    pub after: Option<String>,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub limit: u64,
}

#[derive(Args)]
pub struct Acting {
    pub merchant: String,
    /// His delivery of this connector alone.
    #[arg(long)]
    pub connector: Option<String>,
    /// This delivery alone.
    #[arg(long)]
    pub lane: Option<u32>,
    /// The same id again takes effect once.
    #[arg(long)]
    pub id: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// A place in topics as people type it, in the daemon's JSON.
fn place(text: &str) -> Result<Value, String> {
    if matches!(text, "earliest" | "latest" | "now") {
        return Ok(json!(text));
    }
    if !text.contains('=') {
        return Ok(match text.parse::<i64>() {
            Ok(millis) => json!({ "timestamp": millis }),
            Err(_) => json!({ "timestamp": text }),
        });
    }
    let mut offsets = serde_json::Map::new();
    for part in text.split(',') {
        let (partition, offset) = part.split_once('=').ok_or_else(|| format!("{part:?}: allowed: topic/0=123"))?;
        let offset: i64 = offset.parse().map_err(|_| format!("{offset:?} is no offset; allowed: topic/0=123"))?;
        offsets.insert(partition.trim().to_owned(), json!(offset));
    }
    Ok(json!({ "offsets": offsets }))
}
