use super::{
    column::{Column, Text, make_room, repeat_last},
    keys::{Key, Keys, Met},
    scanner::Scanner,
};
use crate::{
    reject::Step,
    schema::{element_field, entries_field, struct_fields},
};
use arrow_array::{ListArray, MapArray, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, FieldRef, Fields};
use outflow_api::{SqlType, StructField};
use std::{collections::HashMap, sync::Arc};

pub struct StructColumn {
    fields: Fields,
    keys: Keys,
    members: Vec<Column>,
    pub nulls: NullBufferBuilder,
}

pub struct ListColumn {
    element: FieldRef,
    /// One more than there are values.
    ends: Vec<i32>,
    pub items: Column,
    pub nulls: NullBufferBuilder,
}

pub struct MapColumn {
    entries: FieldRef,
    ends: Vec<i32>,
    names: Text,
    pub values: Column,
    pub nulls: NullBufferBuilder,
}

fn end(length: usize) -> i32 {
    i32::try_from(length).expect("batches are cut before a list grows to 2^31 items")
}

impl StructColumn {
    pub fn new(fields: &[StructField]) -> StructColumn {
        StructColumn {
            fields: struct_fields(fields),
            keys: Keys::new(fields.iter().map(|field| field.name.clone())),
            members: fields.iter().map(|field| Column::new(&field.sql_type)).collect(),
            nulls: NullBufferBuilder::new(0),
        }
    }

    pub fn member(&mut self, name: &str) -> &mut Column {
        let index = self.fields.iter().position(|field| field.name() == name);
        &mut self.members[index.expect("the model was checked: a hashed field is there")]
    }

    /// At an opening brace. Fields that nobody declared are skipped; of a repeated one the last counts.
    pub fn append(&mut self, scanner: &mut Scanner) -> Step {
        let StructColumn { fields, keys, members, nulls } = self;
        let row = nulls.len();
        let (mut previous, mut met) = (Keys::start(), Met::default());
        scanner.object(|scanner| match keys.next(scanner, &mut previous)? {
            Key::Declared(number) => {
                let member = &mut members[number];
                if met.perhaps_again(number) && member.len() > row {
                    member.truncate(row);
                }
                member.pad(row);
                member.append(scanner).map_err(|reject| reject.within(fields[number].name()))
            }
            Key::Stranger(_) => scanner.value().map(drop),
        })?;
        nulls.append_non_null();
        Ok(())
    }

    pub fn push_nulls(&mut self, count: usize) {
        self.nulls.append_n_nulls(count);
    }

    fn pad_members(&mut self) {
        let length = self.nulls.len();
        self.members.iter_mut().for_each(|member| member.pad(length));
    }

    pub fn truncate(&mut self, length: usize) {
        self.members.iter_mut().for_each(|member| member.truncate(length));
        self.nulls.truncate(length);
    }

    pub fn expect(&mut self, rows: usize) {
        self.members.iter_mut().for_each(|member| member.expect(rows));
    }

    pub fn make_room(&mut self, ratio: f64) {
        self.pad_members();
        self.members.iter_mut().for_each(|member| member.make_room(ratio));
    }

    pub fn finish(mut self) -> StructArray {
        self.pad_members();
        let members = self.members.into_iter().map(Column::finish).collect();
        StructArray::new(self.fields, members, self.nulls.finish())
    }
}

impl ListColumn {
    pub fn new(item: &SqlType) -> ListColumn {
        let (element, items) = (element_field(item), Column::new(item));
        ListColumn { element, ends: vec![0], items, nulls: NullBufferBuilder::new(0) }
    }

    /// At an opening bracket.
    pub fn append(&mut self, scanner: &mut Scanner) -> Step {
        let items = &mut self.items;
        let start = items.len();
        scanner.array(|scanner| {
            items.append(scanner).map_err(|reject| reject.within(&format!("[{}]", items.len() - start)))
        })?;
        self.ends.push(end(self.items.len()));
        self.nulls.append_non_null();
        Ok(())
    }

    pub fn push_nulls(&mut self, count: usize) {
        repeat_last(&mut self.ends, count);
        self.nulls.append_n_nulls(count);
    }

    pub fn truncate(&mut self, length: usize) {
        self.ends.truncate(length + 1);
        self.items.truncate(self.ends[self.ends.len() - 1] as usize);
        self.nulls.truncate(length);
    }

    /// Of the rows; how many items they have nobody knows.
    pub fn expect(&mut self, rows: usize) {
        self.ends.reserve_exact(rows);
    }

    pub fn make_room(&mut self, ratio: f64) {
        make_room(&mut self.ends, ratio);
        self.items.make_room(ratio);
    }

    pub fn finish(mut self) -> ListArray {
        ListArray::new(self.element, OffsetBuffer::new(self.ends.into()), self.items.finish(), self.nulls.finish())
    }
}

/// Larger maps look for repeated keys with a table.
const COMPARED_PAIRWISE_MAX: usize = 16;

impl MapColumn {
    pub fn new(value: &SqlType) -> MapColumn {
        let (names, values) = (Text::new(), Column::new(value));
        MapColumn { entries: entries_field(value), ends: vec![0], names, values, nulls: NullBufferBuilder::new(0) }
    }

    /// At an opening brace. A map has each key once: of a repeated one the last counts.
    pub fn append(&mut self, scanner: &mut Scanner) -> Step {
        let (start, at) = (self.names.len(), scanner.at);
        self.entries(scanner, |_| true)?;
        if self.repeats(start) {
            let mut last = HashMap::new();
            (start..self.names.len()).for_each(|entry| {
                last.insert(self.names.get(entry).to_vec(), entry);
            });
            let kept: Vec<bool> = (start..self.names.len()).map(|entry| last[self.names.get(entry)] == entry).collect();
            self.names.truncate(start);
            self.values.truncate(start);
            scanner.at = at;
            self.entries(scanner, |entry| kept[entry])?;
        }
        self.ends.push(end(self.names.len()));
        self.nulls.append_non_null();
        Ok(())
    }

    fn entries(&mut self, scanner: &mut Scanner, keep: impl Fn(usize) -> bool) -> Step {
        let MapColumn { names, values, .. } = self;
        let mut entry = 0;
        scanner.object(|scanner| {
            let key = scanner.string()?;
            scanner.colon()?;
            entry += 1;
            if !keep(entry - 1) {
                return scanner.value().map(drop);
            }
            names.push_with(|out| key.append_to(out));
            // A map's keys are data, which no message repeats.
            values.append(scanner).map_err(|reject| reject.within("{}"))
        })
    }

    fn repeats(&self, start: usize) -> bool {
        let keys = (start..self.names.len()).map(|entry| self.names.get(entry));
        if keys.len() <= COMPARED_PAIRWISE_MAX {
            return keys.clone().enumerate().any(|(index, key)| keys.clone().skip(index + 1).any(|other| other == key));
        }
        let distinct: std::collections::HashSet<_> = keys.clone().collect();
        distinct.len() < keys.len()
    }

    pub fn push_nulls(&mut self, count: usize) {
        repeat_last(&mut self.ends, count);
        self.nulls.append_n_nulls(count);
    }

    pub fn truncate(&mut self, length: usize) {
        self.ends.truncate(length + 1);
        let entries = self.ends[self.ends.len() - 1] as usize;
        self.names.truncate(entries);
        self.values.truncate(entries);
        self.nulls.truncate(length);
    }

    /// Of the rows; how many items they have nobody knows.
    pub fn expect(&mut self, rows: usize) {
        self.ends.reserve_exact(rows);
    }

    pub fn make_room(&mut self, ratio: f64) {
        make_room(&mut self.ends, ratio);
        self.names.make_room(ratio);
        self.values.make_room(ratio);
    }

    pub fn finish(mut self) -> MapArray {
        let DataType::Struct(fields) = self.entries.data_type().clone() else {
            unreachable!("a map's entries are structs: schema.rs says so")
        };
        let entries = StructArray::new(fields, vec![Arc::new(self.names.finish()), self.values.finish()], None);
        MapArray::new(self.entries, OffsetBuffer::new(self.ends.into()), entries, self.nulls.finish(), false)
    }
}
