//! What a search promises: recall, order, filters, and answers for odd sizes.

use crate::data::{Data, both};
use index::{BuildError, Engine, Index, IndexSpec, Kind, SearchError, Vectors, build};
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

#[test]
fn empty_and_single() {
    for spec in both().into_iter().chain([IndexSpec::ivf_flat(0)]) {
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
    for spec in both() {
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
fn values_whose_distances_overflow_are_ordered_all_the_same() {
    let extremes = [f32::MAX, f32::MIN, 0.0, f32::MIN_POSITIVE, -0.0, 1e-40];
    let rows: Vec<f32> = (0..300).flat_map(|at| [extremes[at % 6], extremes[at / 6 % 6]]).collect();
    let ids: Vec<u64> = (0..300).collect();
    for spec in both() {
        let vectors = Vectors::new(2, &ids, &rows).unwrap();
        let index = build(vectors, &spec, Engine::Cpu, &mut |_| ControlFlow::Continue(())).unwrap();
        let found = index.search(&[f32::MAX, f32::MIN], 300, &|_| true).unwrap();
        assert_eq!(found.len(), 300, "{spec:?}");
        assert!(found.is_sorted_by(|a, b| (a.distance, a.id) < (b.distance, b.id)));
        assert!(Index::from_bytes(&index.to_bytes(), &spec).is_ok());
    }
}

#[test]
fn wrong_queries_are_refused() {
    let data = Data::clustered(10, 4, 1, 6);
    for spec in both() {
        let index = data.build(&spec);
        let all = &|_| true;
        assert_eq!(index.search(&[0.0; 3], 1, all), Err(SearchError::Dim { expected: 4, found: 3 }));
        assert_eq!(index.search(&[0.0, f32::NAN, 0.0, 0.0], 1, all), Err(SearchError::NotFinite));
    }
}

#[test]
fn a_search_may_be_asked_from_many_threads_and_from_within_a_filter() {
    let data = Data::clustered(500, 8, 20, 7);
    for spec in both() {
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
    for spec in both() {
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
