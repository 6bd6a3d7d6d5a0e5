//! Laws: a restore is the inverse of a backup, a chain is worth a full backup, and no damage reaches a node.

use super::*;
use crate::vectordb::{Changes, Point};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;

#[derive(Debug, Clone)]
enum Op {
    Put(u64),
    Delete(u64),
    Full,
    Incremental,
    /// A standby is restored here, and follows.
    Standby,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (0_u64..24).prop_map(Op::Put),
        4 => (0_u64..24).prop_map(Op::Delete),
        1 => Just(Op::Full),
        3 => Just(Op::Incremental),
        1 => Just(Op::Standby),
    ]
}

/// Everything that a node can tell, its timeline left aside.
async fn told(node: &Client) -> (Vec<vectordb::Change>, u64, Option<vectordb::Census>) {
    let timeline = node.status().await.unwrap().point.timeline;
    let Changes { records, point, census, .. } =
        node.changes(Point { timeline, lsn: 0 }, 100_000).await.unwrap();
    (records, point.lsn, census)
}

async fn restores(ops: Vec<Op>) {
    let stack = stack().await;
    let (client, s3) = (&stack.client, &stack.s3);
    let mut standby = None;
    stack.fill(7..8, 0).await;
    stack.full().await;
    for (ver, op) in (1..).zip(ops) {
        match op {
            Op::Put(key) => drop(client.put(record(key, ver)).await.unwrap()),
            Op::Delete(key) => drop(client.delete(key, ver).await.unwrap()),
            Op::Full => drop(stack.full().await),
            Op::Incremental => drop(stack.incremental().await),
            Op::Standby => {
                let node = stack.standby().await;
                let restored = restore_into(&node, s3, "docs").await.unwrap();
                standby = Some((node, restored.applied));
            }
        }
    }
    // The chain, and a full backup of the same moment under another name.
    stack.incremental().await;
    back_up(client, s3, "whole").await.unwrap();
    let state = told(client).await;
    for collection in ["docs", "whole"] {
        let other = stack.standby().await;
        restore_into(&other, s3, collection).await.unwrap();
        assert_eq!(told(&other).await, state, "{collection}");
    }
    if let Some((node, applied)) = standby {
        match catch_up(&node, s3, "docs", &applied).await {
            Ok(_) => assert_eq!(contents(&node).await, stack.contents().await),
            Err(error) => assert!(matches!(error, BackupError::NotInChain(_)), "{error}"),
        }
    }
    // Onto itself, with newer writes.
    stack.fill(20..30, 1000).await;
    let before = told(client).await;
    let restored = restore(client, s3, "docs").await.unwrap();
    assert_eq!((restored.imported.replayed, restored.imported.complete), (10, true));
    assert_eq!(told(client).await, before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_restore_is_the_inverse_of_a_backup(ops in prop::collection::vec(op(), 0..40)) {
        Runtime::new().unwrap().block_on(restores(ops));
    }
}

#[derive(Debug, Clone)]
enum Harm {
    Flip {
        at: Index,
        bit: u8,
    },
    Truncate(Index),
    Append(u8),
    /// Another object's bytes.
    Swap(Index),
    Remove,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        8 => (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Harm::Flip { at, bit }),
        2 => any::<Index>().prop_map(Harm::Truncate),
        1 => any::<u8>().prop_map(Harm::Append),
        2 => any::<Index>().prop_map(Harm::Swap),
        1 => Just(Harm::Remove),
    ]
}

/// The bytes of an object after the harm; `None` if it is gone.
fn harmed(good: &[u8], all: &[(String, bytes::Bytes)], harm: &Harm) -> Option<Vec<u8>> {
    let mut bytes = good.to_vec();
    match harm {
        Harm::Flip { at, bit } => bytes[at.index(good.len())] ^= 1 << bit,
        Harm::Truncate(at) => bytes.truncate(at.index(good.len())),
        Harm::Append(byte) => bytes.push(*byte),
        Harm::Swap(other) => bytes = all[other.index(all.len())].1.to_vec(),
        Harm::Remove => return None,
    }
    Some(bytes)
}

/// A chain of three links, a standby that holds the first, and every object of the chain.
struct Chain {
    stack: Stack,
    standby: Client,
    at: Applied,
    objects: Vec<(String, bytes::Bytes)>,
}

async fn chain() -> Chain {
    let stack = stack().await;
    stack.fill(0..40, 1).await;
    stack.build().await;
    stack.full().await;
    let standby = stack.standby().await;
    let at = restore_into(&standby, &stack.s3, "docs").await.unwrap().applied;
    for ver in 2..4 {
        stack.fill(ver * 5..ver * 5 + 10, ver).await;
        stack.client.delete(ver, ver).await.unwrap();
        stack.incremental().await;
    }
    stack.fill(0..50, 9).await;
    let mut objects = Vec::new();
    for listed in stack.s3.list_all("vector-backups/", 100).await.unwrap() {
        let body = stack.s3.get(&listed.key).await.unwrap().unwrap();
        objects.push((listed.key, body));
    }
    assert_eq!(objects.len(), 3 * 3 + 1);
    Chain { stack, standby, at, objects }
}

impl Chain {
    async fn index(&self) -> (Point, Option<IndexInfo>) {
        let status = self.stack.client.status().await.unwrap();
        (status.point, status.index)
    }

    /// Inflicts it, and answers what a restore and a standby say.
    async fn suffer(&self, object: &str, good: &bytes::Bytes, body: Option<Vec<u8>>) {
        let Stack { client, s3, .. } = &self.stack;
        if body.as_ref().is_some_and(|body| body == good) {
            return;
        }
        let before = (told(client).await, told(&self.standby).await, self.index().await);
        match body {
            Some(body) => s3.put(object, body).await.map(drop).unwrap(),
            None => s3.delete(object).await.unwrap(),
        }
        let named = |error: &Option<BackupError>| {
            let named = matches!(error, Some(BackupError::Damaged { object: named, .. }) if named == object);
            assert!(named, "{object}: {error:?}");
        };
        let mut errors = vec![restore(client, s3, "docs").await.err()];
        errors.push(restore_into(&self.standby, s3, "docs").await.err());
        if object.contains("incremental/") || object.ends_with("/latest") {
            errors.push(catch_up(&self.standby, s3, "docs", &self.at).await.err());
        }
        let newest = self.objects.iter().rfind(|(name, _)| name.ends_with("MANIFEST"));
        if newest.is_some_and(|(name, _)| name == object) || object.ends_with("/latest") {
            errors.push(back_up_incremental(client, s3, "docs").await.err());
        }
        s3.put(object, good.clone()).await.unwrap();
        let after = (told(client).await, told(&self.standby).await, self.index().await);
        assert!(after == before, "{object}: a node changed");
        errors.iter().for_each(named);
    }
}

#[test]
fn no_damage_reaches_a_node() {
    let runtime = Runtime::new().unwrap();
    let chain = runtime.block_on(chain());
    let harms = (any::<Index>(), harm());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&harms, |(object, harm)| {
        let (object, good) = object.get(&chain.objects);
        runtime.block_on(chain.suffer(object, good, harmed(good, &chain.objects, &harm)));
        Ok(())
    });
    result.unwrap();
}

#[test]
fn no_missing_object_goes_unnoticed() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let chain = chain().await;
        for (object, good) in &chain.objects {
            chain.suffer(object, good, None).await;
        }
        restore(&chain.stack.client, &chain.stack.s3, "docs").await.unwrap();
        let applied = catch_up(&chain.standby, &chain.stack.s3, "docs", &chain.at).await.unwrap();
        assert_eq!(applied.incrementals, 2);
    });
}
