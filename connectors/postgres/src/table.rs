//! The table that rows go to, and the ledger beside it: what is there, and what is to be made.

use crate::{
    ledger::Ledger,
    merge::Merge,
    settings::Settings,
    types::{Column, Kind, quoted},
};
use outflow_api::{Blame, Fault};
use std::collections::BTreeMap;

/// Of each row, the batch that brought it: by it a replay takes the old rows away.
pub const BATCH: &str = "_batch";
const BATCH_TYPE: &str = "uuid";

/// Columns of the table as the server names their types, none if it is not there. `$1` is the table, quoted.
pub const COLUMNS: &str = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute \
                           WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";

pub struct Table<'s> {
    settings: &'s Settings,
    columns: &'s [Column],
    merge: Option<&'s Merge>,
}

/// What is there.
#[derive(Default)]
pub struct There {
    /// Columns of the table as the server names their types, none if it is not there.
    pub columns: BTreeMap<String, String>,
    pub has_ledger: bool,
    pub has_deletions: bool,
}

/// What a table lacks.
#[derive(PartialEq, Eq, Debug)]
pub enum Lack {
    Nothing,
    /// To be executed in one transaction.
    Statements(Vec<String>),
}

impl<'s> Table<'s> {
    pub fn new(settings: &'s Settings, columns: &'s [Column], merge: Option<&'s Merge>) -> Table<'s> {
        Table { settings, columns, merge }
    }

    /// # Errors
    /// If it is not as rows need it, and nobody may change it.
    pub fn lacks(&self, there: &There) -> Result<Lack, Fault> {
        let target = self.settings.target();
        let mut statements = Vec::new();
        if !there.has_ledger {
            statements.push(Ledger::beside(self.settings).make());
        }
        if !there.has_deletions {
            statements.extend(self.merge.and_then(Merge::make_deletions));
        }
        if there.columns.is_empty() {
            if !self.settings.create {
                let hint = format!("there is no table {target}: make it ({}), or set `create: true`", self.make());
                return Err(Fault::park(Blame::Merchant, "table-missing", hint));
            }
            statements.push(self.make());
        } else {
            statements.extend(self.missing(&there.columns)?);
        }
        Ok(if statements.is_empty() { Lack::Nothing } else { Lack::Statements(statements) })
    }

    fn missing(&self, there: &BTreeMap<String, String>) -> Result<Vec<String>, Fault> {
        let target = self.settings.target();
        let own = self.columns.iter().map(|column| (column.name.as_str(), column.kind.sql(), Some(&column.kind)));
        let mut missing = Vec::new();
        for (name, sql, kind) in own.chain([(BATCH, BATCH_TYPE.to_owned(), None)]) {
            match there.get(name) {
                // A NOT NULL could not be kept by the rows that are there.
                None => missing.push(format!("ADD COLUMN IF NOT EXISTS {} {sql}", quoted(name))),
                Some(found) if kind.map_or(found == BATCH_TYPE, |kind: &Kind| kind.fits(found)) => {}
                Some(found) => {
                    let change = format!("ALTER TABLE {target} ALTER COLUMN {} TYPE {sql}", quoted(name));
                    let hint = format!("column {name} of {target} is {found}, and rows need {sql}: {change}");
                    return Err(Fault::park(Blame::Merchant, "column-type", hint));
                }
            }
        }
        if missing.is_empty() {
            return Ok(missing);
        }
        let change = format!("ALTER TABLE {target} {}", missing.join(", "));
        if !self.settings.add_columns {
            let hint = format!("{target} lacks columns: {change}; or set `add_columns: true`");
            return Err(Fault::park(Blame::Merchant, "column-missing", hint));
        }
        Ok(vec![change])
    }

    fn make(&self) -> String {
        let own = self.columns.iter().map(Column::definition);
        let own = own.chain([format!("{} {BATCH_TYPE}", quoted(BATCH))]);
        let all: Vec<String> = own.chain(self.merge.map(Merge::primary_key)).collect();
        format!("CREATE TABLE IF NOT EXISTS {} ({})", self.settings.target(), all.join(", "))
    }

    pub fn copy(&self) -> String {
        let names = self.columns.iter().map(|column| quoted(&column.name)).chain([quoted(BATCH)]);
        let names: Vec<String> = names.collect();
        format!("COPY {} ({}) FROM STDIN WITH (FORMAT binary)", self.settings.target(), names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(create: bool, add_columns: bool) -> Settings {
        Settings::read(&json!({
            "host": "h", "database": "d", "table": "t", "user": "u", "create": create, "add_columns": add_columns,
        }))
        .expect("they are right")
    }

    fn columns() -> Vec<Column> {
        let column = |name: &str, kind, required| Column { name: name.to_owned(), kind, required, in_key: false };
        vec![column("id", Kind::BigInt, true), column("note", Kind::Text, false)]
    }

    fn there(columns: &[(&str, &str)], has_ledger: bool) -> There {
        let columns = columns.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned())).collect();
        There { columns, has_ledger, has_deletions: false }
    }

    #[test]
    fn what_is_missing_is_made_and_nothing_else_is_touched() {
        let (settings, columns) = (settings(true, true), columns());
        let table = Table::new(&settings, &columns, None);
        let lacks = |found: &[(&str, &str)], has_ledger| table.lacks(&there(found, has_ledger)).expect("it may");
        let Lack::Statements(made) = lacks(&[], false) else { panic!("nothing is there") };
        assert_eq!(made.len(), 2);
        assert_eq!(
            made[1],
            "CREATE TABLE IF NOT EXISTS \"public\".\"t\" (\"id\" bigint NOT NULL, \"note\" text, \"_batch\" uuid)"
        );
        let added = "ALTER TABLE \"public\".\"t\" ADD COLUMN IF NOT EXISTS \"note\" text";
        let found = lacks(&[("id", "bigint"), ("_batch", "uuid"), ("theirs", "point")], true);
        assert_eq!(found, Lack::Statements(vec![added.to_owned()]));
        assert_eq!(lacks(&[("id", "bigint"), ("note", "text"), ("_batch", "uuid")], true), Lack::Nothing);
    }

    #[test]
    fn who_may_change_nothing_is_told_the_statement() {
        let (settings, columns) = (settings(false, false), columns());
        let table = Table::new(&settings, &columns, None);
        let told = |found: &[(&str, &str)]| table.lacks(&there(found, true)).expect_err("it may not").to_string();
        assert!(told(&[]).contains("CREATE TABLE"));
        assert!(told(&[("id", "bigint")]).contains("ADD COLUMN IF NOT EXISTS \"note\" text"));
        assert!(told(&[("id", "integer"), ("note", "text")]).contains("ALTER COLUMN \"id\" TYPE bigint"));
    }
}
