//! Any sequence of operations leaves what a map would hold.

use super::*;
use crate::vectordb::{BuildEngine, State};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Put(u64),
    Delete(u64),
    Flush,
    Build,
    Reopen,
    Reload,
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0_u64..24).prop_map(Op::Put),
        5 => (0_u64..24).prop_map(Op::Delete),
        2 => Just(Op::Flush),
        1 => Just(Op::Build),
        1 => Just(Op::Reopen),
        1 => Just(Op::Reload),
        1 => Just(Op::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn equals_a_map(ops in prop::collection::vec(op(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = open(dir.path());
        let mut map = Model::new();
        let mut writes = 0;
        for (ver, op) in (1..).zip(ops) {
            match op {
                Op::Put(key) => {
                    put(&engine, key, ver).unwrap();
                    map.insert(key, record(key, ver));
                    writes += 1;
                }
                Op::Delete(key) => {
                    delete(&engine, key).unwrap();
                    map.remove(&key);
                    writes += 1;
                }
                Op::Flush => prop_assert_eq!(engine.flush().unwrap(), writes),
                Op::Build => {
                    let info = engine.build_index(spec(), BuildEngine::Cpu).unwrap();
                    prop_assert_eq!(info.records, map.len() as u64);
                }
                Op::Reload => engine.reload(),
                Op::Close | Op::Reopen => {
                    if matches!(op, Op::Close) {
                        engine.close().unwrap();
                    }
                    drop(engine);
                    engine = open(dir.path());
                }
            }
            let status = engine.status();
            prop_assert_eq!(status.state, State::Healthy);
            prop_assert_eq!((status.live, status.point.lsn), (map.len() as u64, writes));
        }
        prop_assert_eq!(&contents(&engine).unwrap(), &map);
        let query = record(11, 3).vector;
        let hits = engine.search(&query, 5).unwrap();
        for hit in &hits {
            prop_assert_eq!(hit.ver, map[&hit.key].ver);
        }
        let hits: Vec<u64> = hits.iter().map(|hit| hit.key).collect();
        prop_assert_eq!(hits, nearest(&map, &query, 5));
    }
}
