//! Columns as the model has them → fields of protobuf messages, row by row.

use crate::{
    types::{Column, Kind},
    wire::{Tag, decimal, delimited},
};
use arrow_array::{
    Array, StringArray,
    cast::AsArray,
    types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType},
};
use arrow_buffer::{BooleanBuffer, NullBuffer};

/// One column of a record batch, ready to be read by row.
pub struct Cells<'a> {
    /// In front of each value.
    tag: Tag,
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Int64(&'a [i64]),
    Float64(&'a [f64]),
    Bool(&'a BooleanBuffer),
    Text(&'a StringArray),
    Date(&'a [i32]),
    Decimal { values: &'a [i128], scale: u8 },
    Struct(Vec<Cells<'a>>),
    Repeated { offsets: &'a [i32], items: Box<Values<'a>> },
}

/// # Panics
/// If they are not what the columns were made of.
pub fn of<'a>(arrays: impl IntoIterator<Item = &'a dyn Array>, columns: &[Column]) -> Vec<Cells<'a>> {
    let both = arrays.into_iter().zip(columns).enumerate();
    both.map(|(at, (array, column))| Cells::of(array, column, at as u32 + 1)).collect()
}

impl<'a> Cells<'a> {
    fn of(array: &'a dyn Array, column: &Column, number: u32) -> Cells<'a> {
        let values = match array.data_type() {
            arrow_schema::DataType::Map(..) => {
                let map = array.as_map();
                let items = Box::new(Values::of(map.entries(), &column.kind));
                Values::Repeated { offsets: map.offsets(), items }
            }
            arrow_schema::DataType::List(_) => {
                let list = array.as_list::<i32>();
                let items = Box::new(Values::of(&**list.values(), &column.kind));
                Values::Repeated { offsets: list.offsets(), items }
            }
            _ => Values::of(array, &column.kind),
        };
        Cells { tag: Tag::new(number, values.is_delimited(), values.is_fixed()), nulls: array.nulls(), values }
    }

    /// Nothing, where there is no value: that is how it is left out.
    pub fn write(&self, row: usize, into: &mut Vec<u8>) {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return;
        }
        match &self.values {
            Values::Repeated { offsets, items } => {
                (offsets[row]..offsets[row + 1]).for_each(|at| items.write(self.tag, at as usize, into));
            }
            values => values.write(self.tag, row, into),
        }
    }
}

impl<'a> Values<'a> {
    /// Without regard to arrays of them.
    fn of(array: &'a dyn Array, kind: &Kind) -> Values<'a> {
        match kind {
            Kind::Int64 => Values::Int64(array.as_primitive::<Int64Type>().values()),
            Kind::Timestamp => Values::Int64(array.as_primitive::<TimestampMicrosecondType>().values()),
            Kind::Float64 => Values::Float64(array.as_primitive::<Float64Type>().values()),
            Kind::Bool => Values::Bool(array.as_boolean().values()),
            Kind::String | Kind::Json => Values::Text(array.as_string::<i32>()),
            Kind::Date => Values::Date(array.as_primitive::<Date32Type>().values()),
            Kind::Numeric { scale, .. } | Kind::BigNumeric { scale, .. } => {
                Values::Decimal { values: array.as_primitive::<Decimal128Type>().values(), scale: *scale }
            }
            Kind::Struct(members) => {
                Values::Struct(of(array.as_struct().columns().iter().map(|part| &**part), members))
            }
        }
    }

    fn is_delimited(&self) -> bool {
        match self {
            Values::Text(_) | Values::Decimal { .. } | Values::Struct(_) => true,
            Values::Repeated { items, .. } => items.is_delimited(),
            Values::Int64(_) | Values::Float64(_) | Values::Bool(_) | Values::Date(_) => false,
        }
    }

    fn is_fixed(&self) -> bool {
        match self {
            Values::Repeated { items, .. } => items.is_fixed(),
            other => matches!(other, Values::Float64(_)),
        }
    }

    #[inline]
    fn write(&self, tag: Tag, row: usize, into: &mut Vec<u8>) {
        tag.write(into);
        match self {
            Values::Int64(values) => crate::wire::varint(values[row].cast_unsigned(), into),
            Values::Float64(values) => into.extend_from_slice(&values[row].to_le_bytes()),
            Values::Bool(values) => into.push(u8::from(values.value(row))),
            Values::Text(values) => {
                let text = values.value(row).as_bytes();
                crate::wire::varint(text.len() as u64, into);
                into.extend_from_slice(text);
            }
            // Of 32 bits, and written as one of 64.
            Values::Date(values) => crate::wire::varint(i64::from(values[row]).cast_unsigned(), into),
            Values::Decimal { values, scale } => delimited(into, |into| decimal(values[row], *scale, into)),
            Values::Struct(members) => {
                delimited(into, |into| members.iter().for_each(|member| member.write(row, into)));
            }
            Values::Repeated { .. } => unreachable!("BigQuery has no arrays of arrays"),
        }
    }
}
