//! Whether rows fit the table, for modes that make no stream which would tell.

use crate::{
    BigQuery,
    examine::dataset,
    table::{self, fields},
};
use outflow_api::{Fault, Finding};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};

/// It was seen to fit, and nothing was refused since.
#[derive(Default)]
pub struct Fit(AtomicBool);

impl Fit {
    /// Makes the table, and adds columns, as the settings allow.
    ///
    /// # Errors
    /// Also if columns were added: they are not known everywhere yet.
    pub async fn make(&self, table: &BigQuery) -> Result<(), Fault> {
        if self.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        let BigQuery { tables, settings, columns, .. } = table;
        let lacking = match tables.table().await? {
            None if settings.create => {
                tables.make(&table::made(settings, columns)).await?;
                Vec::new()
            }
            None => return Err(table.table_missing()),
            Some(body) => lacking(table, &body)?,
        };
        table.add(&lacking).await?;
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The table is looked at again, next time.
    pub fn doubt(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Columns, by their paths.
fn lacking(table: &BigQuery, body: &Value) -> Result<Vec<String>, Fault> {
    let (shown, key) = (table.settings.shown(), table.settings.key.columns());
    if !key.is_empty() {
        table::check_key(&shown, &key, body)?;
    }
    table::lacks(&shown, &table.columns, &fields(&body["schema"]["fields"]))
}

pub async fn examine(table: &BigQuery) -> Vec<Finding> {
    let shown = table.settings.shown();
    let finding = |what: &str, result| Finding { subject: format!("{what} {shown}"), result };
    match table.tables.table().await {
        Err(fault) => vec![finding("look at", Err(fault))],
        Ok(None) => vec![finding("make", dataset(table).await)],
        Ok(Some(body)) => {
            let fits = lacking(table, &body).and_then(|lacking| match &lacking[..] {
                [] => Ok("rows fit".to_owned()),
                some if table.settings.add_columns => {
                    Ok(format!("{} are added when the first rows come", some.join(", ")))
                }
                some => Err(table.columns_missing(some)),
            });
            vec![finding("look at", Ok("it is there".to_owned())), finding("write to", fits)]
        }
    }
}
