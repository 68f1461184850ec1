//! The statements by which staged rows replace older ones of their keys.

use crate::{
    settings::Settings,
    table::BATCH,
    types::{Column, quoted},
    upsert::Upsert,
};

/// Seen by its own transaction alone, and gone with it.
const STAGE: &str = "pg_temp.outflow_rows";

pub struct Merge {
    target: String,
    /// All names are quoted.
    names: Vec<String>,
    key: Vec<String>,
    order: Vec<String>,
    deletions: Option<Deletions>,
    is_by_offset: bool,
}

/// Of keys that are gone, with the version that says so: no older row brings them back.
struct Deletions {
    table: String,
    /// Its columns as in `CREATE TABLE`.
    definitions: Vec<String>,
    /// Of staged rows: this key is gone.
    column: String,
}

impl Merge {
    pub fn new(settings: &Settings, columns: &[Column], upsert: &Upsert) -> Merge {
        let is_kept = |column: &&Column| upsert.key.contains(&column.name) || upsert.order.contains(&column.name);
        let deletions = upsert.deleted.as_ref().zip(settings.deletions()).map(|(column, table)| Deletions {
            table,
            definitions: columns.iter().filter(is_kept).map(Column::definition).collect(),
            column: quoted(column),
        });
        let all = columns.iter().map(|column| quoted(&column.name));
        Merge {
            target: settings.target(),
            names: all.chain([quoted(BATCH)]).collect(),
            key: upsert.key.iter().map(|name| quoted(name)).collect(),
            order: upsert.order.iter().map(|name| quoted(name)).collect(),
            deletions,
            is_by_offset: upsert.is_by_offset(),
        }
    }

    pub fn primary_key(&self) -> String {
        format!("PRIMARY KEY ({})", self.key.join(", "))
    }

    pub fn deletions(&self) -> Option<&str> {
        self.deletions.as_ref().map(|deletions| deletions.table.as_str())
    }

    pub fn make_deletions(&self) -> Option<String> {
        self.deletions.as_ref().map(|Deletions { table, definitions, .. }| {
            format!("CREATE TABLE IF NOT EXISTS {table} ({}, {})", definitions.join(", "), self.primary_key())
        })
    }

    /// With the target's own types.
    pub fn stage(&self) -> String {
        let (names, target) = (self.names.join(", "), &self.target);
        format!("CREATE TEMPORARY TABLE outflow_rows ON COMMIT DROP AS SELECT {names} FROM {target} WITH NO DATA")
    }

    pub fn copy(&self) -> String {
        format!("COPY {STAGE} ({}) FROM STDIN WITH (FORMAT binary)", self.names.join(", "))
    }

    /// A question: whether rows of one key come from two partitions, where offsets are their versions.
    pub fn has_two_places(&self) -> Option<String> {
        let key = self.key.join(", ");
        let tables = [Some(STAGE), Some(self.target.as_str()), self.deletions()].into_iter().flatten();
        let seen = tables.map(|table| format!("SELECT {key}, _topic, _partition FROM {table}"));
        let seen = seen.collect::<Vec<String>>().join(" UNION ALL ");
        self.is_by_offset.then(|| {
            format!(
                "SELECT EXISTS (SELECT FROM {STAGE} AS new JOIN ({seen}) AS old USING ({key}) \
                 WHERE (new._topic, new._partition) <> (old._topic, old._partition))"
            )
        })
    }

    /// To be executed one after the other, when all rows are staged.
    pub fn statements(&self) -> Vec<String> {
        let Merge { target, names, key, .. } = self;
        let Some(Deletions { table: gone, column, .. }) = &self.deletions else {
            return vec![self.upsert(target, names, "true")];
        };
        let [of_old, of_new, of_gone] = ["old", "new", "gone"].map(|of| listed(of, key));
        let kept: Vec<String> = key.iter().chain(&self.order).cloned().collect();
        let not_older = self.not_older("gone", "new");
        let is_older = format!("SELECT FROM {gone} AS gone WHERE ({of_gone}) = ({of_new}) AND {not_older}");
        vec![
            // Else the older row of a transaction that is under way beside this one would be seen by neither.
            format!("LOCK TABLE {gone} IN SHARE ROW EXCLUSIVE MODE"),
            self.upsert(gone, &kept, &format!("new.{column}")),
            format!(
                "DELETE FROM {target} AS old USING {gone} AS gone WHERE ({of_old}) = ({of_gone}) AND ({of_old}) IN \
                 (SELECT {of_new} FROM {STAGE} AS new WHERE new.{column}) AND {}",
                self.not_older("gone", "old"),
            ),
            self.upsert(target, names, &format!("new.{column} IS NOT TRUE AND NOT EXISTS ({is_older})")),
        ]
    }

    /// Of each key its newest staged row, where it is newer than what is there. In the order of keys: no two
    /// transactions wait for each other.
    fn upsert(&self, into: &str, names: &[String], only: &str) -> String {
        let key = self.key.join(", ");
        let newest_first: Vec<String> = self.order.iter().map(|name| format!("{name} DESC")).collect();
        let others = names.iter().filter(|name| !self.key.contains(name));
        let set: Vec<String> = others.map(|name| format!("{name} = excluded.{name}")).collect();
        format!(
            "INSERT INTO {into} AS old ({names}) \
             SELECT DISTINCT ON ({key}) {names} FROM {STAGE} AS new WHERE {only} ORDER BY {key}, {} \
             ON CONFLICT ({key}) DO UPDATE SET {} WHERE old.{} IS NULL OR {} < {}",
            newest_first.join(", "),
            set.join(", "),
            // A row without a version is none of ours.
            self.order[0],
            self.age("old"),
            self.age("excluded"),
            names = names.join(", "),
        )
    }

    fn not_older(&self, one: &str, other: &str) -> String {
        format!("({other}.{} IS NULL OR {} >= {})", self.order[0], self.age(one), self.age(other))
    }

    fn age(&self, of: &str) -> String {
        format!("({})", listed(of, &self.order))
    }
}

fn listed(of: &str, names: &[String]) -> String {
    names.iter().map(|name| format!("{of}.{name}")).collect::<Vec<String>>().join(", ")
}
