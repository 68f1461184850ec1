//! What would happen, for people.

use super::{plain, table};
use outflow_control::{Column, ColumnChange, DryRun, Sampled, Trial};

pub fn dry_run(told: &DryRun) -> String {
    let mut text = match told.changes.is_empty() {
        true => format!("nothing would change: revision {} says all of it\n", told.revision),
        false => told.changes.iter().map(|change| format!("{}\n", plain(&change.told))).collect(),
    };
    text += "\n";
    told.sample.iter().for_each(|one| text += &sampled(one));
    let mut before = &[][..];
    for one in &told.deliveries {
        text += &delivery(one, before);
        before = &one.columns;
    }
    told.notes.iter().for_each(|note| text += &format!("\nnote: {}\n", plain(note)));
    text
}

fn sampled(one: &Sampled) -> String {
    let part = |count: Option<u64>, what: &str| count.map_or_else(String::new, |count| format!(", {count} {what}"));
    let (others, unclaimed) = (part(one.of_others, "of other merchants"), part(one.unclaimed, "of no merchant"));
    format!("{}: {} of the newest records are tried{others}{unclaimed}\n", plain(&one.connector), one.records)
}

/// `before`: columns of the one above, which need not be read twice.
fn delivery(one: &Trial, before: &[Column]) -> String {
    let whose = one.merchant.as_ref().map_or_else(String::new, |id| format!(" for {}", plain(id)));
    let mut text = format!("\n{}{whose} to {}\n", plain(&one.connector), plain(&one.identity));
    if let Some(trouble) = &one.trouble {
        text += &format!("FAIL  {}\n", plain(trouble));
    }
    match one.columns.as_slice() {
        [] => {}
        same if same == before && one.column_changes.is_empty() => text += "columns as above\n",
        all => {
            let rows: Vec<Vec<String>> = all.iter().map(|column| row(column, &one.column_changes)).collect();
            text += &table(&["COLUMN", "", "", "TYPE"].map(str::to_owned), &rows);
        }
    }
    let gone = one.column_changes.iter().filter(|change| change.becomes.is_none());
    gone.for_each(|change| text += &format!("column {} is no longer delivered\n", plain(&change.name)));
    let left_out = if one.left_out > 0 { format!(", {} left out by `only`", one.left_out) } else { String::new() };
    text += &format!("{} rows, {} rejected{left_out}\n", one.rows, one.rejected);
    one.shown.iter().for_each(|row| text += &format!("  {}\n", plain(row.get())));
    for row in &one.rejections {
        let (topic, message) = (plain(&row.topic), plain(&row.message));
        text += &format!("  rejected: {topic}/{} offset {}: {}: {message}\n", row.partition, row.offset, row.code);
    }
    text
}

fn row(column: &Column, changes: &[ColumnChange]) -> Vec<String> {
    let change = changes.iter().find(|change| change.name == column.name);
    let change = match change.map(|change| &change.was) {
        None => String::new(),
        Some(None) => "new".to_owned(),
        Some(Some(was)) => format!("was {was}"),
    };
    let required = if column.required { "required" } else { "" };
    [&column.name, required, &change, &column.sql_type].map(plain).to_vec()
}
