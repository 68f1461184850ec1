use std::{fmt, iter::Peekable, str::CharIndices};

/// A column's type, in SQL's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SqlType {
    BigInt,
    Double,
    Boolean,
    Varchar,
    Date,
    /// Microseconds since 1970 UTC.
    Timestamp,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Struct(Vec<StructField>),
    Array(Box<SqlType>),
    /// Keys are VARCHAR: JSON has no other.
    Map(Box<SqlType>),
    /// Any JSON value, kept as its text.
    Json,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StructField {
    pub name: String,
    pub sql_type: SqlType,
}

/// Deeper types are refused: BigQuery's own limit, and enough for any event.
const DEPTH_MAX: usize = 15;
const PRECISION_MAX: u8 = 38;

/// Where in the text and what is wrong there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SqlTypeError {
    /// Byte position in the type's text.
    pub at: usize,
    pub message: String,
}

impl fmt::Display for SqlTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at character {})", self.message, self.at + 1)
    }
}

impl std::error::Error for SqlTypeError {}

pub const ALLOWED: &str = "BIGINT, DOUBLE, BOOLEAN, VARCHAR, DATE, TIMESTAMP, DECIMAL(p,s), STRUCT<name TYPE, …>, \
                           ARRAY<TYPE>, MAP<VARCHAR, TYPE>, JSON";

impl SqlType {
    /// Reads `DECIMAL(18,2)`, `ARRAY<STRUCT<sku VARCHAR, quantity INT>>` and the like. Names of types are
    /// case-insensitive; INT, INTEGER, LONG, FLOAT64, BOOL, STRING and TEXT are read as their usual other names.
    pub fn parse(text: &str) -> Result<SqlType, SqlTypeError> {
        let mut parser = Parser { text, chars: text.char_indices().peekable() };
        let sql_type = parser.sql_type(0)?;
        parser.spaces();
        match parser.chars.peek() {
            None => Ok(sql_type),
            Some((at, c)) => Err(SqlTypeError { at: *at, message: format!("{c:?} after the end of the type") }),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl Parser<'_> {
    fn at(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn fail<T>(&mut self, message: impl Into<String>) -> Result<T, SqlTypeError> {
        Err(SqlTypeError { at: self.at(), message: message.into() })
    }

    fn spaces(&mut self) {
        while self.chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
    }

    fn expect(&mut self, wanted: char) -> Result<(), SqlTypeError> {
        self.spaces();
        match self.chars.next_if(|(_, c)| *c == wanted) {
            Some(_) => Ok(()),
            None => self.fail(format!("{wanted:?} expected")),
        }
    }

    fn word(&mut self, what: &str) -> Result<String, SqlTypeError> {
        self.spaces();
        let mut word = String::new();
        while let Some((_, c)) = self.chars.next_if(|(_, c)| c.is_alphanumeric() || *c == '_') {
            word.push(c);
        }
        if word.is_empty() { self.fail(format!("{what} expected")) } else { Ok(word) }
    }

    fn number(&mut self, what: &str) -> Result<u8, SqlTypeError> {
        let word = self.word(what)?;
        word.parse().or_else(|_| self.fail(format!("{what} must be a number from 0 to {PRECISION_MAX}, not {word:?}")))
    }

    fn sql_type(&mut self, depth: usize) -> Result<SqlType, SqlTypeError> {
        if depth > DEPTH_MAX {
            return self.fail(format!("nested deeper than {DEPTH_MAX} levels"));
        }
        self.spaces();
        let start = self.at();
        let name = self.word("a type")?;
        Ok(match name.to_ascii_uppercase().as_str() {
            "BIGINT" | "INT" | "INTEGER" | "LONG" | "INT64" => SqlType::BigInt,
            "DOUBLE" | "FLOAT" | "FLOAT64" => SqlType::Double,
            "BOOLEAN" | "BOOL" => SqlType::Boolean,
            "VARCHAR" | "STRING" | "TEXT" => SqlType::Varchar,
            "DATE" => SqlType::Date,
            "TIMESTAMP" | "TIMESTAMPTZ" => SqlType::Timestamp,
            "JSON" => SqlType::Json,
            "DECIMAL" | "NUMERIC" => self.decimal()?,
            "ARRAY" => {
                self.expect('<')?;
                let item = self.sql_type(depth + 1)?;
                self.expect('>')?;
                SqlType::Array(Box::new(item))
            }
            "MAP" => {
                self.expect('<')?;
                if self.sql_type(depth + 1)? != SqlType::Varchar {
                    return self.fail("keys of a MAP are VARCHAR");
                }
                self.expect(',')?;
                let value = self.sql_type(depth + 1)?;
                self.expect('>')?;
                SqlType::Map(Box::new(value))
            }
            "STRUCT" => SqlType::Struct(self.fields(depth)?),
            _ => {
                return Err(SqlTypeError { at: start, message: format!("unknown type {name:?}; allowed: {ALLOWED}") });
            }
        })
    }

    fn decimal(&mut self) -> Result<SqlType, SqlTypeError> {
        self.expect('(')?;
        let precision = self.number("the precision")?;
        self.expect(',')?;
        let scale = self.number("the scale")?;
        if precision == 0 || precision > PRECISION_MAX || scale > precision {
            return self.fail(format!("DECIMAL(p,s) needs 1 ≤ p ≤ {PRECISION_MAX} and 0 ≤ s ≤ p"));
        }
        self.expect(')')?;
        Ok(SqlType::Decimal { precision, scale })
    }

    fn fields(&mut self, depth: usize) -> Result<Vec<StructField>, SqlTypeError> {
        self.expect('<')?;
        let mut fields: Vec<StructField> = Vec::new();
        loop {
            let name = self.word("a field's name")?;
            if fields.iter().any(|field| field.name == name) {
                return self.fail(format!("field {name:?} is named twice"));
            }
            let sql_type = self.sql_type(depth + 1)?;
            fields.push(StructField { name, sql_type });
            self.spaces();
            if self.chars.next_if(|(_, c)| *c == ',').is_none() {
                break;
            }
        }
        self.expect('>')?;
        Ok(fields)
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::BigInt => f.write_str("BIGINT"),
            SqlType::Double => f.write_str("DOUBLE"),
            SqlType::Boolean => f.write_str("BOOLEAN"),
            SqlType::Varchar => f.write_str("VARCHAR"),
            SqlType::Date => f.write_str("DATE"),
            SqlType::Timestamp => f.write_str("TIMESTAMP"),
            SqlType::Json => f.write_str("JSON"),
            SqlType::Decimal { precision, scale } => write!(f, "DECIMAL({precision},{scale})"),
            SqlType::Array(item) => write!(f, "ARRAY<{item}>"),
            SqlType::Map(value) => write!(f, "MAP<VARCHAR, {value}>"),
            SqlType::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{} {}", field.name, field.sql_type)?;
                }
                f.write_str(">")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_printed_as_it_is_read() {
        let text = "ARRAY<STRUCT<sku VARCHAR, quantity BIGINT, price DECIMAL(18,2), tags MAP<VARCHAR, JSON>>>";
        assert_eq!(SqlType::parse(text).expect("valid").to_string(), text);
        assert_eq!(SqlType::parse(" array < int > ").expect("valid").to_string(), "ARRAY<BIGINT>");
    }

    #[test]
    fn a_wrong_type_says_where_and_what_is_allowed() {
        let wrong = |text: &str| SqlType::parse(text).expect_err("wrong").to_string();
        assert!(wrong("ARRAY<WORD>").contains("unknown type \"WORD\"; allowed: BIGINT"));
        assert!(wrong("ARRAY<WORD>").ends_with("(at character 7)"));
        assert!(wrong("DECIMAL(39,2)").contains("1 ≤ p ≤ 38"));
        assert!(wrong("STRUCT<a INT, a INT>").contains("named twice"));
        assert!(wrong("INT INT").contains("after the end"));
        assert!(wrong(&"ARRAY<".repeat(40)).contains("nested deeper"));
        assert!(wrong("MAP<INT, INT>").contains("VARCHAR"));
    }
}
