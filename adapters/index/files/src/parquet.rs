//! `.parquet`: a column whose rows are lists of `FLOAT` or `DOUBLE`, and if wanted one of ids.
//!
//! The crate `parquet` takes care of pages, encodings and compression. It was not made for garbage: it believes some counts,
//! and may panic. So values are taken in small batches, are never more than a file of that length could mean, and a panic is
//! an error like any other.

use crate::input::Input;
use crate::{FileError, Found, Rows, ids};
use ::parquet::basic::{LogicalType, Type};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader};
use ::parquet::data_type::{DataType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Rows taken at a time.
const BATCH: usize = 1_024;
/// Values of a small file, and for each byte of any: equal values take hardly any room, but there is an end to that.
const FEW: u64 = 1 << 22;
const FOR_EACH_BYTE: u64 = 64;

type Reader = SerializedFileReader<File>;

pub(crate) fn read(input: &Input, name: Option<&str>, id_column: Option<&str>) -> Result<Found, FileError> {
    match catch_unwind(AssertUnwindSafe(|| table(input, name, id_column))) {
        Ok(found) => found,
        Err(_) => Err(input.damaged(0, "it makes no sense as a .parquet")),
    }
}

fn table(input: &Input, name: Option<&str>, id_column: Option<&str>) -> Result<Found, FileError> {
    let file = input.file().try_clone().map_err(ParquetError::from);
    let reader = file.and_then(Reader::new).map_err(|error| refused(input, &error))?;
    let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
    let lists = |column: &ColumnDescriptor| {
        column.max_rep_level() == 1 && matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE)
    };
    let at = chosen(input, &columns, name, "--column", "lists of floats", lists)?;
    let there = columns[at].max_def_level();
    let mut rows = Lists { input, there, dim: None, values: Vec::new(), started: 0, held: 0 };
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(|error| refused(input, &error))?;
        match group.get_column_reader(at).map_err(|error| refused(input, &error))? {
            ColumnReader::FloatColumnReader(column) => rows.take(column, |value| value)?,
            column => rows.take(get_typed_column_reader::<DoubleType>(column), |value| value as f32)?,
        }
    }
    let (dim, values) = rows.end()?;
    let ids = match id_column {
        None => None,
        Some(_) => {
            let whole = |column: &ColumnDescriptor| {
                column.max_rep_level() == 0 && matches!(column.physical_type(), Type::INT32 | Type::INT64)
            };
            let at = chosen(input, &columns, id_column, "--id-column", "whole numbers", whole)?;
            Some(numbers(input, &reader, at, &columns[at], values.len() / dim)?)
        }
    };
    Ok(Found { dim, rows: Rows::Memory(values), ids })
}

fn refused(input: &Input, error: &ParquetError) -> FileError {
    input.damaged(0, format!("not read as a .parquet: {error}"))
}

/// The column that is meant: the one of the name, or the only one that will do.
fn chosen<C: AsRef<ColumnDescriptor>>(
    input: &Input,
    columns: &[C],
    name: Option<&str>,
    option: &'static str,
    what: &str,
    fits: impl Fn(&ColumnDescriptor) -> bool,
) -> Result<usize, FileError> {
    let called = |column: &ColumnDescriptor| column.path().parts().first().cloned().unwrap_or_default();
    let fitting: Vec<usize> = (0..columns.len()).filter(|&at| fits(columns[at].as_ref())).collect();
    let choose = |why: String| FileError::Choose {
        path: input.path().to_owned(),
        why,
        option,
        names: fitting.iter().map(|&at| called(columns[at].as_ref())).collect(),
    };
    let Some(name) = name else {
        return match fitting.as_slice() {
            [only] => Ok(*only),
            [] => {
                let found = format!("no column of {what}");
                Err(input.unsuitable(found, "write the vectors as a column of list<float> or list<double>"))
            }
            _ => Err(choose(format!("{} columns of {what}", fitting.len()))),
        };
    };
    let named = fitting.iter().find(|&&at| called(columns[at].as_ref()) == name);
    named.copied().ok_or_else(|| choose(format!("there is no column `{name}` of {what}")))
}

/// Lists of one length, one after the other.
struct Lists<'a> {
    input: &'a Input,
    /// The level at which a list and its value are there; below it, something is null.
    there: i16,
    /// The length of the first one, when it has ended.
    dim: Option<usize>,
    values: Vec<f32>,
    /// Rows that have begun.
    started: usize,
    /// Values of the last one.
    held: usize,
}

impl Lists<'_> {
    fn take<T: DataType>(
        &mut self,
        mut column: ColumnReaderImpl<T>,
        float: impl Fn(T::T) -> f32,
    ) -> Result<(), FileError>
    where
        T::T: Copy,
    {
        let most = FEW + FOR_EACH_BYTE * self.input.length();
        let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            defined.clear();
            repeated.clear();
            values.clear();
            let read = column.read_records(BATCH, Some(&mut defined), Some(&mut repeated), &mut values);
            let (rows, ..) = read.map_err(|error| refused(self.input, &error))?;
            if rows == 0 && repeated.is_empty() {
                return Ok(());
            }
            for (&defined, &repeated) in defined.iter().zip(&repeated) {
                if repeated == 0 {
                    self.begin()?;
                }
                if defined != self.there {
                    return Err(FileError::Null { path: self.input.path().to_owned(), row: self.row() });
                }
                self.held += 1;
            }
            self.values.extend(values.iter().map(|value| float(*value)));
            if self.values.len() as u64 > most {
                return Err(self.input.damaged(0, format!("it unfolds to more than {most} values")));
            }
        }
    }

    /// The row that has begun last.
    fn row(&self) -> usize {
        self.started.saturating_sub(1)
    }

    /// A row begins, so the one before it has ended.
    fn begin(&mut self) -> Result<(), FileError> {
        if self.started > 0 {
            let dim = *self.dim.get_or_insert(self.held);
            if self.held != dim {
                let (path, row, found) = (self.input.path().to_owned(), self.row(), self.held);
                return Err(FileError::Uneven { path, row, found, dim });
            }
        }
        self.started += 1;
        self.held = 0;
        Ok(())
    }

    fn end(mut self) -> Result<(usize, Vec<f32>), FileError> {
        let path = || self.input.path().to_owned();
        if self.started == 0 {
            return Err(FileError::NoRows { path: path() });
        }
        self.begin()?;
        let dim = self.dim.unwrap_or(0);
        if dim * (self.started - 1) != self.values.len() || dim == 0 {
            return Err(self.input.damaged(0, "its lists and their values do not belong together"));
        }
        Ok((dim, self.values))
    }
}

fn numbers(
    input: &Input,
    reader: &Reader,
    at: usize,
    column: &ColumnDescriptor,
    rows: usize,
) -> Result<Vec<u64>, FileError> {
    let mut all = Vec::new();
    let there = column.max_def_level();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(|error| refused(input, &error))?;
        match group.get_column_reader(at).map_err(|error| refused(input, &error))? {
            ColumnReader::Int32ColumnReader(column) => {
                whole(input, column, there, rows, &mut all, i64::from)?;
            }
            column => {
                whole(input, get_typed_column_reader::<Int64Type>(column), there, rows, &mut all, |id| id)?;
            }
        }
    }
    if all.len() != rows {
        return Err(FileError::IdCount { path: input.path().to_owned(), ids: all.len(), rows });
    }
    let unsigned = matches!(column.logical_type_ref(), Some(LogicalType::Integer(kind)) if !kind.is_signed);
    if unsigned {
        let long = column.physical_type() == Type::INT64;
        return Ok(all.into_iter().map(|id| if long { id as u64 } else { u64::from(id as u32) }).collect());
    }
    ids::positive(input.path(), all.into_iter())
}

/// Appends the numbers of a column, of which there are at most as many as rows.
fn whole<T: DataType>(
    input: &Input,
    mut column: ColumnReaderImpl<T>,
    there: i16,
    most: usize,
    out: &mut Vec<i64>,
    long: impl Fn(T::T) -> i64,
) -> Result<(), FileError>
where
    T::T: Copy,
{
    let (mut defined, mut values) = (Vec::new(), Vec::new());
    loop {
        defined.clear();
        values.clear();
        let read = column.read_records(BATCH, Some(&mut defined), None, &mut values);
        let (rows, ..) = read.map_err(|error| refused(input, &error))?;
        if let Some(null) = defined.iter().position(|defined| *defined != there) {
            return Err(FileError::Null { path: input.path().to_owned(), row: out.len() + null });
        }
        out.extend(values.iter().map(|id| long(*id)));
        if out.len() > most {
            return Err(FileError::IdCount { path: input.path().to_owned(), ids: out.len(), rows: most });
        }
        if rows == 0 {
            return Ok(());
        }
    }
}
