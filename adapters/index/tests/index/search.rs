//! What a search promises: recall, order, filters, and answers for odd sizes.

use crate::data::{Data, all, both};
use index::{BuildError, Engine, Index, IndexSpec, Kind, Metric, SearchError, Vectors, build};
use std::ops::ControlFlow;

fn ids(index: &Index, query: &[f32], k: usize, keep: &dyn Fn(u64) -> bool) -> Vec<u64> {
    index.search(query, k, keep).unwrap().iter().map(|neighbor| neighbor.id).collect()
}

#[test]
fn recall_of_hnsw_and_ivf() {
    let data = Data::clustered(5_000, 32, 200, 1);
    let hnsw = data.recall(&data.build(&IndexSpec::hnsw()), 10, &|_| true);
    assert!(hnsw >= 0.95, "HNSW recall@10 {hnsw}");
    let ivf = data.recall(&data.build(&IndexSpec::ivf_flat(5_000)), 10, &|_| true);
    assert!(ivf >= 0.9, "IVF recall@10 {ivf}");
    // Guards the data: if a search of almost nothing did as well, the figures above would mean nothing.
    let narrow = IndexSpec { kind: Kind::Hnsw { m: 2, ef_construction: 2, ef: 1 }, ..IndexSpec::hnsw() };
    let poor = data.recall(&data.build(&narrow), 10, &|_| true);
    assert!(poor < 0.8, "the data is too easy: {poor}");
}

/// Sixteen clusters as far apart as they can be. A descent that keeps one node a layer misses a whole one for some of
/// these queries.
#[test]
fn no_cluster_is_out_of_sight() {
    const DIM: usize = 64;
    let mut lost = Vec::new();
    for seed in 1..4 {
        let data = Data::apart(48_000, DIM, 16, 400, seed);
        let index = data.build(&IndexSpec { seed, ..IndexSpec::hnsw() });
        for (at, query) in data.queries.chunks_exact(DIM).enumerate() {
            // Clusters are 1,000 and more apart, and members of one far less.
            let nearest = index.search(query, 1, &|_| true).unwrap()[0].distance;
            if nearest > 500.0 {
                lost.push((seed, at, nearest));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn filtered_ids_are_never_returned_and_never_in_the_way() {
    let data = Data::clustered(3_000, 16, 50, 2);
    for spec in both() {
        let index = data.build(&spec);
        // IVF stops after `nprobe` lists once it has `k` answers, so it is not asked for a needle.
        let parts: &[u64] =
            if matches!(spec.kind, Kind::Hnsw { .. }) { &[2, 10, 100, 1_000] } else { &[2, 10] };
        for &part in parts {
            let keep = |id: u64| id.is_multiple_of(part);
            let query = &data.queries[..16];
            assert!(ids(&index, query, 10, &keep).iter().all(|id| id.is_multiple_of(part)));
            let recall = data.recall(&index, 10, &keep);
            assert!(recall >= 0.9, "one of {part} kept: recall@10 {recall} of {spec:?}");
        }
        assert!(ids(&index, &data.queries[..16], 10, &|_| false).is_empty());
    }
}

#[test]
fn answers_are_sorted_distinct_and_their_distances_true() {
    let data = Data::clustered(1_000, 8, 20, 3);
    for spec in both() {
        let index = data.build(&spec);
        assert_eq!((index.len(), index.dim(), index.spec()), (1_000, 8, &spec));
        for query in data.queries.chunks_exact(8) {
            let found = index.search(query, 30, &|_| true).unwrap();
            assert_eq!(found.len(), 30);
            assert!(found.is_sorted_by(|a, b| (a.distance, a.id) < (b.distance, b.id)));
            for neighbor in found {
                let row = &data.rows[(neighbor.id as usize - 3) / 7 * 8..][..8];
                let exact: f32 = row.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum();
                assert!((neighbor.distance - exact).abs() <= exact * 1e-5);
            }
        }
    }
}

/// Eight bits a value cost next to nothing; a byte for each two values costs some.
#[test]
fn recall_of_compressed_lists() {
    let data = Data::clustered(5_000, 32, 200, 1);
    let recall = |kind| {
        let index = data.build(&IndexSpec { kind, ..IndexSpec::hnsw() });
        (data.recall(&index, 10, &|_| true), index)
    };
    let (flat, _) = recall(Kind::IvfFlat { nlist: 70, nprobe: 20 });
    let (sq8, index) = recall(Kind::IvfSq8 { nlist: 70, nprobe: 20 });
    assert!(sq8 >= flat - 0.02, "IVF_SQ8 {sq8}, IVF_FLAT {flat}");
    // A code stands for a value within a step of the range.
    let found = index.search(&data.rows[..32], 1, &|_| true).unwrap();
    assert!(found[0].id == 3 && found[0].distance < 0.1, "{found:?}");
    let (pq, _) = recall(Kind::IvfPq { nlist: 70, nprobe: 20, m: 16 });
    assert!(pq >= 0.8 * flat, "IVF_PQ {pq}, IVF_FLAT {flat}");
    let (poor, _) = recall(Kind::IvfPq { nlist: 70, nprobe: 20, m: 1 });
    assert!(poor < pq, "more parts are better: {poor}");
}

#[test]
fn parts_of_unequal_length_are_refused() {
    let data = Data::clustered(10, 6, 1, 1);
    let spec = IndexSpec { kind: Kind::IvfPq { nlist: 2, nprobe: 1, m: 4 }, ..IndexSpec::hnsw() };
    let vectors = Vectors::new(6, &data.ids, &data.rows).unwrap();
    let error = build(vectors, &spec, Engine::Cpu, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error, BuildError::Parts { m: 4, dim: 6 });
}

#[test]
fn every_dimension_and_metric_zero_vectors_and_copies() {
    for dim in [1, 2, 3, 7, 16, 65, 4_096] {
        let mut data = Data::clustered(if dim > 100 { 90 } else { 400 }, dim, 1, 3);
        data.rows[..dim].fill(0.0);
        let copy = data.rows[5 * dim..6 * dim].to_vec();
        data.rows[20 * dim..80 * dim].copy_from_slice(&copy.repeat(60));
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
            for spec in all().into_iter().skip(1) {
                let wide = match spec.kind {
                    Kind::IvfFlat { .. } => Kind::IvfFlat { nlist: 80, nprobe: 80 },
                    Kind::IvfSq8 { .. } => Kind::IvfSq8 { nlist: 80, nprobe: 80 },
                    other => other,
                };
                let index = data.build(&IndexSpec { kind: wide, metric, ..spec });
                let found = ids(&index, &data.rows[..dim], usize::MAX, &|_| true);
                assert_eq!(found.len(), data.ids.len(), "{wide:?}, {metric:?}, {dim} values");
            }
        }
    }
}

#[test]
fn empty_and_single() {
    for spec in all().into_iter().chain([IndexSpec::ivf_flat(0)]) {
        let empty = Data::clustered(0, 3, 1, 4);
        let index = empty.build(&spec);
        assert!(index.is_empty() && ids(&index, &[0.0; 3], 5, &|_| true).is_empty());
        let again = Index::from_bytes(&index.to_bytes(), &spec).unwrap();
        assert_eq!((again.len(), again.dim()), (0, 3));

        let single = Data::clustered(1, 3, 1, 4).build(&spec);
        assert_eq!(ids(&single, &[0.0; 3], 5, &|_| true), [3]);
        assert!(ids(&single, &[0.0; 3], 0, &|_| true).is_empty());
        assert!(ids(&single, &[0.0; 3], 5, &|id| id != 3).is_empty());
    }
}

#[test]
fn more_neighbours_than_vectors_are_all_of_them() {
    let data = Data::clustered(500, 8, 1, 5);
    for spec in all() {
        let mut found = ids(&data.build(&spec), &data.queries, usize::MAX, &|_| true);
        found.sort_unstable();
        assert_eq!(found, data.ids, "{spec:?}");
    }
}

#[test]
fn equal_vectors_are_all_found_in_order_of_their_ids() {
    let ids: Vec<u64> = (0..2_000).rev().collect();
    let rows: Vec<f32> = ids.iter().flat_map(|id| [(id % 4) as f32, 1.0]).collect();
    for spec in both() {
        let vectors = Vectors::new(2, &ids, &rows).unwrap();
        let index = build(vectors, &spec, Engine::Cpu, &mut |_| ControlFlow::Continue(())).unwrap();
        let found = index.search(&[2.0, 1.0], 2_000, &|_| true).unwrap();
        assert_eq!(found.len(), 2_000, "{spec:?}");
        assert!(found[..500].iter().all(|neighbor| neighbor.id % 4 == 2 && neighbor.distance == 0.0));
        assert!(found.is_sorted_by(|a, b| (a.distance, a.id) < (b.distance, b.id)));
    }
}

#[test]
fn values_whose_distances_overflow_are_refused_with_their_row() {
    let mut rows = vec![1.0f32; 600];
    rows[401] = 1e19;
    let ids: Vec<u64> = (0..300).map(|at| at + 5).collect();
    let built = |rows: &[f32], spec: &IndexSpec| {
        let vectors = Vectors::new(2, &ids, rows).unwrap();
        build(vectors, spec, Engine::Cpu, &mut |_| ControlFlow::Continue(()))
    };
    for spec in all() {
        let refused = built(&rows, &spec).unwrap_err();
        assert_eq!(refused, BuildError::TooFar { row: 200, id: 205 }, "{spec:?}");
        assert!(refused.to_string().contains("row 200 (id 205)"), "{refused}");
        // Of length one under cosine.
        assert!(built(&rows, &IndexSpec { metric: Metric::Cosine, ..spec }).is_ok());
        let product = IndexSpec { metric: Metric::InnerProduct, ..spec };
        assert_eq!(built(&rows, &product).unwrap_err(), refused);
    }
}

/// Just short enough: on opposite sides, and every distance is a number.
#[test]
fn the_longest_vectors_that_are_taken_have_distances() {
    let extremes = [9.2e18, -9.2e18, 0.0, f32::MIN_POSITIVE, -0.0, 1e-40];
    let rows: Vec<f32> = (0..300).flat_map(|at| [extremes[at % 6], extremes[at / 6 % 4 + 2]]).collect();
    let ids: Vec<u64> = (0..300).collect();
    for spec in all() {
        let vectors = Vectors::new(2, &ids, &rows).unwrap();
        let index = build(vectors, &spec, Engine::Cpu, &mut |_| ControlFlow::Continue(())).unwrap();
        let found = index.search(&[9.2e18, 0.0], 300, &|_| true).unwrap();
        assert_eq!(found.len(), 300, "{spec:?}");
        assert!(found.is_sorted_by(|a, b| (a.distance, a.id) < (b.distance, b.id)));
        assert!(found.iter().all(|near| near.distance.is_finite()), "{spec:?}");
        // Whoever asks from farther away gets an order, if no distances.
        let far = index.search(&[f32::MAX, f32::MIN], 300, &|_| true).unwrap();
        assert!(far.len() == 300 && far.is_sorted_by(|a, b| (a.distance, a.id) < (b.distance, b.id)));
        assert!(Index::from_bytes(&index.to_bytes(), &spec).is_ok());
    }
}

#[test]
fn wrong_queries_are_refused() {
    let data = Data::clustered(10, 4, 1, 6);
    for spec in all() {
        let index = data.build(&spec);
        let every = &|_| true;
        assert_eq!(index.search(&[0.0; 3], 1, every), Err(SearchError::Dim { expected: 4, found: 3 }));
        assert_eq!(index.search(&[0.0, f32::NAN, 0.0, 0.0], 1, every), Err(SearchError::NotFinite));
    }
}

#[test]
fn a_search_may_be_asked_from_many_threads_and_from_within_a_filter() {
    let data = Data::clustered(500, 8, 20, 7);
    for spec in all() {
        let index = data.build(&spec);
        let alone: Vec<_> =
            data.queries.chunks_exact(8).map(|query| index.search(query, 5, &|_| true).unwrap()).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for (query, expected) in data.queries.chunks_exact(8).zip(&alone) {
                        let within = |_| index.search(query, 1, &|_| true).is_ok();
                        assert_eq!(&index.search(query, 5, &within).unwrap(), expected);
                    }
                });
            }
        });
    }
}

#[test]
fn progress_rises_to_one_and_cancels() {
    let data = Data::clustered(2_000, 4, 1, 8);
    let vectors = Vectors::new(4, &data.ids, &data.rows).unwrap();
    for spec in all() {
        let mut heard = Vec::new();
        build(vectors, &spec, Engine::Cpu, &mut |done| {
            heard.push(done);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(heard.len() > 3 && heard.is_sorted() && heard.last() == Some(&1.0), "{heard:?}");
        let mut calls = 0;
        let cancelled = build(vectors, &spec, Engine::Cpu, &mut |_| {
            calls += 1;
            if calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((cancelled.unwrap_err(), calls), (BuildError::Cancelled, 3));
    }
}
