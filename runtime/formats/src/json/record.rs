use super::{
    column::{Column, Text, wrong_type},
    keys::{Key, Keys, Met},
    scanner::{Quoted, Scanner},
    shape::{Group, Place},
};
use crate::reject::{Reject, Step};
use arrow_array::ArrayRef;
use outflow_api::{Model, UnknownFields};
use std::sync::Arc;

/// The declared columns while they grow, and `_unknown`.
pub struct Columns {
    columns: Vec<Column>,
    required: Vec<usize>,
    root: Level,
    strangers: Strangers,
}

/// One object that paths lead through, with what was learned about its keys.
struct Level {
    keys: Keys,
    slots: Vec<Slot>,
}

struct Slot {
    name: String,
    columns: Vec<usize>,
    within: Option<Level>,
    /// All columns of this field and within it: what a repeated field takes back.
    all: Vec<usize>,
}

/// Fields of the top level that no column names.
struct Strangers {
    policy: UnknownFields,
    /// `{"a":1,"b":2` of the record at hand, closed at its end.
    gathered: Vec<u8>,
    kept: Text,
}

impl Level {
    fn new(group: &Group) -> Level {
        let keys = Keys::new(group.places.iter().map(|place| place.name.clone()));
        Level { keys, slots: group.places.iter().map(Slot::new).collect() }
    }
}

impl Slot {
    fn new(place: &Place) -> Slot {
        let within = place.within.as_ref().map(Level::new);
        let inner = within.iter().flat_map(|level| level.slots.iter().flat_map(|slot| slot.all.iter().copied()));
        let all = place.columns.iter().copied().chain(inner).collect();
        Slot { name: place.name.clone(), columns: place.columns.clone(), within, all }
    }

    fn take_back(&self, columns: &mut [Column], row: usize) {
        for index in &self.all {
            if columns[*index].len() > row {
                columns[*index].truncate(row);
            }
        }
    }
}

fn column(declared: &outflow_api::Column) -> Column {
    let mut column = Column::new(&declared.sql_type);
    declared.hashed.iter().for_each(|path| column.hash(path));
    column
}

impl Columns {
    pub fn new(model: &Model, root: &Group) -> Columns {
        Columns {
            columns: model.columns.iter().map(column).collect(),
            required: (0..model.columns.len()).filter(|index| model.columns[*index].required).collect(),
            root: Level::new(root),
            strangers: Strangers { policy: model.unknown, gathered: Vec::new(), kept: Text::new() },
        }
    }

    /// Appends the record as row `row`, or nothing at all.
    pub fn append(&mut self, text: &str, row: usize, model: &Model) -> Step {
        self.read(text, row, model).inspect_err(|_| {
            self.columns.iter_mut().for_each(|column| column.truncate(row));
            self.strangers.kept.truncate(row);
        })
    }

    fn read(&mut self, text: &str, row: usize, model: &Model) -> Step {
        let scanner = &mut Scanner::new(text);
        scanner.space();
        if scanner.peek() != Some(b'{') {
            return Err(not_an_object(scanner));
        }
        self.strangers.gathered.clear();
        read_level(&mut self.root, &mut self.columns, row, scanner, Some(&mut self.strangers))?;
        the_end(scanner)?;
        let lacks = |index: &usize| self.columns[*index].len() <= row || !self.columns[*index].is_valid(row);
        if let Some(index) = self.required.iter().copied().find(lacks) {
            let missing = Reject::new("missing-required", "a value is required, null or none found");
            return Err(missing.within(&model.columns[index].path.join(".")));
        }
        self.strangers.end_record();
        Ok(())
    }

    pub fn expect(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.expect(rows));
    }

    /// Of `rows` that there are, to `ratio` times as many.
    pub fn make_room(&mut self, rows: usize, ratio: f64) {
        self.pad(rows);
        self.columns.iter_mut().for_each(|column| column.make_room(ratio));
        self.strangers.kept.make_room(ratio);
    }

    fn pad(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.pad(rows));
    }

    pub fn finish(mut self, rows: usize) -> Vec<ArrayRef> {
        self.pad(rows);
        let mut arrays: Vec<ArrayRef> = self.columns.into_iter().map(Column::finish).collect();
        if self.strangers.policy == UnknownFields::Keep {
            arrays.push(Arc::new(self.strangers.kept.finish()));
        }
        arrays
    }
}

/// At an opening brace. Of a repeated field the last counts, with all that lies within it.
fn read_level(
    level: &mut Level,
    columns: &mut [Column],
    row: usize,
    scanner: &mut Scanner,
    mut strangers: Option<&mut Strangers>,
) -> Step {
    let Level { keys, slots } = level;
    let (mut previous, mut met) = (Keys::start(), Met::default());
    scanner.object(|scanner| match keys.next(scanner, &mut previous)? {
        Key::Declared(number) => {
            let slot = &mut slots[number];
            if met.perhaps_again(number) {
                slot.take_back(columns, row);
            }
            read_slot(slot, columns, row, scanner).map_err(|reject| reject.within(&slot.name))
        }
        Key::Stranger(key) => {
            let value = scanner.value()?;
            strangers.as_mut().map_or(Ok(()), |strangers| strangers.meet(key, value))
        }
    })
}

#[inline]
fn read_slot(slot: &mut Slot, columns: &mut [Column], row: usize, scanner: &mut Scanner) -> Step {
    scanner.space();
    let start = scanner.at;
    for column in &slot.columns {
        scanner.at = start;
        columns[*column].pad(row);
        columns[*column].append(scanner)?;
    }
    let Some(within) = &mut slot.within else {
        // What nobody reads was left out of the model.
        return if slot.columns.is_empty() { scanner.value().map(drop) } else { Ok(()) };
    };
    scanner.at = start;
    match scanner.peek() {
        Some(b'{') => read_level(within, columns, row, scanner, None),
        Some(b'n') => scanner.literal("null"),
        _ => Err(wrong_type("an object", scanner)),
    }
}

impl Strangers {
    fn meet(&mut self, key: Quoted, value: &str) -> Step {
        match self.policy {
            UnknownFields::Ignore => {}
            UnknownFields::Reject => {
                return Err(Reject::new("unknown-field", "no column is read from it").within(&key.to_text()));
            }
            UnknownFields::Keep => {
                self.gathered.push(if self.gathered.is_empty() { b'{' } else { b',' });
                self.gathered.push(b'"');
                self.gathered.extend_from_slice(key.raw.as_bytes());
                self.gathered.extend_from_slice(b"\":");
                self.gathered.extend_from_slice(value.as_bytes());
            }
        }
        Ok(())
    }

    fn end_record(&mut self) {
        match (self.policy, self.gathered.is_empty()) {
            (UnknownFields::Ignore | UnknownFields::Reject, _) => {}
            (UnknownFields::Keep, true) => self.kept.push_nulls(1),
            (UnknownFields::Keep, false) => {
                self.gathered.push(b'}');
                self.kept.push_with(|out| out.extend_from_slice(&self.gathered));
            }
        }
    }
}

fn the_end(scanner: &mut Scanner) -> Step {
    scanner.space();
    if scanner.at == scanner.text.len() { Ok(()) } else { scanner.fail("the end of the record expected") }
}

#[cold]
fn not_an_object(scanner: &mut Scanner) -> Box<Reject> {
    let checked = scanner.value().and_then(|_| the_end(scanner));
    checked.err().unwrap_or_else(|| Reject::new("not-an-object", "a JSON object expected at the record's top level"))
}
