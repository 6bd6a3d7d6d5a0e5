//! The stages of an index's life that the crate `index` exposes: build, save, load, search. Whole rebuilds beside their
//! peers are measured by `gameday bench index`; this finds out which stage moved.

use std::{hint::black_box, ops::ControlFlow};

use benches::rebuild::data::rows;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use index::{Engine, Index, IndexSpec, Vectors, build};

/// Small enough for many samples, large enough that the graph leaves the nearest caches.
const N: usize = 5_000;

fn built(data: &[f32], dim: usize, spec: &IndexSpec) -> Index {
    let ids: Vec<u64> = (0..(data.len() / dim) as u64).collect();
    let vectors = Vectors::new(dim, &ids, data).expect("the rows are sound");
    build(vectors, spec, Engine::Cpu, &mut |_| ControlFlow::Continue(())).expect("the spec is sound")
}

fn builds(c: &mut Criterion) {
    let mut group = c.benchmark_group("index build");
    group.sample_size(10).throughput(Throughput::Elements(N as u64));
    for dim in [128, 768] {
        let data = rows(N, dim);
        for (name, spec) in [("hnsw", IndexSpec::hnsw()), ("ivf_flat", IndexSpec::ivf_flat(N))] {
            group.bench_function(BenchmarkId::new(name, dim), |b| b.iter(|| built(&data, dim, &spec)));
        }
    }
    group.finish();
}

fn files(c: &mut Criterion) {
    let data = rows(N, 128);
    let mut group = c.benchmark_group("index file");
    for (name, spec) in [("hnsw", IndexSpec::hnsw()), ("ivf_flat", IndexSpec::ivf_flat(N))] {
        let index = built(&data, 128, &spec);
        let bytes = index.to_bytes();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("to bytes", name), |b| b.iter(|| index.to_bytes()));
        group.bench_function(BenchmarkId::new("from bytes", name), |b| {
            b.iter(|| Index::from_bytes(&bytes, &spec).expect("it was just written"));
        });
    }
    group.finish();
}

fn searches(c: &mut Criterion) {
    let data = rows(N + 100, 128);
    let (base, queries) = data.split_at(N * 128);
    let mut group = c.benchmark_group("index search");
    group.throughput(Throughput::Elements(100));
    for (name, spec) in [("hnsw", IndexSpec::hnsw()), ("ivf_flat", IndexSpec::ivf_flat(N))] {
        let index = built(base, 128, &spec);
        group.bench_function(name, |b| {
            b.iter(|| {
                for query in queries.chunks_exact(128) {
                    black_box(index.search(query, 10, &|_| true).expect("the query is sound"));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, builds, files, searches);
criterion_main!(benches);
