//! Laws of the changes that two object stores exchange, whatever they hold.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::change::{Name, Stamp, State};
use super::replicated::Replicated;
use super::store::{Change, Store};
use crate::replica::Replicable as _;

/// Everything that `from` has, in batches of `limit`, each applied twice.
async fn exchange(from: &Replicated, to: &Replicated, limit: usize) {
    let mut since = 0;
    loop {
        let batch = from.changes(since, limit).await.unwrap();
        for _ in 0..2 {
            to.apply(batch.ops.clone()).await.unwrap();
        }
        since = batch.upto;
        if !batch.more {
            break;
        }
    }
}

async fn store(root: &Path, writes: &[(u8, Option<u8>, u64)]) -> Replicated {
    let store = Store::open(root).unwrap();
    for (key, body, at) in writes {
        let name = Name::new("drill", &key.to_string());
        // Few stamps, and the same origin for all: versions of the same stamp differ by content.
        let stamp = Some(Stamp { micros: *at, origin: 0 });
        let change = match body {
            None => Change { name, state: State::Deleted, staged: None, stamp },
            Some(byte) => {
                let mut file = store.staging().begin().unwrap();
                // Some have two parts.
                file.write(&vec![*byte; if byte % 4 == 0 { 1_200_000 } else { 40 }]).unwrap();
                let staged = file.finish().unwrap();
                Change { name, state: staged.state, staged: Some(staged), stamp }
            }
        };
        store.change(change).await.unwrap();
    }
    Replicated(store)
}

fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(all) = std::fs::read_dir(root.join("drill")) else { return BTreeMap::new() };
    all.flatten()
        .map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap()))
        .collect()
}

fn writes() -> impl Strategy<Value = Vec<(u8, Option<u8>, u64)>> {
    prop::collection::vec((0u8..4, prop::option::of(any::<u8>()), 0u64..5), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever two stores hold, an exchange in both directions makes them the same, and another one changes nothing.
    #[test]
    fn exchanges_converge(ours in writes(), theirs in writes(), limit in 1usize..5) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
            let a = store(dirs[0].path(), &ours).await;
            let b = store(dirs[1].path(), &theirs).await;
            exchange(&a, &b, limit).await;
            exchange(&b, &a, limit).await;
            assert_eq!(files(dirs[0].path()), files(dirs[1].path()));
            let settled = (a.position(), b.position());
            exchange(&a, &b, limit).await;
            exchange(&b, &a, limit).await;
            assert_eq!((a.position(), b.position()), settled);
            assert_eq!(files(dirs[0].path()), files(dirs[1].path()));
        });
    }

    /// Cut anywhere, garbled anywhere: such a change is refused.
    #[test]
    fn garbled_changes_never_become_objects(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
            let a = store(dirs[0].path(), &[(1, Some(7), 3)]).await;
            let b = store(dirs[1].path(), &[]).await;
            let mut op = a.changes(0, 1).await.unwrap().ops[0].to_vec();
            let at = at.index(op.len());
            if cut { op.truncate(at) } else { op[at] ^= 1 << bit }
            assert!(b.apply(vec![op.into()]).await.is_err());
            assert_eq!((files(dirs[1].path()).len(), b.position().lsn), (0, 0));
        });
    }
}
