//! Each mistake is refused, and the error names the file, the place and the remedy.

use crate::made::{Made, f32s, faiss, fvecs, ids, lists, npy, parquet, safetensors, saved, values};
use index_files::{FileError, Options, open};
use parquet::basic::Compression;

/// What is said about a file, which must name it.
fn said(name: &str, bytes: &[u8]) -> String {
    said_with(&Made::new(name, bytes), &Options::default())
}

fn said_with(made: &Made, options: &Options) -> String {
    let opened = made.open_with(options).and_then(|table| table.vectors().map(|_| ()));
    let text = opened.unwrap_err().to_string();
    assert!(text.contains(&made.path().display().to_string()), "{text}");
    text
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn files_that_end_early() {
    for (name, bytes) in [
        ("a.npy", saved(100, 8)),
        ("a.fvecs", fvecs(100, 8)),
        ("a.faiss", faiss(100, 8, None)),
        ("b.faiss", faiss(100, 8, Some(&(0..100).collect::<Vec<_>>()))),
        ("a.safetensors", safetensors(&[("a", "F32", &[100, 8], &f32s(&values(100, 8)))])),
    ] {
        has(&said(name, &bytes[..bytes.len() - 3]), &["ends early", "byte", "write it anew"]);
        if name != "a.fvecs" {
            has(&said(name, &[&bytes[..], &[0; 5]].concat()), &["5 bytes follow"]);
        }
    }
    let whole = parquet(&(0..9).collect::<Vec<_>>(), &lists(9, 4), None, Compression::SNAPPY);
    has(&said("a.parquet", &whole[..whole.len() - 3]), &["not read as a .parquet"]);
}

#[test]
fn values_of_another_type() {
    let data = [0; 64];
    has(&said("a.npy", &npy("'<i4'", "False", "(4, 4)", &data)), &["type <i4", "astype('<f4')"]);
    has(&said("a.npy", &npy("'>f4'", "False", "(4, 4)", &data)), &["big-endian", "astype('<f4')"]);
    has(&said("a.npy", &npy("[('a', '<f4')]", "False", "(4, 4)", &data)), &["type record"]);
    let whole = safetensors(&[("a", "I32", &[4, 4], &data)]);
    has(&said("a.safetensors", &whole), &["I32", "tensor `a`", ".float()"]);
}

#[test]
fn arrays_of_another_shape() {
    let data = f32s(&values(4, 4));
    let order = said("a.npy", &npy("'<f4'", "True", "(4, 4)", &data));
    has(&order, &["Fortran order", "ascontiguousarray"]);
    has(&said("a.npy", &npy("'<f4'", "False", "(16,)", &data)), &["1 dimensions, [16]", "reshape"]);
    has(&said("a.npy", &npy("'<f4'", "False", "(4, 2, 2)", &data)), &["3 dimensions, [4, 2, 2]"]);
    has(&said("a.npy", &npy("'<f4'", "False", "()", &data)), &["0 dimensions"]);
    has(&said("a.npy", &npy("'<f4'", "False", "(0, 4)", &[])), &["0 rows"]);
    has(&said("a.npy", &npy("'<f4'", "False", "(4, 0)", &[])), &["0 values"]);
    has(&said("a.safetensors", &safetensors(&[("a", "F32", &[16], &data)])), &["tensor `a`", "[16]"]);
    let wide = npy("'<f2'", "False", "(1, 70000)", &[0; 140_000]);
    has(&said("a.npy", &wide), &["70000 values", "1 to 65536"]);
}

#[test]
fn claims_of_much_in_a_small_file() {
    let many = said("a.npy", &npy("'<f4'", "False", "(4000000000, 128)", &[0; 512]));
    has(&many, &["ends early", "1907.3 GiB", "ends at byte 640"]);
    let more = said("a.npy", &npy("'<f8'", "False", "(18446744073709551615, 65536)", &[0; 512]));
    has(&more, &["ends early"]);
    has(&said("a.npy", &npy("'<f4'", "False", "(4000000000, 0)", &[])), &["0 values"]);
    let mut flat = faiss(4, 4, None);
    flat[8..16].copy_from_slice(&4_000_000_000u64.to_le_bytes());
    has(&said("a.faiss", &flat), &["byte 0", "4000000000 vectors of 4 values do not make 16 values"]);
    flat[37..45].copy_from_slice(&16_000_000_000u64.to_le_bytes());
    has(&said("a.faiss", &flat), &["ends early"]);
    let tensors = safetensors(&[("a", "F32", &[4, 4], &[0; 64])]);
    let mut long = tensors.clone();
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    has(&said("a.safetensors", &long), &["ends early: the header at byte 8"]);
    let mut short = tensors;
    short[..8].copy_from_slice(&9u64.to_le_bytes());
    has(&said("a.safetensors", &short), &["byte 8", "the header"]);
    let mut version = saved(3, 3);
    version[6] = 9;
    has(&said("a.npy", &version), &["byte 6", "version 9"]);
}

#[test]
fn values_that_are_no_numbers() {
    let mut data = values(10, 4);
    data[6 * 4 + 1] = f32::NAN;
    let made = Made::new("a.npy", &npy("'<f4'", "False", "(10, 4)", &f32s(&data)));
    has(&said_with(&made, &Options::default()), &["row 6 (id 6) contains NaN"]);
    let own: Vec<u8> = (0..10u64).flat_map(|id| (100 + id).to_le_bytes()).collect();
    let ids = Some(made.beside("ids.npy", &ids("'<u8'", &own)));
    has(&said_with(&made, &Options { ids, ..Options::default() }), &["row 6 (id 106) contains NaN"]);
}

#[test]
fn ids_that_are_none() {
    let made = Made::new("a.npy", &saved(4, 4));
    let refused = |bytes: &[u8]| {
        let path = made.beside("ids.npy", bytes);
        let options = Options { ids: Some(path.clone()), ..Options::default() };
        let text = made.open_with(&options).unwrap_err().to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        text
    };
    let of = |all: &[i64]| ids("'<i8'", &all.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>());
    has(&refused(&of(&[1, 2, -7, 3])), &["row 2 has the id -7"]);
    has(&refused(&of(&[1, 2, 3, 2])), &["rows 1 and 3 have the same id 2"]);
    has(&refused(&of(&[1, 2, 3])), &["3 ids for 4 vectors"]);
    has(&refused(&ids("'<f8'", &[0; 32])), &["ids of type <f8", "astype('<i8')"]);
    has(&refused(&npy("'<i8'", "False", "(2, 2)", &[0; 32])), &["[2, 2]", "reshape(-1)"]);
    has(&refused(&of(&[1, 2, 3, 4])[..140]), &["ends early"]);
    has(&said("a.faiss", &faiss(3, 2, Some(&[4, -1, 5]))), &["row 1 has the id -1"]);
    has(&said("a.faiss", &faiss(3, 2, Some(&[4, 5]))), &["2 ids for 3 vectors"]);
    has(&said("a.faiss", &faiss(3, 2, Some(&[4, 5, 4]))), &["rows 0 and 2 have the same id 4"]);
}

#[test]
fn what_is_no_file_of_vectors() {
    has(&said("a.npy", &[]), &["is empty"]);
    has(&said("a.xyz", b"hello"), &["no known format", "--format", "npy, fvecs"]);
    has(&said("a.npy", b"hello, hello"), &["byte 0", "does not begin as a .npy"]);
    has(&said("a.f32", &[0; 16]), &["raw values", "--dim"]);
    let made = Made::new("a.f32", &[0; 18]);
    has(&said_with(&made, &Options { dim: Some(2), ..Options::default() }), &["18 bytes", "whole rows of 8"]);
    let folder = made.path().parent().unwrap().to_owned();
    assert!(matches!(open(&folder, &Options::default()), Err(FileError::NoFile { .. })));
    assert!(matches!(open("/dev/zero".as_ref(), &Options::default()), Err(FileError::NoFile { .. })));
    assert!(matches!(open(&folder.join("none"), &Options::default()), Err(FileError::Io { .. })));
    let mut other = faiss(2, 2, None);
    other[..4].copy_from_slice(b"IHNf");
    has(&said("a.faiss", &other), &["kind `IHNf`", "IndexFlat"]);
}

#[test]
fn rows_of_different_lengths() {
    let two = [fvecs(3, 4), fvecs(1, 5)].concat();
    has(&said("a.fvecs", &two), &["row 3 has 5 values, those before it have 4"]);
    has(&said("a.fvecs", &[&fvecs(2, 4)[..], &(-1i32).to_le_bytes()].concat()), &["byte 40", "-1 values"]);
    has(&said("a.fvecs", &[0xff; 40]), &["byte 0", "-1 values"]);
    let numbers: Vec<i64> = (0..2_000).collect();
    let refused = |row: usize, list: Option<Vec<Option<f64>>>| {
        let mut v = lists(2_000, 4);
        v[row] = list;
        said("a.parquet", &parquet(&numbers, &v, None, Compression::SNAPPY))
    };
    has(&refused(1_500, Some(vec![Some(1.0); 3])), &["row 1500 has 3 values, those before it have 4"]);
    has(&refused(1_999, Some(vec![Some(1.0); 5])), &["row 1999 has 5 values"]);
    has(&refused(1_200, None), &["row 1200 is null"]);
    has(&refused(7, Some(vec![])), &["row 7 is null"]);
    has(
        &refused(1_001, Some(vec![Some(1.0), None, Some(1.0), Some(1.0)])),
        &["row 1001 is null, or has a null"],
    );
}

#[test]
fn which_one_is_meant_must_be_said() {
    let data = f32s(&values(4, 4));
    let two = safetensors(&[("a", "F32", &[4, 4], &data), ("b", "F32", &[4, 4], &data)]);
    has(&said("a.safetensors", &two), &["2 tensors of two dimensions", "--tensor: a, b"]);
    let named = |name: &str| Options { name: Some(name.into()), ..Options::default() };
    has(&said_with(&Made::new("a.safetensors", &two), &named("c")), &["no tensor `c`", "a, b"]);
    let numbers = [1, 2, 2];
    let both = parquet(&numbers, &lists(3, 4), Some(&lists(3, 4)), Compression::SNAPPY);
    let made = Made::new("a.parquet", &both);
    has(&said_with(&made, &Options::default()), &["2 columns of lists", "--column: v, w"]);
    has(&said_with(&made, &named("id")), &["no column `id` of lists of floats", "v, w"]);
    let options = Options { id_column: Some("v".into()), ..named("v") };
    has(&said_with(&made, &options), &["no column `v` of whole numbers", "--id-column: id"]);
    let options = Options { id_column: Some("id".into()), ..named("v") };
    has(&said_with(&made, &options), &["rows 1 and 2 have the same id 2"]);
    let negative = Made::new("a.parquet", &parquet(&[1, -2], &lists(2, 4), None, Compression::SNAPPY));
    has(&said_with(&negative, &options), &["row 1 has the id -2"]);
}
