use crate::{
    escape::{NULL, NULL_AS_FOLDER},
    settings::wrong,
};
use arrow_schema::{DataType, Schema};
use outflow_api::{BatchId, Fault};

/// How an object's key is made from a batch and its rows. Checked against the model's columns when it is parsed, so
/// that a lane with a wrong template never opens.
#[derive(Debug)]
pub struct Template {
    pub parts: Vec<Part>,
    extension: &'static str,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    Text(String),
    /// Always there: a key that contains the whole batch id is never written by another batch.
    Batch,
    Shard,
    Connector,
    /// The same for all rows of a piece, different from piece to piece.
    Row(Field),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Field {
    Topic,
    Partition,
    Value { column: usize, name: String },
    Time { column: usize, name: String, format: String },
}

/// Behind `{created_at:`; nothing finer than a minute, or every row would have an object of its own.
const TIME_FIELDS: &str = "%Y %y %m %d %j %H %M %F %%";
const TEMPLATE_BYTES_MAX: usize = 500;
const FIELDS_MAX: usize = 10;
const EXTENSIONS: [&str; 6] = [".parquet", ".ndjson.gz", ".ndjson.zst", ".ndjson", ".jsonl", ".json"];

impl Template {
    pub fn parse(
        partition_by: Option<&str>,
        key: Option<&str>,
        extension: &'static str,
        schema: &Schema,
    ) -> Result<Template, Fault> {
        let folders = partition_by.unwrap_or_default().trim_matches('/');
        let key = key.unwrap_or("{batch}").trim_start_matches('/');
        let key = EXTENSIONS.iter().find_map(|known| key.strip_suffix(known)).unwrap_or(key);
        if folders.len() + key.len() > TEMPLATE_BYTES_MAX {
            return Err(wrong(format!("partition_by and key together exceed {TEMPLATE_BYTES_MAX} bytes")));
        }
        let mut parts = parse_parts(folders, schema)?;
        if !folders.is_empty() {
            parts.push(Part::Text("/".to_owned()));
        }
        parts.extend(parse_parts(key, schema)?);
        if parts.iter().filter(|part| matches!(part, Part::Row(_))).count() > FIELDS_MAX {
            return Err(wrong(format!("partition_by and key together name more than {FIELDS_MAX} fields")));
        }
        put_batch_into_file_name(&mut parts);
        check_folders(&parts)?;
        Ok(Template { parts, extension })
    }

    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.parts.iter().filter_map(|part| match part {
            Part::Row(field) => Some(field),
            _ => None,
        })
    }

    /// `values` are those of [`Template::fields`], escaped.
    pub fn key<'v>(&self, id: BatchId, connector: &str, values: impl IntoIterator<Item = &'v str>) -> String {
        let mut values = values.into_iter();
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Batch => key.push_str(&id.to_string()),
                Part::Shard => key.push_str(&id.shard.0.to_string()),
                Part::Connector => key.push_str(connector),
                Part::Row(_) => {
                    let value = values.next().expect("one value for each field");
                    // A folder of this very name would be hidden from query engines: see `escape`.
                    let hidden = value == NULL && (key.is_empty() || key.ends_with('/'));
                    key.push_str(if hidden { NULL_AS_FOLDER } else { value });
                }
            }
        }
        key.push_str(self.extension);
        key
    }
}

fn parse_parts(text: &str, schema: &Schema) -> Result<Vec<Part>, Fault> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        push_text(&mut parts, &rest[..open])?;
        let Some(close) = rest[open..].find('}') else {
            return Err(wrong(format!("{text:?}: a {{ without its }}")));
        };
        parts.push(parse_field(&rest[open + 1..open + close], schema)?);
        rest = &rest[open + close + 1..];
    }
    push_text(&mut parts, rest)?;
    Ok(parts)
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.=+@/ ".contains(c);
    if let Some(c) = text.chars().find(|c| !fits(*c)) {
        return Err(wrong(format!(
            "{c:?} cannot be part of a key: letters, digits and -_.=+@ are allowed, / between folders, and fields in \
             braces"
        )));
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

fn parse_field(text: &str, schema: &Schema) -> Result<Part, Fault> {
    let (name, format) = text.split_once(':').map_or((text, None), |(name, format)| (name, Some(format)));
    let column = |name: &str| schema.column_with_name(name).map(|(index, field)| (index, field.data_type().clone()));
    match (name, format) {
        ("batch", None) => return Ok(Part::Batch),
        ("shard", None) => return Ok(Part::Shard),
        ("connector", None) => return Ok(Part::Connector),
        ("topic", None) if column("topic").is_none() => return Ok(Part::Row(Field::Topic)),
        ("partition", None) if column("partition").is_none() => return Ok(Part::Row(Field::Partition)),
        _ => {}
    }
    // The record's own time goes by a friendlier name, unless the model has a column of that name.
    let lineage = name == "timestamp" && column(name).is_none();
    let known = column(if lineage { "_timestamp" } else { name });
    let Some((column, kind)) = known else {
        if lineage {
            return Err(wrong("{timestamp:…} is the record's own time: the model needs its lineage columns for it"));
        }
        return Err(wrong(format!("{{{text}}}: no such column; allowed are {}", allowed(schema))));
    };
    let name = name.to_owned();
    match format {
        Some(format) if is_time(&kind) => {
            check_time(text, format)?;
            Ok(Part::Row(Field::Time { column, name, format: format.to_owned() }))
        }
        Some(_) => Err(wrong(format!("{{{text}}}: {name} is no TIMESTAMP or DATE: write {{{name}}}"))),
        None if matches!(kind, DataType::Timestamp(..)) => Err(wrong(format!(
            "{{{text}}}: a time needs a format such as {{{name}:%Y-%m-%d}}, or every row would have its own object"
        ))),
        None if is_value(&kind) => Ok(Part::Row(Field::Value { column, name })),
        None => Err(wrong(format!(
            "{{{text}}}: {name} is {kind}, which cannot be part of a key; allowed are {}",
            allowed(schema)
        ))),
    }
}

fn is_time(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..) | DataType::Date32)
}

fn is_value(kind: &DataType) -> bool {
    let text = matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    text || matches!(kind, DataType::Int64 | DataType::Int32 | DataType::Boolean | DataType::Date32)
}

fn check_time(text: &str, format: &str) -> Result<(), Fault> {
    let mut chars = format.chars();
    let mut fields = 0;
    while let Some(c) = chars.next() {
        let known = match c {
            '%' => chars.next().is_some_and(|field| TIME_FIELDS.contains(&format!("%{field}"))),
            c => c.is_ascii_alphanumeric() || "-_.=/".contains(c),
        };
        if !known {
            return Err(wrong(format!("{{{text}}}: of times, {TIME_FIELDS} are allowed, with -_.=/ between them")));
        }
        fields += usize::from(c == '%');
    }
    if fields == 0 {
        return Err(wrong(format!("{{{text}}}: names no part of the time; allowed are {TIME_FIELDS}")));
    }
    Ok(())
}

fn allowed(schema: &Schema) -> String {
    let columns = schema.fields().iter().filter_map(|field| match field.data_type() {
        DataType::Timestamp(..) => Some(format!("{{{}:%Y-%m-%d}}", field.name())),
        kind if is_value(kind) => Some(format!("{{{}}}", field.name())),
        _ => None,
    });
    let columns: Vec<String> = columns.take(50).collect();
    format!("{{batch}}, {{topic}}, {{partition}}, {{connector}}, {{shard}}, {}", columns.join(", "))
}

fn put_batch_into_file_name(parts: &mut Vec<Part>) {
    let after_folders = parts.iter().rposition(|part| matches!(part, Part::Text(text) if text.contains('/')));
    let folder_ends = matches!(parts.last(), Some(Part::Text(text)) if text.ends_with('/')) || parts.is_empty();
    let file_name = &parts[after_folders.map_or(0, |at| at + 1)..];
    // A format such as {at:%Y/%m} brings slashes of its own: what stands before it is no part of the file's name.
    let time = |part: &Part| matches!(part, Part::Row(Field::Time { format, .. }) if format.contains('/'));
    let from = file_name.iter().rposition(time).map_or(0, |at| at + 1);
    if file_name[from..].contains(&Part::Batch) {
        return;
    }
    if !folder_ends {
        parts.push(Part::Text("-".to_owned()));
    }
    parts.push(Part::Batch);
}

fn check_folders(parts: &[Part]) -> Result<(), Fault> {
    let shown = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Row(Field::Time { format, .. }) => format.clone(),
        _ => "x".to_owned(),
    };
    let path: String = parts.iter().map(shown).collect();
    if path.split('/').any(|folder| folder.is_empty() || folder == "." || folder == "..") {
        return Err(wrong("partition_by and key have an empty folder, or one named . or .."));
    }
    // Query engines skip names that begin so; rows in there would be delivered and never seen.
    if path.split('/').any(|folder| folder.starts_with('.') || folder.starts_with('_')) {
        return Err(wrong("names in partition_by and key must not begin with . or _: query engines skip such folders"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::{Field as Column, TimeUnit};
    use outflow_api::{Generation, Incarnation, LaneId, Shard};

    const ID: BatchId = BatchId {
        incarnation: Incarnation(0x4f1c),
        shard: Shard(3),
        generation: Generation(42),
        lane: LaneId(7),
        seq: 1,
    };
    const NAME: &str = "0000000000004f1c-0003-00000000002a-00000007-00000001";

    fn schema() -> Schema {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Schema::new(vec![
            Column::new("created_at", micros.clone(), true),
            Column::new("country", DataType::Utf8, true),
            Column::new("weight", DataType::Float64, true),
            Column::new("_timestamp", micros, true),
        ])
    }

    fn parse(partition_by: &str, key: &str) -> Result<Template, Fault> {
        let given = |text: &'static str| (!text.is_empty()).then_some(text);
        let leak = |text: &str| given(Box::leak(text.to_owned().into_boxed_str()));
        Template::parse(leak(partition_by), leak(key), ".parquet", &schema())
    }

    fn wrong(partition_by: &str) -> String {
        parse(partition_by, "").expect_err("wrong").to_string()
    }

    #[test]
    fn the_batch_id_is_always_in_the_file_name() {
        let key = |partition_by: &str, key: &str| {
            let template = parse(partition_by, key).expect("a template");
            let values: Vec<&str> = template.fields().map(|_| "v").collect();
            template.key(ID, "orders", values)
        };
        assert_eq!(key("", ""), format!("{NAME}.parquet"));
        assert_eq!(key("dt={created_at:%Y-%m-%d}", ""), format!("dt=v/{NAME}.parquet"));
        assert_eq!(key("", "{connector}/{shard}-part.parquet"), format!("orders/3-part-{NAME}.parquet"));
        assert_eq!(key("", "{topic}/"), format!("v/{NAME}.parquet"));
        assert_eq!(key("", "{batch}/rows"), format!("{NAME}/rows-{NAME}.parquet"));
        assert_eq!(key("", "{batch}-{timestamp:%Y/%m}"), format!("{NAME}-v-{NAME}.parquet"));
    }

    #[test]
    fn a_wrong_template_says_what_is_allowed() {
        assert!(wrong("dt={created}").contains("{created_at:%Y-%m-%d}, {country}"));
        assert!(wrong("w={weight}").contains("weight is Float64"));
        assert!(wrong("dt={created_at}").contains("{created_at:%Y-%m-%d}"));
        assert!(wrong("dt={created_at:%S}").contains("%Y %y %m"));
        assert!(wrong("dt={created_at:day}").contains("names no part of the time"));
        assert!(wrong("c={country:%Y}").contains("no TIMESTAMP or DATE"));
        assert!(wrong("dt={created_at:%Y").contains("without its }"));
        assert!(wrong("a/../b").contains(". or .."));
        assert!(wrong("_hidden/{country}").contains("query engines skip"));
        assert!(wrong("a\\b").contains("cannot be part of a key"));
    }
}
