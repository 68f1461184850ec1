//! `outflow connectors`: as Kafka Connect's clients do.

use crate::client::{
    content, dry_run,
    http::{Answer, Daemon, encoded},
    options::{Place, Trying},
    table,
};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

#[derive(Args)]
pub struct ConnectorsOptions {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    asked: Asked,
}

#[derive(Subcommand)]
enum Asked {
    /// All of them, with their states.
    List,
    /// One, with its tasks and its configuration.
    Show {
        connector: String,
    },
    /// Make it, or change it.
    Put {
        connector: String,
        /// A JSON or YAML object of keys and texts; `-` is standard input.
        #[arg(long, short)]
        file: String,
    },
    /// Look at a configuration without keeping it, and say what is wrong with which key.
    Validate {
        #[arg(long, short)]
        file: String,
    },
    /// Say what would come of it, and change nothing: of what is in force, or of a file that might be put.
    DryRun {
        connector: String,
        #[command(flatten)]
        trial: Trying,
    },
    /// Its undelivered records go with it.
    Remove {
        connector: String,
    },
    /// Read nothing more until `resume`.
    Pause {
        connector: String,
    },
    Resume {
        connector: String,
    },
    /// As `pause`; its offsets can be changed then.
    Stop {
        connector: String,
    },
    /// Try at once what has failed.
    Restart {
        connector: String,
    },
    /// Up to where everything is decided.
    Offsets {
        connector: String,
    },
    /// The kinds of connectors that this daemon has.
    Plugins,
}

pub fn connectors(options: &ConnectorsOptions) -> Answer<()> {
    let daemon = Daemon::new(&options.place)?;
    let path = |connector: &str, rest: &str| format!("connectors/{}{rest}", encoded(connector));
    let act = |method: &str, connector: &str, rest: &str, done: &str| {
        let told = daemon.send(method, &path(connector, rest), None)?.sound()?;
        daemon.say(&told, &format!("{connector} {done}"))
    };
    match &options.asked {
        Asked::List => {
            let all = daemon.get("connectors?expand=info&expand=status")?;
            daemon.show::<Value>(all, table::connectors)
        }
        Asked::Show { connector } => {
            let status: Value = serde_json::from_str(&daemon.get(&path(connector, "/status"))?)?;
            let info: Value = serde_json::from_str(&daemon.get(&path(connector, ""))?)?;
            daemon.show::<Value>(json!({ "info": info, "status": status }).to_string(), table::connector)
        }
        Asked::Put { connector, file } => {
            let config = flat(content(file)?)?;
            let told = daemon.send("PUT", &path(connector, "/config"), Some(&config))?.sound()?;
            daemon.say(&told, &format!("{connector} is configured"))
        }
        Asked::Validate { file } => {
            let config = flat(content(file)?)?;
            let class = config["connector.class"].as_str().unwrap_or_default();
            let path = format!("connector-plugins/{}/config/validate", encoded(class));
            let told = daemon.send("PUT", &path, Some(&config))?.sound()?;
            daemon.show::<Value>(told.clone(), table::validation)?;
            let errors = serde_json::from_str::<Value>(&told)?["error_count"].as_u64().unwrap_or(0);
            if errors == 0 { Ok(()) } else { Err(format!("{errors} error(s)").into()) }
        }
        Asked::DryRun { connector, trial } => dry_run::connector(&daemon, connector, trial),
        Asked::Remove { connector } => act("DELETE", connector, "", "is removed"),
        Asked::Pause { connector } => act("PUT", connector, "/pause", "is paused"),
        Asked::Resume { connector } => act("PUT", connector, "/resume", "goes on"),
        Asked::Stop { connector } => act("PUT", connector, "/stop", "is stopped"),
        Asked::Restart { connector } => act("POST", connector, "/restart", "tries at once what has failed"),
        Asked::Offsets { connector } => daemon.show::<Value>(daemon.get(&path(connector, "/offsets"))?, table::offsets),
        Asked::Plugins => daemon.show::<Value>(daemon.get("connector-plugins")?, table::plugins),
    }
}

/// Also as it is given to `POST /connectors`: `{ "name": …, "config": { … } }`; lists are written as their JSON.
pub fn flat(content: Value) -> Answer<Value> {
    let inner = content.get("config").filter(|config| config.is_object()).cloned();
    let Value::Object(keys) = inner.unwrap_or(content) else {
        return Err("a connector's configuration is an object of keys and texts".into());
    };
    let text = |value: Value| match value {
        Value::Array(_) | Value::Object(_) => Value::String(value.to_string()),
        value => value,
    };
    Ok(Value::Object(keys.into_iter().map(|(key, value)| (key, text(value))).collect::<Map<_, _>>()))
}
