//! Columns as the model has them → columns as BigQuery takes them.

use crate::types::{Column, Kind, Mode};
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray, StructArray, UInt64Array, cast::AsArray};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, NullBuffer, OffsetBuffer};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Fields};
use arrow_select::take::take;
use std::sync::Arc;

/// The rows in which an array holds null, if there are any: BigQuery's hold none.
pub fn with_null_elements(array: &dyn Array) -> Option<BooleanBuffer> {
    match array.data_type() {
        DataType::Struct(_) => {
            let found = array.as_struct().columns().iter().filter_map(|member| with_null_elements(member));
            let found = found.reduce(|one, other| &one | &other)?;
            Some(visible(found, array.nulls()))
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let null = list.values().logical_nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| !nulls.inner());
            let deeper = with_null_elements(list.values());
            let bad = match (null, deeper) {
                (Some(null), Some(deeper)) => &null | &deeper,
                (one, other) => one.or(other)?,
            };
            Some(visible(slots(list.offsets(), &bad), array.nulls()))
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let bad = with_null_elements(map.values())?;
            Some(visible(slots(map.offsets(), &bad), array.nulls()))
        }
        _ => None,
    }
}

fn visible(found: BooleanBuffer, nulls: Option<&NullBuffer>) -> BooleanBuffer {
    nulls.map_or(found.clone(), |nulls| &found & nulls.inner())
}

fn slots(offsets: &OffsetBuffer<i32>, bad: &BooleanBuffer) -> BooleanBuffer {
    let mut slots = BooleanBufferBuilder::new(offsets.len() - 1);
    for ends in offsets.windows(2) {
        slots.append((ends[0]..ends[1]).any(|at| bad.value(at as usize)));
    }
    slots.finish()
}

/// # Panics
/// If it is not what the column was made of.
pub fn converted(array: &ArrayRef, column: &Column) -> ArrayRef {
    if column.mode != Mode::Repeated {
        return scalar(array, column);
    }
    let (offsets, values) = match array.data_type() {
        DataType::Map(..) => {
            let map = array.as_map();
            (map.offsets().clone(), Arc::new(map.entries().clone()) as ArrayRef)
        }
        _ => {
            let list = array.as_list::<i32>();
            (list.offsets().clone(), Arc::clone(list.values()))
        }
    };
    let (offsets, values) = without_null_slots(offsets, values, array.nulls());
    let item = Column { mode: Mode::Nullable, ..column.clone() };
    let element = Arc::new(Field::new("element", item.field().data_type().clone(), true));
    Arc::new(ListArray::new(element, offsets, scalar(&values, &item), None))
}

fn scalar(array: &ArrayRef, column: &Column) -> ArrayRef {
    match &column.kind {
        Kind::BigNumeric { .. } => {
            cast(array, column.field().data_type()).expect("a wider decimal of the same scale holds all")
        }
        Kind::Struct(members) => {
            let parts = array.as_struct();
            let fields: Fields = members.iter().map(Column::field).collect();
            let parts = parts.columns().iter().zip(members).map(|(part, member)| converted(part, member)).collect();
            Arc::new(StructArray::new(fields, parts, array.nulls().cloned()))
        }
        _ => Arc::clone(array),
    }
}

/// No array is null in BigQuery: it is an empty one.
fn without_null_slots(
    offsets: OffsetBuffer<i32>,
    values: ArrayRef,
    nulls: Option<&NullBuffer>,
) -> (OffsetBuffer<i32>, ArrayRef) {
    let hidden = |slot: usize| nulls.is_some_and(|nulls| nulls.is_null(slot));
    let has_values = |slot: usize| offsets[slot] < offsets[slot + 1];
    if !(0..offsets.len() - 1).any(|slot| hidden(slot) && has_values(slot)) {
        return (offsets, values);
    }
    let shown = (0..offsets.len() - 1).map(|slot| if hidden(slot) { 0..0 } else { offsets[slot]..offsets[slot + 1] });
    let kept = UInt64Array::from_iter_values(shown.clone().flatten().map(|at| at as u64));
    let values = take(&values, &kept, None).expect("each index is of a value");
    (OffsetBuffer::from_lengths(shown.map(|range| range.len())), values)
}

/// Those that are not in `taken_out`.
pub fn others(taken_out: &BooleanBuffer) -> BooleanArray {
    BooleanArray::new(!taken_out, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Int64Array, types::Int64Type};

    fn list(rows: &[Option<Vec<Option<i64>>>]) -> ListArray {
        ListArray::from_iter_primitive::<Int64Type, _, _>(rows.iter().cloned())
    }

    fn found(array: &dyn Array) -> Vec<bool> {
        with_null_elements(array).map(|found| found.iter().collect()).unwrap_or_default()
    }

    #[test]
    fn nulls_are_found_in_arrays_at_any_depth_and_only_where_they_are_seen() {
        let rows = list(&[Some(vec![Some(1)]), None, Some(vec![None]), Some(vec![])]);
        assert_eq!(found(&rows), [false, false, true, false]);
        assert_eq!(found(&list(&[Some(vec![Some(1)]), None])), [false; 0]);
        let fields = Fields::from(vec![Field::new("tags", rows.data_type().clone(), true)]);
        let hidden = NullBuffer::from(vec![true, true, false, true]);
        let parts = StructArray::new(fields.clone(), vec![Arc::new(rows.clone())], Some(hidden));
        assert_eq!(found(&parts), [false; 4]);
        let parts = StructArray::new(fields, vec![Arc::new(rows)], None);
        let element = Arc::new(Field::new("element", parts.data_type().clone(), true));
        let outer = ListArray::new(element, OffsetBuffer::from_lengths([2, 0, 2]), Arc::new(parts), None);
        assert_eq!(found(&outer), [false, false, true]);
    }

    #[test]
    fn an_array_that_is_null_becomes_empty_also_where_values_hide_behind_it() {
        let element = Arc::new(Field::new("element", DataType::Int64, true));
        let values = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        let nulls = NullBuffer::from(vec![true, false, true]);
        let rows = ListArray::new(element, OffsetBuffer::from_lengths([1, 2, 1]), values, Some(nulls));
        let column = Column { name: "c".to_owned(), kind: Kind::Int64, mode: Mode::Repeated };
        let converted = converted(&(Arc::new(rows) as ArrayRef), &column);
        assert_eq!(converted.as_list::<i32>(), &list_of(&[&[1], &[], &[4]]));
    }

    fn list_of(rows: &[&[i64]]) -> ListArray {
        let element = Arc::new(Field::new("element", DataType::Int64, true));
        let values = Int64Array::from(rows.concat());
        ListArray::new(element, OffsetBuffer::from_lengths(rows.iter().map(|row| row.len())), Arc::new(values), None)
    }
}
