//! What a collection is made of, and which of it has to be the same in two places.
//!
//! Compared are its fields (name, type, lengths, dimensions, primary key, partition key, defaults), whether it takes other fields,
//! its functions and partitions, and how distances are measured in each field of vectors. Not compared is what a restore
//! may make anew: numbers of fields, names and kinds of indexes (what they answer is asked by golden queries), descriptions, shards,
//! levels of consistency.

use milvus::proto::common::KeyValuePair;
use milvus::proto::milvus::{DescribeCollectionResponse, IndexDescription};
use milvus::proto::schema::{CollectionSchema, DataType, FieldSchema};
use prost::Message as _;

use super::link::Link;
use crate::own::place::Unread;

/// The name of the field that holds what no field is for.
pub(super) const DYNAMIC: &str = "$meta";
/// Settings of a field that say what it can hold.
const HOLDS: [&str; 6] =
    ["dim", "max_length", "max_capacity", "enable_match", "enable_analyzer", "analyzer_params"];
/// What a page of rows should not be larger than.
const PAGE_BYTES: usize = 32 << 20;
/// Rows that are asked for at once; Milvus answers with at most 16,384.
const PAGE_ROWS: usize = 10_000;
/// What is reckoned for a value whose size nobody knows beforehand.
const VALUE_BYTES: usize = 256;

/// A field of vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vectors {
    pub(super) name: String,
    pub(super) kind: DataType,
    /// Absent where it has no index.
    pub(super) metric: Option<String>,
}

/// A collection as it is read.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) collection: String,
    /// The primary key.
    pub(super) key: String,
    /// Whether it is a text, and no number.
    pub(super) key_is_text: bool,
    /// What is read of each row, in the order of their names.
    pub(super) fields: Vec<String>,
    pub(super) vectors: Vec<Vectors>,
    /// Partitions by which rows are told apart; one without a name if they are not.
    pub(super) partitions: Vec<Option<String>>,
    /// What has to be the same, a line each.
    pub(super) lines: Vec<String>,
    row_bytes: usize,
}

fn kind(number: i32) -> DataType {
    DataType::try_from(number).unwrap_or(DataType::None)
}

fn setting<'a>(all: &'a [KeyValuePair], key: &str) -> Option<&'a str> {
    all.iter().find(|p| p.key == key).map(|p| p.value.as_str())
}

/// Whether a field of this kind can be read, whole.
fn is_readable(kind: DataType) -> bool {
    use DataType as D;
    matches!(
        kind,
        D::Bool
            | D::Int8
            | D::Int16
            | D::Int32
            | D::Int64
            | D::Float
            | D::Double
            | D::VarChar
            | D::Array
            | D::Json
            | D::BinaryVector
            | D::FloatVector
            | D::Float16Vector
            | D::BFloat16Vector
            | D::Int8Vector
    )
}

fn is_vector(kind: DataType) -> bool {
    use DataType as D;
    matches!(kind, D::BinaryVector | D::FloatVector | D::Float16Vector | D::BFloat16Vector | D::Int8Vector)
}

impl Layout {
    /// Asks for it.
    pub(super) async fn of(link: &Link, collection: &str) -> Result<Layout, Unread> {
        let described = link.describe(collection).await?;
        let indexes = link.indexes(collection).await?;
        let partitions = link.partitions(collection).await?;
        Layout::new(collection, &described, &indexes, partitions).map_err(Unread::Failed)
    }

    pub(super) fn new(
        collection: &str,
        described: &DescribeCollectionResponse,
        indexes: &[IndexDescription],
        partitions: Vec<String>,
    ) -> Result<Layout, String> {
        let schema = described.schema.clone().unwrap_or_default();
        if let Some(field) = schema.struct_array_fields.first() {
            return Err(refused(&field.name, "an array of structs"));
        }
        let metric = |field: &str| {
            let index = indexes.iter().find(|i| i.field_name == field)?;
            setting(&index.params, "metric_type").map(str::to_owned)
        };
        let key = schema.fields.iter().find(|f| f.is_primary_key).ok_or("it has no primary key")?;
        let mut layout = Layout {
            collection: collection.to_owned(),
            key: key.name.clone(),
            key_is_text: kind(key.data_type) == DataType::VarChar,
            fields: Vec::new(),
            vectors: Vec::new(),
            partitions: vec![None],
            lines: Vec::new(),
            row_bytes: 64,
        };
        for field in schema.fields.iter().filter(|f| !f.is_dynamic) {
            let metric = metric(&field.name);
            layout.lines.push(line(field, metric.as_deref()));
            // What the server makes of other fields is theirs.
            if !field.is_function_output {
                layout.take(field, metric)?;
            }
        }
        if schema.enable_dynamic_field {
            layout.lines.push("any other field".into());
            layout.fields.push(DYNAMIC.into());
            layout.row_bytes += VALUE_BYTES;
        }
        layout.fields.sort();
        layout.functions(&schema);
        // Where rows are spread by a key, partitions are the server's own.
        if !schema.fields.iter().any(|f| f.is_partition_key) {
            layout.lines.extend(partitions.iter().map(|name| format!("partition {name}")));
            if partitions.len() > 1 {
                layout.partitions = partitions.into_iter().map(Some).collect();
            }
        }
        layout.lines.sort();
        Ok(layout)
    }

    fn take(&mut self, field: &FieldSchema, metric: Option<String>) -> Result<(), String> {
        let kind = kind(field.data_type);
        if !is_readable(kind) {
            let what = match kind {
                DataType::SparseFloatVector => "a sparse vector".to_owned(),
                DataType::None => format!("of a type that gameday does not know ({})", field.data_type),
                other => format!("of type {}", other.as_str_name()),
            };
            return Err(refused(&field.name, &what));
        }
        self.fields.push(field.name.clone());
        let dim: usize = setting(&field.type_params, "dim").and_then(|d| d.parse().ok()).unwrap_or(0);
        self.row_bytes += match kind {
            DataType::FloatVector => dim * 4,
            DataType::Float16Vector | DataType::BFloat16Vector => dim * 2,
            DataType::Int8Vector => dim,
            DataType::BinaryVector => dim / 8,
            DataType::VarChar | DataType::Json | DataType::Array => VALUE_BYTES,
            _ => 8,
        };
        if is_vector(kind) {
            self.vectors.push(Vectors { name: field.name.clone(), kind, metric });
        }
        Ok(())
    }

    fn functions(&mut self, schema: &CollectionSchema) {
        for f in &schema.functions {
            let (from, to) = (f.input_field_names.join(", "), f.output_field_names.join(", "));
            self.lines.push(format!("function {} of {from} to {to}", f.r#type));
        }
    }

    /// Rows that are asked for at once.
    pub(super) fn page(&self, fields: &[String]) -> usize {
        let bytes = if fields == self.fields.as_slice() { self.row_bytes } else { VALUE_BYTES };
        (PAGE_BYTES / bytes.max(1)).clamp(1, PAGE_ROWS)
    }
}

fn refused(field: &str, what: &str) -> String {
    format!("field `{field}` is {what}, which gameday cannot read: ask this collection by a `command`")
}

/// A field, as it has to be.
fn line(f: &FieldSchema, metric: Option<&str>) -> String {
    let mut line = format!("field {} {}", f.name, f.data_type);
    if kind(f.data_type) == DataType::Array {
        line += &format!(" of {}", f.element_type);
    }
    for key in HOLDS {
        if let Some(value) = setting(&f.type_params, key) {
            line += &format!(" {key}={value}");
        }
    }
    let words = [
        (f.is_primary_key, "primary key"),
        (f.auto_id, "given by the server"),
        (f.is_partition_key, "partition key"),
        (f.nullable, "may be null"),
        (f.is_function_output, "made by a function"),
    ];
    words.into_iter().filter(|(is, _)| *is).for_each(|(_, word)| line += &format!(", {word}"));
    if let Some(value) = &f.default_value {
        line += &format!(", by default {:?}", value.encode_to_vec());
    }
    metric.map(|m| line += &format!(", measured by {m}")).unwrap_or_default();
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, kind: DataType, params: &[(&str, &str)]) -> FieldSchema {
        FieldSchema {
            name: name.into(),
            data_type: kind as i32,
            type_params: crate::milvus::pairs(params),
            is_primary_key: name == "id",
            ..Default::default()
        }
    }

    fn described(fields: Vec<FieldSchema>) -> DescribeCollectionResponse {
        let schema = Some(CollectionSchema { fields, enable_dynamic_field: true, ..Default::default() });
        DescribeCollectionResponse { schema, ..Default::default() }
    }

    fn layout(fields: Vec<FieldSchema>, metric: &str, partitions: &[&str]) -> Result<Layout, String> {
        let params = crate::milvus::pairs(&[("index_type", "HNSW"), ("metric_type", metric)]);
        let index = IndexDescription {
            index_name: "of the user".into(),
            field_name: "v".into(),
            params,
            ..Default::default()
        };
        let partitions = partitions.iter().map(|p| (*p).to_owned()).collect();
        Layout::new("docs", &described(fields), &[index], partitions)
    }

    fn fields(dim: &str) -> Vec<FieldSchema> {
        vec![field("id", DataType::Int64, &[]), field("v", DataType::FloatVector, &[("dim", dim)])]
    }

    #[test]
    fn what_a_collection_holds_and_how_it_measures_has_to_be_the_same() {
        let first = layout(fields("8"), "L2", &["_default"]).unwrap();
        assert_eq!(first.fields, ["$meta", "id", "v"]);
        assert_eq!(layout(fields("8"), "L2", &["_default"]).unwrap().lines, first.lines);
        let mut numbered = fields("8");
        numbered[1].field_id = 107;
        numbered[1].description = "of the restored one".into();
        assert_eq!(layout(numbered, "L2", &["_default"]).unwrap().lines, first.lines);
        let others = [
            layout(fields("9"), "L2", &["_default"]),
            layout(fields("8"), "IP", &["_default"]),
            layout(fields("8"), "L2", &["_default", "old"]),
            layout([fields("8"), vec![field("n", DataType::Int8, &[])]].concat(), "L2", &["_default"]),
        ];
        for other in others {
            assert_ne!(other.unwrap().lines, first.lines);
        }
    }

    #[test]
    fn rows_are_told_apart_by_partitions_unless_the_server_spreads_them() {
        let named = layout(fields("8"), "L2", &["_default", "old"]).unwrap();
        assert_eq!(named.partitions, [Some("_default".into()), Some("old".into())]);
        let mut keyed = fields("8");
        keyed[0].is_partition_key = true;
        let spread = layout(keyed, "L2", &["_default_0", "_default_1"]).unwrap();
        assert_eq!(spread.partitions, [None]);
        assert!(!spread.lines.iter().any(|line| line.contains("_default_0")));
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_its_name() {
        let sparse = field("words", DataType::SparseFloatVector, &[]);
        let refused = layout([fields("8"), vec![sparse.clone()]].concat(), "L2", &[]).unwrap_err();
        assert!(refused.contains("`words` is a sparse vector"), "{refused}");
        // What the server makes of a text by itself is there if the text is.
        let made = FieldSchema { is_function_output: true, ..sparse };
        let layout = layout([fields("8"), vec![made]].concat(), "L2", &[]).unwrap();
        assert!(!layout.fields.contains(&"words".to_owned()));
        assert!(layout.lines.iter().any(|line| line.contains("words")));
    }
}
