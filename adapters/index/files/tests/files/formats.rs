//! Sound files: every format gives the same vectors, and ids where it has some.

use crate::made::{Made, f32s, faiss, fvecs, ids, lists, npy, parquet, safetensors, saved, values};
use half::{bf16, f16};
use index_files::{Format, Options, Table};
use parquet::basic::{Compression, ZstdLevel};

const ROWS: usize = 3_000;
const DIM: usize = 4;

/// These rows, numbered.
fn expect(table: &Table, rows: usize, mapped: bool) {
    let vectors = table.vectors().unwrap();
    assert_eq!((vectors.len(), vectors.dim(), table.mapped()), (rows, DIM, mapped));
    assert!(vectors.data() == values(rows, DIM));
    assert!(vectors.ids().iter().copied().eq(0..rows as u64));
}

#[test]
fn numpy() {
    for rows in [1, ROWS] {
        expect(&Made::new("a.npy", &saved(rows, DIM)).open().unwrap(), rows, true);
    }
    let shape = format!("({ROWS}, {DIM})");
    let data = values(ROWS, DIM);
    let f64s: Vec<u8> = data.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
    expect(&Made::new("a.npy", &npy("'<f8'", "False", &shape, &f64s)).open().unwrap(), ROWS, false);
    let few = &values(500, DIM);
    let f16s: Vec<u8> = few.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
    expect(&Made::new("a.npy", &npy("'<f2'", "False", "(500, 4)", &f16s)).open().unwrap(), 500, false);
    // Of one row both orders are the same.
    let row = npy("'<f4'", "True", "(1, 4)", &f32s(&values(1, DIM)));
    expect(&Made::new("a.npy", &row).open().unwrap(), 1, true);
    // The bytes say what it is, whatever its name is.
    expect(&Made::new("a.dat", &saved(ROWS, DIM)).open().unwrap(), ROWS, true);
    let mut second = saved(ROWS, DIM);
    second[6] = 2;
    second.splice(10..10, [0, 0]);
    expect(&Made::new("a.npy", &second).open().unwrap(), ROWS, false);
}

#[test]
fn rows_with_counts() {
    expect(&Made::new("a.fvecs", &fvecs(ROWS, DIM)).open().unwrap(), ROWS, false);
    let bytes: Vec<u8> = [3, 0, 0, 0, 1, 2, 255, 3, 0, 0, 0, 0, 7, 8].into();
    let table = Made::new("a.bvecs", &bytes).open().unwrap();
    assert_eq!(table.vectors().unwrap().data(), [1.0, 2.0, 255.0, 0.0, 7.0, 8.0]);
}

#[test]
fn tensors() {
    let data = f32s(&values(ROWS, DIM));
    let one = safetensors(&[("emb", "F32", &[ROWS, DIM], &data)]);
    expect(&Made::new("a.safetensors", &one).open().unwrap(), ROWS, true);
    expect(&Made::new("a.bin", &one).open().unwrap(), ROWS, true);
    // A vector beside it is not meant; a second table might be.
    let two = safetensors(&[("bias", "F32", &[1], &[0; 4]), ("emb", "F32", &[ROWS, DIM], &data)]);
    expect(&Made::new("a.safetensors", &two).open().unwrap(), ROWS, true);
    let small = values(64, DIM);
    let shorts: Vec<u8> = small.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
    let odd = safetensors(&[
        ("x", "U8", &[3], &[0; 3]),
        ("b", "BF16", &[64, DIM], &shorts),
        ("emb", "F32", &[ROWS, DIM], &data),
    ]);
    let named = |name: &str| Options { name: Some(name.into()), ..Options::default() };
    let made = Made::new("a.safetensors", &odd);
    expect(&made.open_with(&named("emb")).unwrap(), ROWS, false);
    assert_eq!(made.open_with(&named("b")).unwrap().len(), 64);
}

#[test]
fn columns() {
    let numbers: Vec<i64> = (0..ROWS as i64).map(|at| 10 * at).collect();
    let v = lists(ROWS, DIM);
    for compression in
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())]
    {
        let made = Made::new("a.parquet", &parquet(&numbers, &v, None, compression));
        expect(&made.open().unwrap(), ROWS, false);
        let options = Options { id_column: Some("id".into()), ..Options::default() };
        let table = made.open_with(&options).unwrap();
        assert!(table.vectors().unwrap().ids().iter().copied().eq((0..ROWS as u64).map(|at| 10 * at)));
    }
    let both = Made::new("a.parquet", &parquet(&numbers, &lists(ROWS, 9), Some(&v), Compression::SNAPPY));
    let options = Options { name: Some("w".into()), ..Options::default() };
    expect(&both.open_with(&options).unwrap(), ROWS, false);
    // A thousand equal rows take hardly any room.
    let zeros = vec![Some(vec![Some(0.0); 8]); 1_000];
    let table = Made::new("a.parquet", &parquet(&numbers, &zeros, None, Compression::SNAPPY)).open().unwrap();
    assert_eq!((table.len(), table.dim()), (1_000, 8));
}

#[test]
fn flat_indexes() {
    // Its header has 45 bytes, so it is copied.
    expect(&Made::new("a.index", &faiss(ROWS, DIM, None)).open().unwrap(), ROWS, false);
    let own: Vec<i64> = (0..ROWS as i64).rev().collect();
    let table = Made::new("a.faiss", &faiss(ROWS, DIM, Some(&own))).open().unwrap();
    assert!(table.vectors().unwrap().data() == values(ROWS, DIM));
    assert!(table.vectors().unwrap().ids().iter().copied().eq((0..ROWS as u64).rev()));
}

#[test]
fn raw_values() {
    let made = Made::new("a.f32", &f32s(&values(ROWS, DIM)));
    let options = Options { dim: Some(DIM), ..Options::default() };
    expect(&made.open_with(&options).unwrap(), ROWS, true);
    let elsewhere = Made::new("a.dat", &f32s(&values(ROWS, DIM)));
    let options = Options { format: Some(Format::Raw), ..options };
    expect(&elsewhere.open_with(&options).unwrap(), ROWS, true);
}

#[test]
fn ids_of_their_own() {
    let made = Made::new("a.npy", &saved(3, DIM));
    let wanted = [7u64, 3, 9];
    let all = [
        ids("'<i8'", &wanted.iter().flat_map(|id| (*id as i64).to_le_bytes()).collect::<Vec<u8>>()),
        ids("'<u8'", &wanted.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>()),
        ids("'<i4'", &wanted.iter().flat_map(|id| (*id as i32).to_le_bytes()).collect::<Vec<u8>>()),
        ids("'<u4'", &wanted.iter().flat_map(|id| (*id as u32).to_le_bytes()).collect::<Vec<u8>>()),
    ];
    for bytes in all {
        let options = Options { ids: Some(made.beside("ids.npy", &bytes)), ..Options::default() };
        assert_eq!(made.open_with(&options).unwrap().vectors().unwrap().ids(), wanted);
    }
}
