//! Backups against real nodes: what is restored is what was there, and no damaged byte is.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use harness::act::RestoreScope;
use proptest::prelude::*;

use super::*;
use crate::features::backup::{Backup, BackupError, Restored, back_up, restore};
use crate::features::{Flaw, Strike};
use crate::s3::{Keys, S3, Server as ObjectServer, ServerConfig};

pub(super) struct Stack {
    pub(super) node: Node,
    pub(super) s3: S3,
    pub(super) dir: tempfile::TempDir,
    pub(super) endpoint: String,
}

pub(super) async fn stack() -> Stack {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::new("gameday", "not-a-secret");
    let data = dir.path().join("objects");
    let config = ServerConfig { port: 0, data, keys: keys.clone(), lifeline: false, replica: None };
    let objects = ObjectServer::bind(config).await.unwrap();
    let endpoint = format!("http://{}", objects.addr());
    let s3 = S3::new(&endpoint, "gameday-backups", &keys).unwrap();
    tokio::spawn(objects.run(std::future::pending()));
    s3.create_bucket().await.unwrap();
    let node = node(&dir.path().join("features")).await;
    Stack { node, s3, dir, endpoint }
}

fn definition(f: usize) -> Item {
    let body = format!(r#"{{"version":1,"source":"events","critical":{}}}"#, f < 4);
    record(Table::Definitions, &format!("feature_{f}"), &body)
}

/// A small catalogue in which everything fits.
pub(super) fn catalogue() -> Vec<Item> {
    let mut all: Vec<Item> = (0..FEATURES).map(definition).collect();
    all.push(record(Table::Dependencies, "feature_0 on events", "{}"));
    let body = r#"{"model":"m","model_version":3,"definitions":1}"#;
    all.push(record(Table::Compatibility, "m 3", body));
    all.push(record(Table::Models, "m", r#"{"version":3,"sha256":"0"}"#));
    all.push(record(Table::Roles, "admin", r#"{"grants":["write"]}"#));
    all
}

impl Stack {
    pub(super) async fn fill(&self, keys: std::ops::Range<u64>, ver: u64) {
        self.node.client.apply(keys.map(|key| row(key, ver)).collect()).await.unwrap();
    }

    pub(super) async fn filled(self) -> Self {
        self.fill(0..100, 1).await;
        self.node.client.apply(catalogue()).await.unwrap();
        self
    }

    pub(super) async fn contents(&self) -> Vec<Item> {
        let rows = self.node.client.rows(0, u64::MAX, 50_000).await.unwrap().rows;
        let records = self.node.client.catalogue().await.unwrap();
        rows.into_iter().chain(records).map(|stored| stored.item).collect()
    }

    pub(super) async fn back_up(&self) -> Backup {
        back_up(&self.node.client, &self.s3, None).await.unwrap()
    }

    async fn restore(&self) -> Result<Restored, BackupError> {
        restore(&self.node.client, &self.s3, None, RestoreScope::Full, None, None).await
    }

    async fn strike(&self, strike: Strike) -> u64 {
        self.node.client.strike(strike, 7).await.unwrap().count
    }

    /// Every object of every backup.
    async fn objects(&self) -> BTreeMap<String, Bytes> {
        let mut all = BTreeMap::new();
        for listed in self.s3.list_all("feature-backups/", 1000).await.unwrap() {
            let body = self.s3.get(&listed.key).await.unwrap().unwrap();
            all.insert(listed.key, body);
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_is_what_was_there_with_newer_writes_on_top() {
    let stack = stack().await.filled().await;
    stack.node.client.apply(vec![gone(7, 2)]).await.unwrap();
    let backup = stack.back_up().await;
    assert_eq!((backup.rows, backup.records, backup.objects), (100, 12, 4));
    stack.fill(90..110, 3).await;
    stack.node.client.apply(vec![gone(50, 4)]).await.unwrap();
    let before = stack.contents().await;
    let history = stack.node.client.status().await.unwrap().point.timeline;
    let restored = stack.restore().await.unwrap();
    assert_eq!(stack.contents().await, before);
    let done = restored.replaced;
    assert_eq!(
        (done.items, done.replayed, done.refused, done.repaired, done.roles_removed),
        (122, 21, 0, 0, 0)
    );
    assert_eq!((restored.rows, restored.timestamp, restored.migrated_from), (100, backup.timestamp, None));
    assert_ne!(stack.node.client.status().await.unwrap().point.timeline, history);
    // The log is as complete as before: everything can be followed from its beginning.
    assert_eq!(stack.node.client.changes(0, 1000).await.unwrap().items.len(), 122);
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_and_healthy_newer_writes_stay() {
    let stack = stack().await.filled().await;
    stack.back_up().await;
    // Everything below 20 is written again after the backup; then the intruder comes.
    stack.fill(0..20, 2).await;
    let shifted = stack.strike(Strike::ShiftValues(0.2)).await;
    let deleted = stack.strike(Strike::DeleteRows(0.1)).await;
    stack.strike(Strike::AlterDefinitions(0.5)).await;
    stack.strike(Strike::DeleteDefinitions(0.2)).await;
    stack.strike(Strike::LeaveRole).await;
    // What users write afterwards is as good as ever, and heals what it replaces.
    stack.fill(10..12, 3).await;
    let missing = stack.node.client.missing().await.unwrap();
    let rows = stack.node.client.rows(0, u64::MAX, 1000).await.unwrap().rows;
    let bad = rows.iter().filter(|stored| !stored.verifies()).count() as u64;
    assert!(bad > 0 && bad <= shifted && missing.len() as u64 <= deleted + 2);
    let healthy: BTreeMap<u64, Item> = rows
        .iter()
        .filter(|stored| stored.verifies())
        .filter_map(|stored| match &stored.item {
            Item::Row(row) => Some((row.key, stored.item.clone())),
            Item::Record(_) => None,
        })
        .collect();
    let restored = stack.restore().await.unwrap();
    let expected: Vec<Item> = (0..100)
        .map(|key| healthy.get(&key).cloned().unwrap_or_else(|| row(key, 1)))
        .chain(catalogue())
        .collect();
    let sorted = |mut items: Vec<Item>| {
        items.sort_by_key(Item::key);
        items
    };
    assert_eq!(sorted(stack.contents().await), sorted(expected));
    let done = restored.replaced;
    let newer = healthy.values().filter(|item| item.ver() > 1).count() as u64;
    assert_eq!((done.replayed, done.refused), (newer, 20 - newer));
    assert_eq!(done.roles_removed, 1);
    assert!(done.repaired >= 4 + 2, "{done:?}");
    // A poisoned store is not backed up, a restored one is.
    stack.back_up().await;
    stack.strike(Strike::SwapValues(0.02)).await;
    let refused = back_up(&stack.node.client, &stack.s3, None).await.unwrap_err();
    assert!(matches!(refused, BackupError::Poisoned { count: 2, .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minimal_restore_brings_critical_features_first_and_then_the_rest() {
    let stack = stack().await.filled().await;
    let before = stack.contents().await;
    stack.back_up().await;
    stack.strike(Strike::ShiftValues(1.0)).await;
    stack.strike(Strike::LeaveRole).await;
    let restored =
        restore(&stack.node.client, &stack.s3, None, RestoreScope::Minimal, None, None).await.unwrap();
    assert_eq!(stack.contents().await, before);
    assert!(restored.critical_seconds.unwrap() < restored.full_seconds);
    assert_eq!((restored.replaced.repaired, restored.replaced.roles_removed), (100, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn critical_values_are_right_after_the_first_commit_and_rows_verify_after_the_second() {
    use crate::features::Rules;
    let stack = stack().await;
    stack.fill(0..10, 1).await;
    for _ in 0..8 {
        // Two features at a time, until all are hit.
        stack
            .node
            .client
            .strike(Strike::ShiftValues(1.0), stack.contents().await[0].digest()[0].into())
            .await
            .unwrap();
    }
    let restore = stack.node.client.begin().await.unwrap();
    stack.node.client.stage(restore, (0..10).map(|key| row(key, 1)).collect()).await.unwrap();
    let only = [true, true, false, false, true, false, false, false];
    stack.node.client.replace(restore, Rules { only: Some(only), ..Rules::default() }).await.unwrap();
    for stored in stack.node.client.rows(0, 9, 100).await.unwrap().rows {
        let Item::Row(now) = &stored.item else { panic!() };
        let (now, right) = (now.values.unwrap(), values(now.key, 1));
        assert!((0..FEATURES).all(|f| !only[f] || now[f] == right[f]));
    }
    stack.node.client.replace(restore, Rules::default()).await.unwrap();
    assert_eq!(stack.contents().await, (0..10).map(|key| row(key, 1)).collect::<Vec<_>>());
    let again = stack.node.client.replace(restore, Rules::default()).await;
    assert!(again.is_err_and(|e| e.is_definite()), "a restore is used once");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_must_fit_the_definitions() {
    let stack = stack().await.filled().await;
    stack.back_up().await;
    let with = |version| restore(&stack.node.client, &stack.s3, None, RestoreScope::Full, version, None);
    with(Some(3)).await.unwrap();
    let unfit = with(Some(4)).await.unwrap_err();
    assert!(matches!(&unfit, BackupError::Unfit { why, .. } if why.contains("m version 4")), "{unfit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_restore_is_said() {
    let stack = stack().await.filled().await;
    assert!(matches!(stack.restore().await, Err(BackupError::Missing)));
    stack.back_up().await;
    // Interrupted: objects and no manifest.
    stack.s3.put("feature-backups/state/2999-01-01T000000.000Z/rows-000000.parquet", "PAR1").await.unwrap();
    assert_eq!(stack.restore().await.unwrap().unfinished, ["2999-01-01T000000.000Z"]);
    assert!(matches!(back_up(&stack.node.client, &stack.s3, None).await, Err(BackupError::Clock { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_the_schema_before_is_migrated_and_any_other_refused() {
    let stack = stack().await.filled().await;
    let before = stack.contents().await;
    let milliseconds: Vec<Item> = (0..100)
        .map(|key| Item::Row(Row { key, ver: 1, event_us: 1, values: Some(values(key, 1)) }))
        .collect();
    crate::features::backup::tests_only::as_schema_1(&stack.s3, milliseconds, catalogue()).await;
    stack.strike(Strike::ShiftValues(1.0)).await;
    let restored = stack.restore().await.unwrap();
    assert_eq!((restored.migrated_from, stack.contents().await), (Some(1), before.clone()));
    crate::features::backup::tests_only::as_schema_9(&stack.s3).await;
    let refused = stack.restore().await.unwrap_err();
    assert!(matches!(&refused, BackupError::Unfit { why, .. } if why.contains("schema 9")), "{refused}");
    assert_eq!(stack.contents().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_flaws_do_what_they_say() {
    let stack = stack().await.filled().await;
    stack.back_up().await;
    stack.fill(95..120, 2).await;
    stack.strike(Strike::LeaveRole).await;
    let flawed = |flaw| restore(&stack.node.client, &stack.s3, None, RestoreScope::Full, None, Some(flaw));
    assert_eq!(flawed(Flaw::KeepsRole).await.unwrap().replaced.roles_removed, 0);
    let role = stack.node.client.record(Table::Roles, "intruder".into()).await.unwrap();
    assert!(role.is_some_and(|role| !role.verifies()));
    assert_eq!(stack.node.client.row(119).await.unwrap().unwrap().item, row(119, 2));
    flawed(Flaw::StaleRestore).await.unwrap();
    assert_eq!(stack.node.client.record(Table::Roles, "intruder".into()).await.unwrap(), None);
    let rows = stack.node.client.rows(0, u64::MAX, 1000).await.unwrap().rows;
    assert_eq!(
        rows.into_iter().map(|stored| stored.item).collect::<Vec<_>>(),
        (0..100).map(|key| row(key, 1)).collect::<Vec<_>>()
    );
}

/// Values as a drill has them, and some that are hard on formats.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(f64::MAX), Just(f64::MIN_POSITIVE), Just(1.0), -1e9..1e9]
}

fn state() -> impl Strategy<Value = Vec<Item>> {
    let rows = prop::collection::vec(
        (0..60u64, 0..5u64, prop::option::weighted(0.8, prop::array::uniform8(value()))),
        0..80,
    );
    let records =
        prop::collection::vec((0..5usize, "[a-zé\"']{1,6}", 0..3u64, prop::option::of(".{0,20}")), 0..12);
    (rows, records).prop_map(|(rows, records)| {
        let rows = rows.into_iter().map(|(key, ver, values)| {
            Item::Row(Row { key: key * key * key, ver, event_us: ver as i64 - 2, values })
        });
        let records = records.into_iter().map(|(table, name, ver, body)| {
            Item::Record(Record {
                table: Table::ALL[table],
                name,
                ver,
                event_us: 0,
                body: body.map(|b| format!("{b:?}")),
            })
        });
        rows.chain(records).collect()
    })
}

fn shared() -> &'static (tokio::runtime::Runtime, Stack) {
    static SHARED: OnceLock<(tokio::runtime::Runtime, Stack)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let stack = runtime.block_on(async { stack().await.filled().await });
        runtime.block_on(stack.back_up());
        (runtime, stack)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_restored_is_what_was_backed_up(before in state(), instead in state(), struck in any::<u64>()) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let stack = stack().await;
            stack.node.client.apply(before).await.unwrap();
            let contents = stack.contents().await;
            let backup = back_up(&stack.node.client, &stack.s3, None).await.unwrap();
            // Into an emptied node, and into one that an intruder has been in.
            let other = Stack { node: node(&stack.dir.path().join("other")).await, s3: stack.s3.clone(), dir: tempfile::tempdir().unwrap(), endpoint: String::new() };
            let restored = other.restore().await.unwrap();
            assert_eq!(other.contents().await, contents);
            assert_eq!((restored.timestamp, restored.rows + restored.records), (backup.timestamp, contents.len() as u64));
            for strike in [Strike::ShiftValues(0.5), Strike::SwapValues(0.3), Strike::DeleteRows(0.3), Strike::DeleteDefinitions(0.5), Strike::LeaveRole] {
                let _ = stack.node.client.strike(strike, struck).await;
            }
            stack.restore().await.unwrap();
            assert_eq!(stack.contents().await, contents);
            // Newer writes of the node's own stay, whatever order they came in.
            stack.node.client.apply(instead).await.unwrap();
            let merged = stack.contents().await;
            stack.restore().await.unwrap();
            assert_eq!(stack.contents().await, merged);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_flipped_byte_and_any_missing_object_is_found_first(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), flip in 1..=255u8, how in 0..4u8) {
        let (runtime, stack) = shared();
        runtime.block_on(async {
            let objects = stack.objects().await;
            assert_eq!(objects.len(), 5);
            let (name, good) = objects.iter().nth(which.index(objects.len())).unwrap();
            let mut bad = good.to_vec();
            let at = at.index(bad.len());
            match how {
                0 => stack.s3.delete(name).await.unwrap(),
                1 => bad.truncate(at),
                _ => bad[at] ^= flip,
            }
            if how > 0 {
                stack.s3.put(name, bad).await.unwrap();
            }
            let point = stack.node.client.status().await.unwrap().point;
            let found = stack.restore().await;
            let missing = how == 0 && name.ends_with("MANIFEST");
            let expected = |e: &BackupError| match e {
                BackupError::Missing => missing,
                BackupError::Damaged { object, .. } => object == name,
                _ => false,
            };
            assert!(found.as_ref().is_err_and(expected), "{name}: {found:?}");
            assert_eq!(stack.node.client.status().await.unwrap().point, point);
            stack.s3.put(name, good.clone()).await.unwrap();
        });
    }
}

#[tokio::test]
async fn garbage_is_contained() {
    use crate::features::backup::tests_only::decode;
    let stack = stack().await.filled().await;
    stack.back_up().await;
    let objects = stack.objects().await;
    let good = objects.iter().find(|(name, _)| name.ends_with(".parquet")).unwrap().1;
    assert_eq!(decode(good.clone()).await.unwrap().len(), 100);
    // Behind a checksum nothing of this gets here. Whatever it is, it comes to an end.
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 0x55;
        drop(decode(bad.into()).await);
        decode(good.slice(..at)).await.unwrap_err();
    }
}
