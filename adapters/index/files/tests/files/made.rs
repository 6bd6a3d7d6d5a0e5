//! Files as their own programs write them, and as nobody should.

use index_files::{FileError, Options, Table, open};
use parquet::basic::Compression;
use parquet::data_type::{DoubleType, FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A folder with one file.
pub(crate) struct Made(TempDir, String);

impl Made {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        let made = Self(tempfile::tempdir().unwrap(), name.into());
        fs::write(made.path(), bytes).unwrap();
        made
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join(&self.1)
    }

    /// Another file beside it.
    pub(crate) fn beside(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn open(&self) -> Result<Table, FileError> {
        self.open_with(&Options::default())
    }

    pub(crate) fn open_with(&self, options: &Options) -> Result<Table, FileError> {
        open(&self.path(), options)
    }
}

pub(crate) fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Rows of `dim` values: 0, 0.5, 1, ...
pub(crate) fn values(rows: usize, dim: usize) -> Vec<f32> {
    (0..rows * dim).map(|at| at as f32 / 2.0).collect()
}

pub(crate) fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header =
        format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}").into_bytes();
    header.resize((header.len() + 11).next_multiple_of(64) - 11, b' ');
    header.push(b'\n');
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], &header, data].concat()
}

/// An array as `numpy.save` writes it.
pub(crate) fn saved(rows: usize, dim: usize) -> Vec<u8> {
    npy("'<f4'", "False", &format!("({rows}, {dim})"), &f32s(&values(rows, dim)))
}

pub(crate) fn ids(descr: &str, data: &[u8]) -> Vec<u8> {
    let width: usize = descr[3..4].parse().unwrap();
    npy(descr, "False", &format!("({},)", data.len() / width), data)
}

pub(crate) fn fvecs(rows: usize, dim: usize) -> Vec<u8> {
    let row = |row: &[f32]| [&(row.len() as i32).to_le_bytes()[..], &f32s(row)].concat();
    values(rows, dim).chunks(dim).flat_map(row).collect()
}

fn faiss_header(word: &[u8; 4], rows: usize, dim: usize) -> Vec<u8> {
    let (dim, rows, unused) =
        ((dim as i32).to_le_bytes(), (rows as i64).to_le_bytes(), (1i64 << 20).to_le_bytes());
    [&word[..], &dim, &rows, &unused, &unused, &[1], &1i32.to_le_bytes()].concat()
}

/// A flat index, in a map if there are ids.
pub(crate) fn faiss(rows: usize, dim: usize, ids: Option<&[i64]>) -> Vec<u8> {
    let count = ((rows * dim) as u64).to_le_bytes();
    let flat = [&faiss_header(b"IxF2", rows, dim)[..], &count, &f32s(&values(rows, dim))].concat();
    match ids {
        None => flat,
        Some(ids) => {
            let data: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            [faiss_header(b"IxMp", rows, dim), flat, (ids.len() as u64).to_le_bytes().to_vec(), data].concat()
        }
    }
}

pub(crate) fn safetensors(tensors: &[(&str, &str, &[usize], &[u8])]) -> Vec<u8> {
    let (mut header, mut data) = (String::from("{\"__metadata__\":{\"by\":\"a test\"}"), Vec::new());
    for (name, kind, shape, bytes) in tensors {
        let (from, to) = (data.len(), data.len() + bytes.len());
        header.push_str(&format!(
            ",\"{name}\":{{\"dtype\":\"{kind}\",\"shape\":{shape:?},\"data_offsets\":[{from},{to}]}}"
        ));
        data.extend_from_slice(bytes);
    }
    header.push('}');
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

/// Rows of a parquet: null, or lists that may have nulls in them.
pub(crate) type Lists = Vec<Option<Vec<Option<f64>>>>;

pub(crate) fn lists(rows: usize, dim: usize) -> Lists {
    values(rows, dim).chunks(dim).map(|row| Some(row.iter().map(|v| Some(f64::from(*v))).collect())).collect()
}

/// Levels and values of lists, as the format has them.
fn levels(rows: &Lists) -> (Vec<i16>, Vec<i16>, Vec<f64>) {
    let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        match row {
            None => (defined.push(0), repeated.push(0)),
            Some(row) if row.is_empty() => (defined.push(1), repeated.push(0)),
            Some(row) => {
                for (at, value) in row.iter().enumerate() {
                    defined.push(if value.is_some() { 3 } else { 2 });
                    repeated.push(i16::from(at > 0));
                    values.extend(value);
                }
                ((), ())
            }
        };
    }
    (defined, repeated, values)
}

/// Ids, a column `v` of `FLOAT` lists and a column `w` of `DOUBLE` lists, in row groups of 1,000.
pub(crate) fn parquet(ids: &[i64], v: &Lists, w: Option<&Lists>, compression: Compression) -> Vec<u8> {
    let list = |name: &str, kind: &str| {
        format!("optional group {name} (LIST) {{ repeated group list {{ optional {kind} element; }} }}")
    };
    let w_column = w.map_or(String::new(), |_| list("w", "double"));
    let message = format!("message m {{ required int64 id; {} {w_column} }}", list("v", "float"));
    let properties = WriterProperties::builder().set_compression(compression).build();
    let schema = Arc::new(parse_message_type(&message).unwrap());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    for from in (0..v.len()).step_by(1_000) {
        let rows = from..v.len().min(from + 1_000);
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&ids[rows.clone()], None, None).unwrap();
        column.close().unwrap();
        let (defined, repeated, values) = levels(&v[rows.clone()].to_vec());
        let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<FloatType>().write_batch(&values, Some(&defined), Some(&repeated)).unwrap();
        column.close().unwrap();
        if let Some(w) = w {
            let (defined, repeated, values) = levels(&w[rows].to_vec());
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<DoubleType>().write_batch(&values, Some(&defined), Some(&repeated)).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    file.into_inner().unwrap()
}
