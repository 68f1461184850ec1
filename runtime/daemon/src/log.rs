use outflow_config::{Log, LogFormat};
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// To standard error; `OUTFLOW_LOG` overrides the configured level.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_from_env("OUTFLOW_LOG").unwrap_or_else(|_| EnvFilter::new(&log.level));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    // A second start in one process (a test) keeps the first one's settings.
    let _ = match log.format {
        LogFormat::Text => subscriber.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
}
