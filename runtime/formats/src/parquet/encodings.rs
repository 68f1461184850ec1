use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, RecordBatch,
    cast::AsArray,
    types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType},
};
use arrow_schema::{DataType, TimeUnit};
use parquet::{basic::Encoding, schema::types::ColumnPath};
use std::{collections::HashSet, hash::Hash};

/// Decimals up to this precision are Parquet integers.
const INTEGER_PRECISION_MAX: u8 = 18;
/// Values that are looked at to see whether a column repeats itself.
const SAMPLE: usize = 1024;
/// A dictionary is worth its hashing where at most every fourth value is a new one.
const REPEATS_MIN: usize = 4;

/// One column as Parquet sees it: a leaf of the schema's tree, with its values in all batches.
pub struct Leaf {
    pub path: ColumnPath,
    data_type: DataType,
    values: Vec<ArrayRef>,
}

pub struct Leaves;

impl Leaves {
    pub fn of(batches: &[RecordBatch]) -> Vec<Leaf> {
        let Some(first) = batches.first() else { return Vec::new() };
        let mut leaves = Vec::new();
        for (index, field) in first.schema_ref().fields().iter().enumerate() {
            let values = batches.iter().map(|batch| ArrayRef::clone(batch.column(index))).collect();
            collect(vec![field.name().clone()], field.data_type(), values, &mut leaves);
        }
        leaves
    }
}

fn collect(path: Vec<String>, data_type: &DataType, values: Vec<ArrayRef>, leaves: &mut Vec<Leaf>) {
    let below = |names: &[&str]| path.iter().cloned().chain(names.iter().map(|name| (*name).to_owned())).collect();
    match data_type {
        DataType::Struct(fields) => {
            for (index, field) in fields.iter().enumerate() {
                let members = values.iter().map(|array| ArrayRef::clone(array.as_struct().column(index))).collect();
                collect(below(&[field.name()]), field.data_type(), members, leaves);
            }
        }
        DataType::List(element) => {
            let items = values.iter().map(|array| {
                let list = array.as_list::<i32>();
                used(list.values(), list.offsets())
            });
            collect(below(&["list", element.name()]), element.data_type(), items.collect(), leaves);
        }
        DataType::Map(entries, _) => {
            let entries_of = |array: &ArrayRef, part: usize| {
                let map = array.as_map();
                used(map.entries().column(part), map.offsets())
            };
            let DataType::Struct(parts) = entries.data_type() else { return };
            for (index, part) in parts.iter().enumerate() {
                let column = values.iter().map(|array| entries_of(array, index)).collect();
                collect(below(&[entries.name(), part.name()]), part.data_type(), column, leaves);
            }
        }
        _ => leaves.push(Leaf { path: ColumnPath::new(path), data_type: data_type.clone(), values }),
    }
}

/// What a list's rows refer to: a slice of a list still carries the values of its neighbours.
fn used(values: &ArrayRef, ends: &[i32]) -> ArrayRef {
    let (start, end) = (ends.first().copied().unwrap_or(0), ends.last().copied().unwrap_or(0));
    values.slice(start as usize, (end - start) as usize)
}

impl Leaf {
    /// Used for the whole column, or from where its dictionary grows too large.
    pub fn encoding(&self) -> Encoding {
        match &self.data_type {
            DataType::Int64 | DataType::Date32 | DataType::Timestamp(..) => Encoding::DELTA_BINARY_PACKED,
            DataType::Decimal128(precision, _) if *precision <= INTEGER_PRECISION_MAX => Encoding::DELTA_BINARY_PACKED,
            _ => Encoding::PLAIN,
        }
    }

    pub fn repeats_its_values(&self) -> bool {
        match &self.data_type {
            DataType::Utf8 => self.repeats(|array, index| array.as_string::<i32>().value(index)),
            DataType::Int64 => self.repeats(number::<Int64Type>),
            DataType::Date32 => self.repeats(number::<Date32Type>),
            DataType::Decimal128(..) => self.repeats(number::<Decimal128Type>),
            DataType::Timestamp(TimeUnit::Microsecond, _) => self.repeats(number::<TimestampMicrosecondType>),
            DataType::Float64 => self.repeats(|array, index| number::<Float64Type>(array, index).to_bits()),
            _ => false,
        }
    }

    /// Looks at values in even steps: the same ones each time.
    fn repeats<'a, T: Eq + Hash + 'a>(&'a self, value: impl Fn(&'a ArrayRef, usize) -> T) -> bool {
        let total: usize = self.values.iter().map(|array| array.len()).sum();
        let step = total.div_ceil(SAMPLE).max(1);
        let (mut looked_at, mut distinct) = (0, HashSet::new());
        for array in &self.values {
            for index in (0..array.len()).step_by(step).filter(|index| array.is_valid(*index)) {
                looked_at += 1;
                distinct.insert(value(array, index));
            }
        }
        looked_at > 0 && distinct.len() * REPEATS_MIN <= looked_at
    }
}

fn number<T: ArrowPrimitiveType>(array: &ArrayRef, index: usize) -> T::Native {
    array.as_primitive::<T>().value(index)
}
