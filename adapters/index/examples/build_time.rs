//! How long an index takes to build here, and how good it is.
//!
//! ```text
//! cargo run --release -p index --example build_time -- [hnsw|ivf] [vectors] [dimension] [file to save]
//! ```
//!
//! The vectors are overlapping clusters from a fixed seed; recall@10 is measured over 500 queries from the
//! same clusters. With a file to save, its vectors and queries are written beside it as `.vectors` and
//! `.queries` (rows of little-endian `f32`), so that another searcher can be asked the same.

#![expect(clippy::print_stdout, reason = "it reports to a person")]

use index::{Engine, Index, IndexSpec, Vectors, build, save};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::env;
use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

const K: usize = 10;
const QUERIES: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse::<usize>());
    let (n, dim) = (number(1, 50_000)?, number(2, 128)?);
    let spec = match args.first().map_or("hnsw", String::as_str) {
        "hnsw" => IndexSpec::hnsw(),
        "ivf" => IndexSpec::ivf_flat(n),
        other => return Err(format!("`{other}` is no kind of index: hnsw and ivf are").into()),
    };
    let rows = clustered(n + QUERIES, dim);
    let (data, queries) = rows.split_at(n * dim);
    let ids: Vec<u64> = (0..n as u64).collect();

    let start = Instant::now();
    let vectors = Vectors::new(dim, &ids, data)?;
    let index = build(vectors, &spec, Engine::Cpu, &mut |_| ControlFlow::Continue(()))?;
    println!("{:?}: {n} x {dim} built in {:.2} s", spec.kind, start.elapsed().as_secs_f64());
    search(&index, data, queries)?;

    if let Some(path) = args.get(3) {
        println!("saved to {path}, sha256 {}", save(&index, Path::new(path))?);
        for (name, rows) in [("vectors", data), ("queries", queries)] {
            let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
            fs::write(format!("{path}.{name}"), bytes)?;
        }
    }
    Ok(())
}

fn search(index: &Index, data: &[f32], queries: &[f32]) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let found: Result<Vec<_>, _> =
        queries.chunks_exact(index.dim()).map(|query| index.search(query, K, &|_| true)).collect();
    let (found, seconds) = (found?, start.elapsed().as_secs_f64());
    let mut hits = 0;
    for (query, found) in queries.chunks_exact(index.dim()).zip(found) {
        let exact = exact(data, query);
        hits += found.iter().filter(|neighbor| exact.contains(&(neighbor.id as usize))).count();
    }
    let recall = hits as f64 / (QUERIES * K) as f64;
    println!("recall@{K} {recall:.4}, {:.0} queries a second", QUERIES as f64 / seconds);
    Ok(())
}

fn exact(data: &[f32], query: &[f32]) -> Vec<usize> {
    let distance = |row: &[f32]| row.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let mut all: Vec<(f32, usize)> = data.chunks_exact(query.len()).map(distance).zip(0..).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().take(K).map(|(_, row)| row).collect()
}

/// Clusters of about 100 rows each.
fn clustered(n: usize, dim: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let clusters = n.div_ceil(100).max(1);
    let centers: Vec<f32> = (0..clusters * dim).map(|_| 0.7 * bell(&mut rng)).collect();
    let mut rows = Vec::with_capacity(n * dim);
    for _ in 0..n {
        let center = rng.next_u64() as usize % clusters * dim;
        rows.extend(centers[center..][..dim].iter().map(|value| value + bell(&mut rng)));
    }
    rows
}

/// Roughly normal, mean 0, deviation 1.
fn bell(rng: &mut ChaCha8Rng) -> f32 {
    let sum: i64 = (0..4).map(|_| (rng.next_u64() >> 48) as i64 - 32_768).sum();
    sum as f32 / 37_800.0
}
