use crate::{SqlType, StructField};
use std::fmt;

/// What a record becomes: the declared columns of a connector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    pub columns: Vec<Column>,
    pub unknown: UnknownFields,
    /// Adds `_topic VARCHAR, _partition BIGINT, _offset BIGINT, _timestamp TIMESTAMP` behind the columns.
    pub lineage: bool,
    /// Fields of the record's top level whose columns were left out: known, so neither kept in `_unknown` nor a reason
    /// to reject, and read by nobody.
    pub skipped: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    pub name: String,
    pub sql_type: SqlType,
    /// Names of fields from the record's top level down, `["customer", "email"]`; the column's own name by default.
    pub path: Vec<String>,
    /// A record without it, or with null in it, goes to the dead letters.
    pub required: bool,
    /// VARCHARs of which the lower-case hexadecimal SHA-256 is delivered: names of fields from this column down, none
    /// for the column itself. What lies in arrays and maps has no name of its own.
    pub hashed: Vec<Vec<String>>,
}

/// Fields of the record's top level that no column names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UnknownFields {
    #[default]
    Ignore,
    /// In one JSON column, `_unknown`.
    Keep,
    /// The record goes to the dead letters.
    Reject,
}

/// Which name of a filter is wrong, why, and what could stand there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterError {
    pub path: String,
    pub problem: String,
    /// All names that the model allows there; empty where another name is not what is missing.
    pub allowed: Vec<String>,
}

const NAMES_SHOWN_MAX: usize = 50;

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.path, self.problem)?;
        if self.allowed.is_empty() {
            return Ok(());
        }
        let more = if self.allowed.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
        let shown = &self.allowed[..self.allowed.len().min(NAMES_SHOWN_MAX)];
        write!(f, "; allowed: {}{more}", shown.join(", "))
    }
}

impl std::error::Error for FilterError {}

/// A column (no fields), or a field within it.
struct Target<'m> {
    column: usize,
    fields: Vec<String>,
    sql_type: &'m SqlType,
}

impl Model {
    /// The same model without some columns and fields, and with a hash in place of others. Names are those of the
    /// model, `customer.email` for the field `email` of the column `customer`, also where that is an array of structs.
    ///
    /// A filter is about columns: another column that reads the same value of the record stays as it is.
    pub fn filtered(&self, without: &[impl AsRef<str>], hash: &[impl AsRef<str>]) -> Result<Model, FilterError> {
        let mut model = self.clone();
        for path in hash.iter().map(AsRef::as_ref) {
            let target = self.target(path).filter(|target| *target.sql_type == SqlType::Varchar);
            let target = target.ok_or_else(|| self.unknown(path, "is no VARCHAR of the model", is_varchar))?;
            let hashed = &mut model.columns[target.column].hashed;
            if !hashed.contains(&target.fields) {
                hashed.push(target.fields);
            }
        }
        let mut targets = Vec::new();
        for path in without.iter().map(AsRef::as_ref) {
            let target = self.target(path);
            let target = target.ok_or_else(|| self.unknown(path, "is no column or field of the model", |_| true))?;
            targets.push((path, target));
        }
        let whole = targets.iter().filter(|(_, target)| target.fields.is_empty());
        let gone: Vec<usize> = whole.map(|(_, target)| target.column).collect();
        for (path, target) in targets.iter().filter(|(_, target)| !gone.contains(&target.column)) {
            if !model.columns[target.column].leave_out(&target.fields) {
                return Err(refused(path, "is the last field of its STRUCT: leave out the whole"));
            }
        }
        model.leave_out(&gone);
        match (model.columns.is_empty(), without.last()) {
            (true, Some(path)) => Err(refused(path.as_ref(), "is the last column: at least one must stay")),
            _ => Ok(model),
        }
    }

    fn leave_out(&mut self, gone: &[usize]) {
        let (left_out, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.columns).into_iter().enumerate().partition(|(index, _)| gone.contains(index));
        self.columns = kept.into_iter().map(|(_, column)| column).collect();
        let names = left_out.into_iter().filter_map(|(_, column)| column.path.into_iter().next());
        for name in names {
            if !self.skipped.contains(&name) {
                self.skipped.push(name);
            }
        }
    }

    /// Names may hold dots themselves: a name that is the whole path comes first.
    fn target(&self, path: &str) -> Option<Target<'_>> {
        let columns: Vec<_> = self.columns.iter().map(|column| (column.name.as_str(), &column.sql_type)).collect();
        let (names, sql_type) = locate(&columns, path)?;
        let (first, fields) = names.split_first()?;
        let column = self.columns.iter().position(|column| column.name == *first)?;
        Some(Target { column, fields: fields.iter().map(|name| (*name).to_owned()).collect(), sql_type })
    }

    fn unknown(&self, path: &str, problem: &str, fits: fn(&SqlType) -> bool) -> FilterError {
        let mut allowed = Vec::new();
        self.columns.iter().for_each(|column| list(&column.name, &column.sql_type, fits, &mut allowed));
        FilterError { path: path.to_owned(), problem: problem.to_owned(), allowed }
    }
}

fn refused(path: &str, problem: &str) -> FilterError {
    FilterError { path: path.to_owned(), problem: problem.to_owned(), allowed: Vec::new() }
}

fn is_varchar(sql_type: &SqlType) -> bool {
    *sql_type == SqlType::Varchar
}

type Named<'m> = (&'m str, &'m SqlType);

fn locate<'m>(members: &[Named<'m>], path: &str) -> Option<(Vec<&'m str>, &'m SqlType)> {
    if let Some((name, sql_type)) = members.iter().find(|(name, _)| *name == path) {
        return Some((vec![name], sql_type));
    }
    members.iter().find_map(|(name, sql_type)| {
        let rest = path.strip_prefix(name)?.strip_prefix('.')?;
        let within: Vec<_> = sql_type.fields().iter().map(|field| (field.name.as_str(), &field.sql_type)).collect();
        let (mut names, found) = locate(&within, rest)?;
        names.insert(0, name);
        Some((names, found))
    })
}

fn list(path: &str, sql_type: &SqlType, fits: fn(&SqlType) -> bool, paths: &mut Vec<String>) {
    if fits(sql_type) {
        paths.push(path.to_owned());
    }
    for field in sql_type.fields() {
        list(&format!("{path}.{}", field.name), &field.sql_type, fits, paths);
    }
}

impl Column {
    /// False if nothing would be left. A field that is gone already is no fault.
    fn leave_out(&mut self, fields: &[String]) -> bool {
        self.hashed.retain(|hashed| !hashed.starts_with(fields));
        self.sql_type.leave_out(fields)
    }
}

impl SqlType {
    /// Those of a STRUCT, also within ARRAY and MAP.
    pub fn fields(&self) -> &[StructField] {
        match self {
            SqlType::Struct(fields) => fields,
            SqlType::Array(item) | SqlType::Map(item) => item.fields(),
            _ => &[],
        }
    }

    fn leave_out(&mut self, path: &[String]) -> bool {
        let fields = match self {
            SqlType::Struct(fields) => fields,
            SqlType::Array(item) | SqlType::Map(item) => return item.leave_out(path),
            _ => return true,
        };
        match path {
            [last] => fields.retain(|field| field.name != *last),
            [first, rest @ ..] => {
                let within = fields.iter_mut().find(|field| field.name == *first);
                return within.is_none_or(|field| field.sql_type.leave_out(rest));
            }
            [] => {}
        }
        !fields.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, sql_type: &str, path: &str) -> Column {
        Column {
            name: name.to_owned(),
            sql_type: SqlType::parse(sql_type).expect("a type"),
            path: path.split('.').map(str::to_owned).collect(),
            required: false,
            hashed: Vec::new(),
        }
    }

    fn model() -> Model {
        let columns = vec![
            column("id", "BIGINT", "id"),
            column("email", "VARCHAR", "customer.email"),
            column("customer", "STRUCT<phone VARCHAR, age BIGINT>", "customer"),
            column("items", "ARRAY<STRUCT<sku VARCHAR, note STRUCT<text VARCHAR>>>", "line.items"),
            column("a.b", "VARCHAR", "ab"),
        ];
        Model { columns, unknown: UnknownFields::Keep, lineage: true, skipped: Vec::new() }
    }

    const NONE: [&str; 0] = [];

    fn types(model: &Model) -> String {
        model.columns.iter().map(|column| format!("{} {}", column.name, column.sql_type)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_is_left_out_is_gone_from_the_model_and_remembered_as_known() {
        let filtered = model().filtered(&["email", "customer.phone", "items.sku", "a.b"], &NONE).expect("names");
        let left = "id BIGINT, customer STRUCT<age BIGINT>, items ARRAY<STRUCT<note STRUCT<text VARCHAR>>>";
        assert_eq!(types(&filtered), left);
        assert_eq!(filtered.skipped, ["customer", "ab"]);
        let again = filtered.filtered(&["items", "customer"], &NONE).expect("names");
        assert_eq!((types(&again).as_str(), again.skipped.join(" ").as_str()), ("id BIGINT", "customer ab line"));
        assert_eq!(model().filtered(&["items", "items.sku"], &NONE), model().filtered(&["items"], &NONE));
        assert_eq!(model().filtered(&NONE, &NONE), Ok(model()));
    }

    #[test]
    fn what_is_hashed_keeps_its_type_and_names_its_place() {
        let filtered = model().filtered(&["customer.age"], &["email", "items.note.text", "email"]).expect("names");
        let none: &[String] = &[];
        assert_eq!(filtered.columns[1].hashed, [none]);
        assert_eq!(filtered.columns[3].hashed, [["note", "text"]]);
        assert_eq!(filtered.columns[3].sql_type, model().columns[3].sql_type);
        let without = filtered.filtered(&["items.note"], &NONE).expect("a field");
        assert!(without.columns[3].hashed.is_empty(), "what is gone is not hashed");
    }

    #[test]
    fn a_wrong_name_is_told_with_what_is_allowed() {
        let wrong = |without: &[&str], hash: &[&str]| model().filtered(without, hash).expect_err("wrong").to_string();
        let all = "allowed: id, email, customer, customer.phone, customer.age, items, items.sku, items.note, \
                   items.note.text, a.b";
        assert_eq!(
            wrong(&["customer.mail"], &[]),
            format!("\"customer.mail\" is no column or field of the model; {all}")
        );
        let texts =
            "\"id\" is no VARCHAR of the model; allowed: email, customer.phone, items.sku, items.note.text, a.b";
        assert_eq!(wrong(&[], &["id"]), texts);
        assert!(wrong(&["items.note.text"], &[]).contains("last field of its STRUCT"));
        assert!(wrong(&["id", "email", "customer", "items", "a.b"], &[]).contains("at least one must stay"));
    }
}
