//! Rows as lines of bytes, the same for the same row whatever server or version tells it.
//!
//! Each value is written with its field's name, its kind and its length, numbers bit by bit. JSON is written by its value, keys in
//! order: a restore may write it with other blanks.

use milvus::proto::schema::{FieldData, ScalarField, VectorField, field_data, scalar_field, vector_field};

/// A primary key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

impl Key {
    /// As it is written in an expression.
    pub(super) fn literal(&self) -> String {
        let Key::Text(text) = self else { return self.to_string() };
        let mut out = String::from("\"");
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c => out.push(c),
            }
        }
        out.push('"');
        out
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Number(n) => n.fmt(f),
            Key::Text(t) => t.fmt(f),
        }
    }
}

/// The values of a field, one for each row that has one.
enum Values<'a> {
    Scalars(&'a scalar_field::Data),
    Floats(usize, &'a [f32]),
    Bytes(usize, &'a [u8]),
}

/// A field of a page.
pub(super) struct Column<'a> {
    name: &'a str,
    kind: i32,
    values: Values<'a>,
    /// Whether the row has a value; empty if all have.
    valid: &'a [bool],
    stored: usize,
}

fn scalars(data: &scalar_field::Data) -> Option<usize> {
    use scalar_field::Data as D;
    Some(match data {
        D::BoolData(v) => v.data.len(),
        D::IntData(v) => v.data.len(),
        D::LongData(v) => v.data.len(),
        D::FloatData(v) => v.data.len(),
        D::DoubleData(v) => v.data.len(),
        D::StringData(v) => v.data.len(),
        D::JsonData(v) => v.data.len(),
        D::ArrayData(v) => v.data.len(),
        _ => return None,
    })
}

impl<'a> Column<'a> {
    fn new(field: &'a FieldData) -> Result<Column<'a>, String> {
        let name = field.field_name.as_str();
        let wrong = || format!("field `{name}` came in a form that gameday cannot read");
        let dim = |v: &VectorField| usize::try_from(v.dim).ok().filter(|d| *d > 0).ok_or_else(wrong);
        let (values, stored, newer): (_, _, &[bool]) = match field.field.as_ref() {
            Some(field_data::Field::Scalars(s)) => {
                let data = s.data.as_ref().ok_or_else(wrong)?;
                (Values::Scalars(data), scalars(data).ok_or_else(wrong)?, &s.valid_data)
            }
            Some(field_data::Field::Vectors(v)) => {
                use vector_field::Data as D;
                let (values, width, len) = match v.data.as_ref() {
                    Some(D::FloatVector(f)) => (Values::Floats(dim(v)?, &f.data), dim(v)?, f.data.len()),
                    Some(D::BinaryVector(b)) => (Values::Bytes(dim(v)? / 8, b), dim(v)? / 8, b.len()),
                    Some(D::Float16Vector(b) | D::Bfloat16Vector(b)) => {
                        (Values::Bytes(dim(v)? * 2, b), dim(v)? * 2, b.len())
                    }
                    Some(D::Int8Vector(b)) => (Values::Bytes(dim(v)?, b), dim(v)?, b.len()),
                    _ => return Err(wrong()),
                };
                if width == 0 || !len.is_multiple_of(width) {
                    return Err(wrong());
                }
                (values, len / width, &v.valid_data)
            }
            _ => return Err(wrong()),
        };
        let valid = if newer.is_empty() { field.valid_data.as_slice() } else { newer };
        Ok(Column { name, kind: field.r#type, values, valid, stored })
    }

    fn rows(&self) -> usize {
        if self.valid.is_empty() { self.stored } else { self.valid.len() }
    }

    /// Where the value of each row is among those that are stored: servers leave out null, or write something in its place.
    fn places(&self) -> Result<Vec<Option<usize>>, String> {
        let all = self.rows();
        let some = self.valid.iter().filter(|v| **v).count();
        if self.stored == all {
            return Ok((0..all).map(|i| self.valid.get(i).copied().unwrap_or(true).then_some(i)).collect());
        }
        if self.stored != some {
            return Err(format!("field `{}`: {} values for {some} of {all} rows", self.name, self.stored));
        }
        let mut next = 0..;
        Ok(self.valid.iter().map(|v| if *v { next.next() } else { None }).collect())
    }

    /// The value at a place, as bytes.
    pub(super) fn value(&self, at: usize) -> Result<Vec<u8>, String> {
        Ok(match &self.values {
            Values::Floats(dim, all) => {
                all[at * dim..(at + 1) * dim].iter().flat_map(|x| x.to_le_bytes()).collect()
            }
            Values::Bytes(width, all) => all[at * width..(at + 1) * width].to_vec(),
            Values::Scalars(data) => scalar(data, at)
                .ok_or_else(|| format!("field `{}` holds a value that gameday cannot read", self.name))?,
        })
    }

    fn key(&self, at: usize) -> Option<Key> {
        match &self.values {
            Values::Scalars(scalar_field::Data::LongData(v)) => v.data.get(at).copied().map(Key::Number),
            Values::Scalars(scalar_field::Data::StringData(v)) => v.data.get(at).cloned().map(Key::Text),
            _ => None,
        }
    }
}

fn scalar(data: &scalar_field::Data, at: usize) -> Option<Vec<u8>> {
    use scalar_field::Data as D;
    Some(match data {
        D::BoolData(v) => vec![u8::from(*v.data.get(at)?)],
        D::IntData(v) => v.data.get(at)?.to_le_bytes().to_vec(),
        D::LongData(v) => v.data.get(at)?.to_le_bytes().to_vec(),
        D::FloatData(v) => v.data.get(at)?.to_le_bytes().to_vec(),
        D::DoubleData(v) => v.data.get(at)?.to_le_bytes().to_vec(),
        D::StringData(v) => v.data.get(at)?.as_bytes().to_vec(),
        D::JsonData(v) => json(v.data.get(at)?),
        D::ArrayData(v) => array(v.data.get(at)?)?,
        _ => return None,
    })
}

/// The elements of an array, each with its length.
fn array(field: &ScalarField) -> Option<Vec<u8>> {
    // An empty array has no elements of any kind.
    let Some(data) = &field.data else { return Some(Vec::new()) };
    let mut out = Vec::new();
    for i in 0..scalars(data)? {
        match field.valid_data.get(i) {
            Some(false) => out.push(0),
            _ => put(&mut out, &scalar(data, i)?),
        }
    }
    Some(out)
}

/// A value with its length before it.
fn put(out: &mut Vec<u8>, value: &[u8]) {
    out.push(1);
    out.extend((value.len() as u64).to_le_bytes());
    out.extend(value);
}

/// JSON by its value; what is none, or holds numbers that would be rounded, as it stands.
fn json(text: &[u8]) -> Vec<u8> {
    let exact = |v: &serde_json::Value| serde_json::to_vec(&ordered(v)).unwrap_or_else(|_| text.to_vec());
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(value) if !is_rounded(&value) => exact(&value),
        _ => text.to_vec(),
    }
}

/// Whether a number in it may have lost digits: a float beyond the whole numbers that floats can hold.
fn is_rounded(value: &serde_json::Value) -> bool {
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    match value {
        serde_json::Value::Number(n) => n.is_f64() && n.as_f64().is_none_or(|x| x.abs() >= WHOLE),
        serde_json::Value::Array(all) => all.iter().any(is_rounded),
        serde_json::Value::Object(all) => all.values().any(is_rounded),
        _ => false,
    }
}

fn ordered(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Array(all) => all.iter().map(ordered).collect(),
        serde_json::Value::Object(all) => {
            let mut keys: Vec<&String> = all.keys().collect();
            keys.sort();
            keys.into_iter().map(|k| (k.clone(), ordered(&all[k]))).collect::<serde_json::Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// A page of rows.
pub(super) struct Page<'a> {
    /// The primary keys.
    pub(super) keys: Vec<Key>,
    columns: Vec<(Column<'a>, Vec<Option<usize>>)>,
}

impl<'a> Page<'a> {
    /// Of what a server answered: these fields, the key among them.
    ///
    /// # Errors
    /// If it cannot be read, or is not whole.
    pub(super) fn new(fields: &'a [FieldData], key: &str, wanted: &[String]) -> Result<Page<'a>, String> {
        // Where nothing is found there are no columns, or empty ones.
        let found = fields.iter().find(|f| f.field_name == key);
        let rows = found.and_then(|f| Column::new(f).ok()).map_or(0, |c| c.rows());
        if rows == 0 {
            return match fields.iter().filter_map(|f| Column::new(f).ok()).find(|c| c.rows() > 0) {
                Some(c) => Err(format!("rows without a primary key: field `{}`", c.name)),
                None => Ok(Page { keys: Vec::new(), columns: Vec::new() }),
            };
        }
        let mut columns = Vec::new();
        for name in wanted {
            let dynamic = name == super::layout::DYNAMIC;
            let field = fields.iter().find(|f| f.field_name == *name || (dynamic && f.is_dynamic));
            let field = field.ok_or_else(|| format!("field `{name}` did not come"))?;
            let column = Column::new(field)?;
            let places = column.places()?;
            if places.len() != rows {
                return Err(format!("field `{name}`: {} values for {rows} rows", places.len()));
            }
            columns.push((column, places));
        }
        let keys = columns.iter().find(|(c, _)| c.name == key).map(|(c, places)| {
            places.iter().map(|at| at.and_then(|at| c.key(at))).collect::<Option<Vec<Key>>>()
        });
        let keys = keys.flatten().ok_or("the primary keys cannot be read")?;
        Ok(Page { keys, columns })
    }

    /// A row as a line, of a partition if its name tells rows apart.
    pub(super) fn line(&self, row: usize, partition: Option<&str>) -> Result<Vec<u8>, String> {
        let mut out = b"row".to_vec();
        match partition {
            Some(name) => put(&mut out, name.as_bytes()),
            None => out.push(0),
        }
        for (column, places) in &self.columns {
            put(&mut out, column.name.as_bytes());
            out.extend(column.kind.to_le_bytes());
            match places[row] {
                Some(at) => put(&mut out, &column.value(at)?),
                None => out.push(0),
            }
        }
        Ok(out)
    }

    /// The value of one field in a row; `None` where it is null.
    pub(super) fn value(&self, field: &str, row: usize) -> Result<Option<Vec<u8>>, String> {
        let column = self.columns.iter().find(|(c, _)| c.name == field);
        let (column, places) = column.ok_or_else(|| format!("field `{field}` did not come"))?;
        places[row].map(|at| column.value(at)).transpose()
    }

    /// The text or number of one field in a row, as a key would be.
    pub(super) fn plain(&self, field: &str, row: usize) -> Option<Key> {
        let (column, places) = self.columns.iter().find(|(c, _)| c.name == field)?;
        column.key(places[row]?)
    }
}

#[cfg(test)]
mod tests {
    use milvus::proto::schema::{DataType, FloatArray, JsonArray, LongArray, StringArray};

    use super::*;

    fn scalar(name: &str, kind: DataType, data: scalar_field::Data, valid: &[bool]) -> FieldData {
        FieldData {
            r#type: kind as i32,
            field_name: name.into(),
            field: Some(field_data::Field::Scalars(ScalarField { data: Some(data), ..Default::default() })),
            valid_data: valid.to_vec(),
            ..Default::default()
        }
    }

    fn longs(name: &str, data: &[i64], valid: &[bool]) -> FieldData {
        scalar(name, DataType::Int64, scalar_field::Data::LongData(LongArray { data: data.to_vec() }), valid)
    }

    fn vectors(dim: i64, data: &[f32]) -> FieldData {
        let data = Some(vector_field::Data::FloatVector(FloatArray { data: data.to_vec() }));
        FieldData {
            r#type: DataType::FloatVector as i32,
            field_name: "v".into(),
            field: Some(field_data::Field::Vectors(VectorField { dim, data, ..Default::default() })),
            ..Default::default()
        }
    }

    fn lines(fields: &[FieldData], wanted: &[&str]) -> Result<Vec<Vec<u8>>, String> {
        let wanted: Vec<String> = wanted.iter().map(|w| (*w).to_owned()).collect();
        let page = Page::new(fields, "id", &wanted)?;
        (0..page.keys.len()).map(|row| page.line(row, None)).collect()
    }

    #[test]
    fn a_row_is_one_line_and_every_bit_of_it_counts() {
        let of = |v: &[f32]| lines(&[longs("id", &[7], &[]), vectors(2, v)], &["id", "v"]).unwrap();
        let first = of(&[1.0, 0.0]);
        assert_eq!(first.len(), 1);
        assert_eq!(of(&[1.0, 0.0]), first);
        for other in [[1.0, -0.0], [f32::from_bits(1.0f32.to_bits() + 1), 0.0], [0.0, 1.0]] {
            assert_ne!(of(&other), first, "{other:?}");
        }
    }

    #[test]
    fn null_is_no_value_however_it_is_sent() {
        let sent = |fields: &[FieldData]| lines(fields, &["id", "n"]).unwrap();
        let id = || longs("id", &[1, 2, 3], &[]);
        // Something stands in the place of null, or nothing does.
        let filled = sent(&[id(), longs("n", &[5, 0, 6], &[true, false, true])]);
        assert_eq!(sent(&[id(), longs("n", &[5, 6], &[true, false, true])]), filled);
        assert_ne!(sent(&[id(), longs("n", &[5, 0, 6], &[])]), filled);
    }

    #[test]
    fn what_is_not_whole_is_no_row() {
        let id = || longs("id", &[1, 2], &[]);
        for (fields, wanted) in [
            (vec![id()], vec!["id", "v"]),
            (vec![id(), vectors(2, &[1.0, 2.0])], vec!["id", "v"]),
            (vec![id(), vectors(2, &[1.0, 2.0, 3.0])], vec!["id", "v"]),
            (vec![id(), vectors(0, &[])], vec!["id", "v"]),
            (vec![vectors(1, &[1.0, 2.0])], vec!["id", "v"]),
            (vec![id(), longs("n", &[1], &[true, true])], vec!["id", "n"]),
            (vec![longs("id", &[1, 0], &[true, false])], vec!["id"]),
        ] {
            assert!(lines(&fields, &wanted).is_err(), "{fields:?}");
        }
        assert_eq!(lines(&[], &["id", "v"]).unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(lines(&[longs("id", &[], &[]), vectors(2, &[])], &["id", "v"]).unwrap().len(), 0);
    }

    #[test]
    fn json_is_its_value_and_keeps_all_digits() {
        let same = [
            ("{\"a\": 1, \"b\": [1, {\"y\": 2, \"x\": 1}]}", "{\"b\":[1,{\"x\":1,\"y\":2}],\"a\":1}"),
            ("\"\\u00e9\"", "\"\u{e9}\""),
            ("1e2", "100.0"),
        ];
        for (a, b) in same {
            assert_eq!(json(a.as_bytes()), json(b.as_bytes()), "{a}");
        }
        let other = [
            ("1", "1.0"),
            ("[1, 2]", "[2, 1]"),
            ("{\"a\": null}", "{}"),
            ("100000000000000000000000001", "100000000000000000000000002"),
            ("not json", "not  json"),
        ];
        for (a, b) in other {
            assert_ne!(json(a.as_bytes()), json(b.as_bytes()), "{a}");
        }
        let data = |text: &str| {
            let data = scalar_field::Data::JsonData(JsonArray { data: vec![text.into()] });
            let mut field = scalar("", DataType::Json, data, &[]);
            field.is_dynamic = true;
            lines(&[longs("id", &[1], &[]), field], &["$meta", "id"])
        };
        assert!(data("{}").is_ok_and(|lines| lines.len() == 1), "fields without a schema have no name");
    }

    #[test]
    fn keys_are_written_so_that_they_are_read_as_they_are() {
        let text = |s: &str| Key::Text(s.into()).literal();
        assert_eq!(text("a\"b\\c\nd\u{e9}"), "\"a\\\"b\\\\c\\nd\u{e9}\"");
        assert_eq!(Key::Number(-3).literal(), "-3");
        let data = scalar_field::Data::StringData(StringArray { data: vec!["x".into()] });
        let page = [scalar("id", DataType::VarChar, data, &[])];
        assert_eq!(Page::new(&page, "id", &["id".into()]).unwrap().keys, [Key::Text("x".into())]);
    }
}
