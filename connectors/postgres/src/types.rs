//! What a column becomes.

use crate::settings::Settings;
use arrow_schema::Field;
use outflow_api::{Blame, Fault, SqlType};
use outflow_formats::sql_type;

/// How a value is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    BigInt,
    Double,
    Boolean,
    Text,
    Date,
    Timestamp,
    Numeric {
        precision: u8,
        scale: u8,
    },
    /// A JSON column: its text.
    Json,
    /// ARRAY, STRUCT and MAP: the JSON that they are.
    Nested,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub required: bool,
    /// Of the rows' key: an index holds its values.
    pub in_key: bool,
}

impl Column {
    pub fn of(field: &Field, settings: &Settings) -> Result<Column, Fault> {
        let kind = match sql_type(field) {
            Some(SqlType::BigInt) => Kind::BigInt,
            Some(SqlType::Double) => Kind::Double,
            Some(SqlType::Boolean) => Kind::Boolean,
            Some(SqlType::Varchar) => Kind::Text,
            Some(SqlType::Date) => Kind::Date,
            Some(SqlType::Timestamp) => Kind::Timestamp,
            Some(SqlType::Decimal { precision, scale }) => Kind::Numeric { precision, scale },
            Some(SqlType::Json) => Kind::Json,
            Some(SqlType::Struct(_) | SqlType::Array(_) | SqlType::Map(_)) => Kind::Nested,
            None => {
                let hint = format!("column {:?} is of a type that no model makes: this is a bug", field.name());
                return Err(Fault::park(Blame::Us, "unknown-type", hint));
            }
        };
        let column = Column::new(field.name(), kind, settings);
        Ok(Column { required: column.required || !field.is_nullable(), ..column })
    }

    /// Rows need a key and a version.
    pub fn new(name: &str, kind: Kind, settings: &Settings) -> Column {
        let in_key = settings.key.0.iter().any(|key| key == name);
        let required = in_key || settings.version.as_deref() == Some(name);
        Column { name: name.to_owned(), kind, required, in_key }
    }

    /// As in `CREATE TABLE`.
    pub fn definition(&self) -> String {
        let not_null = if self.required { " NOT NULL" } else { "" };
        format!("{} {}{not_null}", quoted(&self.name), self.kind.sql())
    }
}

impl Kind {
    pub fn sql(&self) -> String {
        match self {
            Kind::BigInt => "bigint".to_owned(),
            Kind::Double => "double precision".to_owned(),
            Kind::Boolean => "boolean".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Date => "date".to_owned(),
            Kind::Timestamp => "timestamp with time zone".to_owned(),
            Kind::Numeric { precision, scale } => format!("numeric({precision},{scale})"),
            Kind::Json | Kind::Nested => "jsonb".to_owned(),
        }
    }

    /// Whether a column of this type, as the server names it, takes every value as it is. The server reads bytes as
    /// what its own column is, so nothing else may be sent.
    pub fn fits(&self, server: &str) -> bool {
        match self {
            Kind::Text => server == "text" || server == "character varying",
            Kind::Numeric { precision, scale } => match server.strip_prefix("numeric") {
                Some("") => true,
                Some(rest) => {
                    numbers(rest).is_some_and(|(p, s)| s >= u16::from(*scale) && p - s >= u16::from(precision - scale))
                }
                None => false,
            },
            kind => server == kind.sql(),
        }
    }
}

/// `(18,2)`
fn numbers(text: &str) -> Option<(u16, u16)> {
    let (precision, scale) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
    (scale <= precision).then_some((precision, scale))
}

/// A name in SQL, whatever it holds.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_the_server_fits_only_if_it_takes_every_value_as_it_is() {
        let numeric = Kind::Numeric { precision: 18, scale: 2 };
        for fits in ["numeric", "numeric(18,2)", "numeric(20,4)"] {
            assert!(numeric.fits(fits), "{fits}");
        }
        for narrow in ["numeric(18,1)", "numeric(19,4)", "double precision", "numeric(2)"] {
            assert!(!numeric.fits(narrow), "{narrow}");
        }
        assert!(Kind::Text.fits("character varying") && !Kind::Text.fits("character varying(10)"));
        assert!(Kind::Json.fits("jsonb") && !Kind::Json.fits("json"));
        assert!(!Kind::BigInt.fits("integer") && !Kind::Timestamp.fits("timestamp without time zone"));
    }

    #[test]
    fn a_name_is_quoted_whatever_it_holds() {
        assert_eq!(quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
    }
}
