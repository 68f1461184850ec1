//! `outflow export` and `outflow import`.

use crate::client::{
    http::{Answer, Daemon, write},
    options::Place,
    table::plain,
};
use clap::Args;
use serde_json::Value;
use std::{
    fs,
    io::{Read, stdin},
    path::{Path, PathBuf},
    time::Duration,
};

/// Each document is a revision of its own.
const ANSWER_MAX: Duration = Duration::from_secs(3 * 3_600);

#[derive(Args)]
pub struct ExportOptions {
    #[command(flatten)]
    place: Place,
    /// Standard output if nothing is said.
    file: Option<PathBuf>,
}

#[derive(Args)]
pub struct ImportOptions {
    #[command(flatten)]
    place: Place,
    /// `-` is standard input.
    file: PathBuf,
    /// Say what would come of each document, and put none.
    #[arg(long)]
    dry_run: bool,
}

pub fn export(options: &ExportOptions) -> Answer<()> {
    let exported = Daemon::patient(&options.place, ANSWER_MAX)?.get("v1/export")?;
    match &options.file {
        Some(file) => Ok(fs::write(file, exported).map_err(|error| format!("{}: {error}", file.display()))?),
        None => {
            write(&exported);
            Ok(())
        }
    }
}

pub fn import(options: &ImportOptions) -> Answer<()> {
    let (file, mut lines) = (options.file.display(), String::new());
    if options.file == Path::new("-") {
        stdin().read_to_string(&mut lines)?;
    } else {
        lines = fs::read_to_string(&options.file).map_err(|error| format!("{file}: {error}"))?;
    }
    let daemon = Daemon::patient(&options.place, ANSWER_MAX)?;
    let told = daemon.send_lines(&format!("v1/import?dry_run={}", options.dry_run), lines)?.sound()?;
    let all: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let counts = all.last().filter(|last| last["dry_run"].is_boolean());
    let counts = counts.ok_or("the answer ends before the import does: run it again, what is put is not put twice")?;
    if options.place.json {
        write(&told);
    } else {
        all.iter().filter(|one| one["outcome"].is_string() && one["outcome"] != "same").for_each(show);
        let [created, changed, same, refused] = ["created", "changed", "same", "refused"].map(|key| &counts[key]);
        let what = if options.dry_run { "nothing was done; it would be: " } else { "" };
        write(&format!("{what}{created} created, {changed} changed, {same} the same, {refused} refused\n"));
    }
    if counts["refused"] == 0 { Ok(()) } else { Err(format!("{file}: not all of it was taken").into()) }
}

fn show(one: &Value) {
    let text = |key: &str| plain(one[key].as_str().unwrap_or_default());
    let name = if one["connector"].is_string() { "connector" } else { "merchant" };
    let reason = one["reason"].as_str().map_or_else(String::new, |reason| format!(": {}", plain(reason.trim())));
    write(&format!("{} {name} {}{reason}\n", text("outcome"), text(name)));
}
