//! Rows as parquet: one row group, a column for each field, `NULL` for the values of a deletion.

use std::sync::Arc;

use bytes::Bytes;
use harness::corpus::FEATURES;
use parquet::column::reader::{ColumnReader, get_typed_column_reader};
use parquet::data_type::{DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::features::item::{Item, Row};
use crate::features::schema;

/// Rows of a file that is read; more would be a file of another program.
const ROWS_MAX: i64 = 1_000_000;

/// The time column of a schema, and how many of its units make a microsecond's thousandth.
fn time(schema: u32) -> &'static str {
    if schema == 1 { "event_ts" } else { "event_us" }
}

fn message(schema: u32) -> String {
    let values: String = (0..FEATURES).map(|f| format!("OPTIONAL DOUBLE f{f};")).collect();
    let time = time(schema);
    format!(
        "message entity_rows {{ REQUIRED INT64 key; REQUIRED INT64 ver; REQUIRED INT64 {time}; {values} }}"
    )
}

/// Rows as a file of this program's schema.
pub(super) fn encode(rows: &[Item]) -> Result<Vec<u8>> {
    encode_as(rows, schema::VERSION)
}

/// Rows as a file of that schema, times as they are.
pub(super) fn encode_as(rows: &[Item], schema: u32) -> Result<Vec<u8>> {
    let rows: Vec<&Row> =
        rows.iter().filter_map(|item| if let Item::Row(row) = item { Some(row) } else { None }).collect();
    let number = |n: u64| i64::try_from(n).map_err(|e| ParquetError::General(e.to_string()));
    let schema = Arc::new(parse_message_type(&message(schema))?);
    let mut file =
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::builder().build()))?;
    let mut group = file.next_row_group()?;
    let keys: Vec<i64> = rows.iter().map(|row| number(row.key)).collect::<Result<_>>()?;
    column::<Int64Type>(&mut group, &keys, None)?;
    let vers: Vec<i64> = rows.iter().map(|row| number(row.ver)).collect::<Result<_>>()?;
    column::<Int64Type>(&mut group, &vers, None)?;
    let times: Vec<i64> = rows.iter().map(|row| row.event_us).collect();
    column::<Int64Type>(&mut group, &times, None)?;
    let there: Vec<i16> = rows.iter().map(|row| i16::from(row.values.is_some())).collect();
    for f in 0..FEATURES {
        let values: Vec<f64> = rows.iter().filter_map(|row| row.values.map(|values| values[f])).collect();
        column::<DoubleType>(&mut group, &values, Some(&there))?;
    }
    group.close()?;
    file.into_inner()
}

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    there: Option<&[i16]>,
) -> Result<()> {
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("a column too many".into()))?;
    column.typed::<T>().write_batch(values, there, None)?;
    column.close()
}

/// The rows of a file, times as they are.
pub(super) fn decode(file: Bytes, schema: u32) -> Result<Vec<Item>> {
    let strange = |why: &str| ParquetError::General(why.into());
    let file = SerializedFileReader::new(file)?;
    let meta = file.metadata().file_metadata();
    let wanted = parse_message_type(&message(schema))?;
    if meta.schema() != &wanted || file.num_row_groups() != 1 || !(0..=ROWS_MAX).contains(&meta.num_rows()) {
        return Err(strange("its columns are those of another program"));
    }
    let count = usize::try_from(meta.num_rows()).map_err(|e| strange(&e.to_string()))?;
    let group = file.get_row_group(0)?;
    let numbers = |n| read::<Int64Type>(group.as_ref(), n, count).map(|(values, _)| values);
    let (keys, vers, times) = (numbers(0)?, numbers(1)?, numbers(2)?);
    let mut rows = Vec::with_capacity(count);
    for ((key, ver), event_us) in keys.into_iter().zip(vers).zip(times) {
        let number = |n: i64| u64::try_from(n).map_err(|e| strange(&e.to_string()));
        rows.push(Row { key: number(key)?, ver: number(ver)?, event_us, values: None });
    }
    if rows.len() != count {
        return Err(strange("it has fewer rows than it says"));
    }
    for f in 0..FEATURES {
        let (values, there) = read::<DoubleType>(group.as_ref(), 3 + f, count)?;
        let mut values = values.into_iter();
        for (row, there) in rows.iter_mut().zip(there) {
            if there == 1 {
                let value = values.next().ok_or_else(|| strange("values are missing"))?;
                row.values.get_or_insert([f64::NAN; FEATURES])[f] = value;
            }
        }
    }
    // A row with some values only has none for others, which no store accepts.
    rows.into_iter().map(|row| Item::Row(row).checked().map_err(|why| strange(&why))).collect()
}

/// All values of a column, and for each row whether it has one.
fn read<T: DataType>(group: &dyn RowGroupReader, n: usize, count: usize) -> Result<(Vec<T::T>, Vec<i16>)> {
    let column: ColumnReader = group.get_column_reader(n)?;
    let mut column = get_typed_column_reader::<T>(column);
    let (mut values, mut there) = (Vec::new(), Vec::new());
    let mut seen = 0;
    while seen < count {
        let (records, ..) = column.read_records(count - seen, Some(&mut there), None, &mut values)?;
        if records == 0 {
            return Err(ParquetError::General(format!("column {n} ends after {seen} of {count} rows")));
        }
        seen += records;
    }
    Ok((values, there))
}
