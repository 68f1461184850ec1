use super::{
    nested::{ListColumn, MapColumn, StructColumn},
    number,
    scanner::Scanner,
    time::{self, NotTime},
};
use crate::reject::{Reject, Step};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer};
use outflow_api::SqlType;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A column while it grows. Every kind can be cut back to any length it had, which is how a rejected record leaves no
/// trace; the builders of arrow cannot, hence these. One that has no value in the last rows may be shorter than others,
/// until `pad`: of sixty columns most records fill a dozen.
pub enum Column {
    Integer(Values<i64>),
    Double(Values<f64>),
    Boolean(Flags),
    Text(Text),
    /// Texts that nobody may read, each as its SHA-256.
    Hashed(Text),
    Date(Values<i32>),
    Timestamp(Values<i64>),
    Decimal {
        values: Values<i128>,
        precision: u8,
        scale: u8,
    },
    Struct(StructColumn),
    List(Box<ListColumn>),
    Map(Box<MapColumn>),
    Json(Text),
}

pub struct Values<T> {
    values: Vec<T>,
    nulls: NullBufferBuilder,
}

pub struct Flags {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

pub struct Text {
    /// One more than there are values.
    ends: Vec<i32>,
    bytes: Vec<u8>,
    nulls: NullBufferBuilder,
}

/// Of a text that nobody has seen yet: too small a guess costs a copy, and so does each halving of it.
const TEXT_BYTES: usize = 16;

/// Room for `ratio` times what is there.
pub fn make_room<T>(values: &mut Vec<T>, ratio: f64) {
    let wanted = (values.len() as f64 * ratio) as usize;
    values.reserve_exact(wanted.saturating_sub(values.len()));
}

/// Of the ends of values: as many more that hold nothing.
pub fn repeat_last(ends: &mut Vec<i32>, count: usize) {
    let last = ends[ends.len() - 1];
    ends.resize(ends.len() + count, last);
}

impl<T: Copy + Default> Values<T> {
    fn new() -> Values<T> {
        Values { values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    #[inline]
    pub fn push(&mut self, value: T) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    fn push_nulls(&mut self, count: usize) {
        self.values.resize(self.values.len() + count, T::default());
        self.nulls.append_n_nulls(count);
    }

    fn truncate(&mut self, length: usize) {
        self.values.truncate(length);
        self.nulls.truncate(length);
    }

    fn finish(mut self) -> (Vec<T>, Option<NullBuffer>) {
        (self.values, self.nulls.finish())
    }
}

impl Flags {
    #[inline]
    fn push(&mut self, value: bool) {
        self.values.append(value);
        self.nulls.append_non_null();
    }

    fn push_nulls(&mut self, count: usize) {
        self.values.append_n(count, false);
        self.nulls.append_n_nulls(count);
    }
}

impl Text {
    pub fn new() -> Text {
        Text { ends: vec![0], bytes: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    pub fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// Appends what `write` adds to the bytes, which must be UTF-8.
    #[inline]
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.end();
        self.nulls.append_non_null();
    }

    pub fn push_nulls(&mut self, count: usize) {
        repeat_last(&mut self.ends, count);
        self.nulls.append_n_nulls(count);
    }

    #[inline]
    fn end(&mut self) {
        self.ends.push(i32::try_from(self.bytes.len()).expect("batches are cut before a column's text grows to 2 GiB"));
    }

    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.ends[index] as usize..self.ends[index + 1] as usize]
    }

    pub fn truncate(&mut self, length: usize) {
        if length < self.len() {
            self.ends.truncate(length + 1);
            self.bytes.truncate(self.ends[length] as usize);
            self.nulls.truncate(length);
        }
    }

    pub fn make_room(&mut self, ratio: f64) {
        make_room(&mut self.ends, ratio);
        make_room(&mut self.bytes, ratio);
    }

    pub fn expect(&mut self, rows: usize) {
        self.ends.reserve_exact(rows);
        self.bytes.reserve_exact(rows * TEXT_BYTES);
    }

    pub fn finish(mut self) -> StringArray {
        let ends = OffsetBuffer::new(self.ends.into());
        StringArray::try_new(ends, Buffer::from_vec(self.bytes), self.nulls.finish()).expect("only UTF-8 was appended")
    }
}

impl Column {
    pub fn new(sql_type: &SqlType) -> Column {
        match sql_type {
            SqlType::BigInt => Column::Integer(Values::new()),
            SqlType::Double => Column::Double(Values::new()),
            SqlType::Boolean => {
                Column::Boolean(Flags { values: BooleanBufferBuilder::new(0), nulls: NullBufferBuilder::new(0) })
            }
            SqlType::Varchar => Column::Text(Text::new()),
            SqlType::Date => Column::Date(Values::new()),
            SqlType::Timestamp => Column::Timestamp(Values::new()),
            SqlType::Decimal { precision, scale } => {
                Column::Decimal { values: Values::new(), precision: *precision, scale: *scale }
            }
            SqlType::Struct(fields) => Column::Struct(StructColumn::new(fields)),
            SqlType::Array(item) => Column::List(Box::new(ListColumn::new(item))),
            SqlType::Map(value) => Column::Map(Box::new(MapColumn::new(value))),
            SqlType::Json => Column::Json(Text::new()),
        }
    }

    /// From its first value on, the texts at `path` become hashes. `path` leads to a VARCHAR: the model was checked.
    pub fn hash(&mut self, path: &[String]) {
        match (self, path) {
            (Column::Struct(column), [name, rest @ ..]) => column.member(name).hash(rest),
            (Column::List(list), _) => list.items.hash(path),
            (Column::Map(map), _) => map.values.hash(path),
            (column, _) => *column = Column::Hashed(Text::new()),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.nulls().len()
    }

    #[inline]
    pub fn is_valid(&self, row: usize) -> bool {
        self.nulls().is_valid(row)
    }

    #[inline]
    fn nulls(&self) -> &NullBufferBuilder {
        match self {
            Column::Integer(Values { nulls, .. }) | Column::Timestamp(Values { nulls, .. }) => nulls,
            Column::Double(Values { nulls, .. }) => nulls,
            Column::Boolean(Flags { nulls, .. }) => nulls,
            Column::Text(Text { nulls, .. })
            | Column::Hashed(Text { nulls, .. })
            | Column::Json(Text { nulls, .. }) => nulls,
            Column::Date(Values { nulls, .. }) => nulls,
            Column::Decimal { values: Values { nulls, .. }, .. } => nulls,
            Column::Struct(StructColumn { nulls, .. }) => nulls,
            Column::List(list) => &list.nulls,
            Column::Map(map) => &map.nulls,
        }
    }

    /// Nulls up to this length, where it is shorter.
    #[inline]
    pub fn pad(&mut self, length: usize) {
        let missing = length.saturating_sub(self.len());
        if missing > 0 {
            self.push_nulls(missing);
        }
    }

    fn push_nulls(&mut self, count: usize) {
        match self {
            Column::Integer(values) | Column::Timestamp(values) => values.push_nulls(count),
            Column::Double(values) => values.push_nulls(count),
            Column::Boolean(flags) => flags.push_nulls(count),
            Column::Text(text) | Column::Hashed(text) | Column::Json(text) => text.push_nulls(count),
            Column::Date(values) => values.push_nulls(count),
            Column::Decimal { values, .. } => values.push_nulls(count),
            Column::Struct(column) => column.push_nulls(count),
            Column::List(list) => list.push_nulls(count),
            Column::Map(map) => map.push_nulls(count),
        }
    }

    /// Forgets all values from `length` on, also half-built ones.
    pub fn truncate(&mut self, length: usize) {
        match self {
            Column::Integer(values) | Column::Timestamp(values) => values.truncate(length),
            Column::Double(values) => values.truncate(length),
            Column::Boolean(flags) => {
                flags.values.truncate(length);
                flags.nulls.truncate(length);
            }
            Column::Text(text) | Column::Hashed(text) | Column::Json(text) => text.truncate(length),
            Column::Date(values) => values.truncate(length),
            Column::Decimal { values, .. } => values.truncate(length),
            Column::Struct(column) => column.truncate(length),
            Column::List(list) => list.truncate(length),
            Column::Map(map) => map.truncate(length),
        }
    }

    /// Expects so many rows, of which nothing is known.
    pub fn expect(&mut self, rows: usize) {
        match self {
            Column::Integer(values) | Column::Timestamp(values) => values.values.reserve_exact(rows),
            Column::Double(values) => values.values.reserve_exact(rows),
            Column::Date(values) => values.values.reserve_exact(rows),
            Column::Decimal { values, .. } => values.values.reserve_exact(rows),
            Column::Text(text) | Column::Hashed(text) | Column::Json(text) => text.expect(rows),
            Column::Struct(column) => column.expect(rows),
            Column::List(list) => list.expect(rows),
            Column::Map(map) => map.expect(rows),
            Column::Boolean(_) => {}
        }
    }

    /// Expects to grow to `ratio` times its length.
    pub fn make_room(&mut self, ratio: f64) {
        match self {
            Column::Integer(values) | Column::Timestamp(values) => make_room(&mut values.values, ratio),
            Column::Double(values) => make_room(&mut values.values, ratio),
            Column::Date(values) => make_room(&mut values.values, ratio),
            Column::Decimal { values, .. } => make_room(&mut values.values, ratio),
            Column::Text(text) | Column::Hashed(text) | Column::Json(text) => text.make_room(ratio),
            Column::Struct(column) => column.make_room(ratio),
            Column::List(list) => list.make_room(ratio),
            Column::Map(map) => map.make_room(ratio),
            Column::Boolean(_) => {} // an eighth of a byte each
        }
    }

    /// Appends the value that stands here.
    #[inline]
    pub fn append(&mut self, scanner: &mut Scanner) -> Step {
        scanner.space();
        let Some(first) = scanner.peek() else { return scanner.fail("a value expected") };
        if first == b'n' {
            scanner.literal("null")?;
            self.push_nulls(1);
            return Ok(());
        }
        match (self, first) {
            (Column::Text(text), b'"') => {
                let string = scanner.string()?;
                text.push_with(|out| string.append_to(out));
            }
            (Column::Hashed(text), b'"') => push_hash(text, scanner)?,
            (Column::Integer(values), b'-' | b'0'..=b'9') => values.push(number::read_integer(scanner, "BIGINT")?),
            (Column::Double(values), b'-' | b'0'..=b'9') => values.push(number::read_double(scanner)?),
            (Column::Decimal { values, precision, scale }, b'-' | b'0'..=b'9') => {
                values.push(number::read_decimal(scanner, *precision, *scale)?);
            }
            (Column::Decimal { values, precision, scale }, b'"') => {
                values.push(decimal_in_string(scanner, *precision, *scale)?);
            }
            (Column::Timestamp(values), b'"') => values.push(timestamp(scanner)?),
            (Column::Timestamp(values), b'-' | b'0'..=b'9') => {
                let millis = number::read_integer(scanner, "TIMESTAMP as milliseconds since 1970")?;
                values.push(time::from_epoch_millis(millis).ok_or_else(|| moment_fault(NotTime::Range))?);
            }
            (Column::Date(values), b'"') => values.push(date(scanner)?),
            (Column::Boolean(flags), b't') => {
                scanner.literal("true")?;
                flags.push(true);
            }
            (Column::Boolean(flags), b'f') => {
                scanner.literal("false")?;
                flags.push(false);
            }
            (Column::Struct(column), b'{') => column.append(scanner)?,
            (Column::List(list), b'[') => list.append(scanner)?,
            (Column::Map(map), b'{') => map.append(scanner)?,
            (Column::Json(text), _) => {
                let value = scanner.value()?;
                text.push_with(|out| out.extend_from_slice(value.as_bytes()));
            }
            (column, _) => return Err(wrong_type(column.expected(), scanner)),
        }
        Ok(())
    }

    #[cold]
    fn expected(&self) -> String {
        match self {
            Column::Integer(_) => "BIGINT".to_owned(),
            Column::Double(_) => "DOUBLE".to_owned(),
            Column::Boolean(_) => "BOOLEAN".to_owned(),
            Column::Text(_) | Column::Hashed(_) => "VARCHAR".to_owned(),
            Column::Date(_) => "DATE as a string YYYY-MM-DD".to_owned(),
            Column::Timestamp(_) => "TIMESTAMP as an RFC 3339 string or milliseconds since 1970".to_owned(),
            Column::Decimal { precision, scale, .. } => format!("DECIMAL({precision},{scale})"),
            Column::Struct(_) => "STRUCT (an object)".to_owned(),
            Column::List(_) => "ARRAY".to_owned(),
            Column::Map(_) => "MAP (an object)".to_owned(),
            Column::Json(_) => "JSON".to_owned(),
        }
    }

    pub fn finish(self) -> ArrayRef {
        match self {
            Column::Integer(values) => {
                let (values, nulls) = values.finish();
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Column::Double(values) => {
                let (values, nulls) = values.finish();
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            Column::Boolean(Flags { mut values, mut nulls }) => {
                Arc::new(BooleanArray::new(values.finish(), nulls.finish()))
            }
            Column::Text(text) | Column::Hashed(text) | Column::Json(text) => Arc::new(text.finish()),
            Column::Date(values) => {
                let (values, nulls) = values.finish();
                Arc::new(Date32Array::new(values.into(), nulls))
            }
            Column::Timestamp(values) => {
                let (values, nulls) = values.finish();
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
            }
            Column::Decimal { values, precision, scale } => {
                let (values, nulls) = values.finish();
                let values = Decimal128Array::new(values.into(), nulls);
                let values = values.with_precision_and_scale(precision, scale.cast_signed());
                Arc::new(values.expect("the model was checked"))
            }
            Column::Struct(column) => Arc::new(column.finish()),
            Column::List(list) => Arc::new(list.finish()),
            Column::Map(map) => Arc::new(map.finish()),
        }
    }
}

/// Says what stands here instead; after checking it, so that a broken record is called broken.
#[cold]
pub fn wrong_type(expected: impl std::fmt::Display, scanner: &mut Scanner) -> Box<Reject> {
    let found = match scanner.peek() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    };
    match scanner.value() {
        Ok(_) => Reject::new("wrong-type", format!("{expected} expected, {found} found")),
        Err(broken) => broken,
    }
}

/// The string that stands here, given to `read` without its escapes.
#[inline]
fn with_string<T>(scanner: &mut Scanner, read: impl FnOnce(&str) -> Step<T>) -> Step<T> {
    let string = scanner.string()?;
    if string.escaped { read(&string.to_text()) } else { read(string.raw) }
}

fn push_hash(text: &mut Text, scanner: &mut Scanner) -> Step {
    let hash = with_string(scanner, |text| Ok(Sha256::digest(text.as_bytes())))?;
    text.push_with(|out| {
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
        out.extend(hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    });
    Ok(())
}

fn decimal_in_string(scanner: &mut Scanner, precision: u8, scale: u8) -> Step<i128> {
    with_string(scanner, |text| {
        let mut inner = Scanner::new(text);
        if matches!(inner.peek(), Some(b'-' | b'0'..=b'9')) && inner.number().is_ok() && inner.at == text.len() {
            return number::decimal(text, precision, scale).map_err(|f| number::out_of_range(f, precision, scale));
        }
        Err(Reject::new("wrong-type", format!("DECIMAL({precision},{scale}) expected, another string found")))
    })
}

#[inline]
fn timestamp(scanner: &mut Scanner) -> Step<i64> {
    with_string(scanner, |text| time::timestamp(text.as_bytes()).map_err(moment_fault))
}

#[cold]
fn moment_fault(fault: NotTime) -> Box<Reject> {
    match fault {
        NotTime::Form => Reject::new(
            "wrong-type",
            "TIMESTAMP as YYYY-MM-DDTHH:MM:SS[.fraction][Z or ±HH:MM] expected, another string found",
        ),
        NotTime::Range => Reject::new("out-of-range", "TIMESTAMP holds moments of the years 0001 to 9999"),
    }
}

fn date(scanner: &mut Scanner) -> Step<i32> {
    with_string(scanner, |text| {
        time::date(text.as_bytes()).map_err(|fault| match fault {
            NotTime::Form => Reject::new("wrong-type", "DATE as YYYY-MM-DD expected, another string found"),
            NotTime::Range => Reject::new("out-of-range", "DATE holds days of the years 0001 to 9999"),
        })
    })
}
