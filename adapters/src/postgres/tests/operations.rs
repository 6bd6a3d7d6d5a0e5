//! Audit, backup and restore, by the logic that SQLite's feature store has, against real servers and object stores.

use harness::act::RestoreScope;
use harness::corpus::MODELS;

use super::*;
use crate::features::backup::{BackupError, back_up, restore};
use crate::features::{Audit, Flaw, Operated as _, Strike, audit};
use crate::s3::{S3, name_of};

const ENTITIES: u64 = 600;

struct Store {
    node: Node,
    system: PostgresSystem,
    data: S3,
    backups: S3,
}

async fn store(stand: &mut Stand) -> Store {
    let data = stand.object_store("gameday").await;
    let backups = stand.object_store("gameday-backups").await;
    let corpus = corpus(ENTITIES);
    for key in 0..MODELS {
        data.put(&name_of(key), corpus.object(key, 0)).await.unwrap();
    }
    let node = stand.single().await;
    let system = system(&node, &corpus);
    seed(&system, &corpus).await;
    Store { node, system, data, backups }
}

impl Store {
    async fn audit(&self) -> Audit {
        audit(self.node.operators(), &self.data, &self.backups).await.unwrap()
    }

    async fn strike(&self, strike: Strike) -> u64 {
        self.node.operators().strike(strike, 3).await.unwrap().count
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_detector_catches_what_it_is_there_for() {
    let Some(mut stand) = Stand::new() else { return };
    let store = store(&mut stand).await;
    let before = store.audit().await;
    assert!(before.clean() && before.baseline.is_err(), "{before}");
    let taken = back_up(store.node.operators(), &store.backups, Some(&store.data)).await.unwrap();
    assert_eq!(taken.rows, ENTITIES);
    for key in 0..50 {
        store.system.write(Write { key, ver: key + 1, delete: key % 20 == 0 }).await.unwrap();
    }
    let healthy = survivors(&store.system, 1000).await;
    let after = store.audit().await;
    assert!(after.clean() && after.baseline.is_ok(), "{after}");
    // A few swapped rows: digests alone.
    assert_eq!(store.strike(Strike::SwapValues(0.01)).await, 6);
    let seen = store.audit().await;
    assert_eq!(seen.digest, 6, "{seen}");
    assert!(Audit { digest: 0, ..seen.clone() }.clean(), "{seen}");
    // Everything together.
    assert_eq!(store.strike(Strike::DeleteRows(0.05)).await, 30);
    assert_eq!(store.strike(Strike::ShiftValues(0.3)).await, 171);
    assert_eq!(store.strike(Strike::AlterDefinitions(0.25)).await, 2);
    assert_eq!(store.strike(Strike::LeaveRole).await, 1);
    let seen = store.audit().await;
    assert_eq!((seen.missing, seen.psi.len(), &seen.psi), (30, 2, &seen.ks), "{seen}");
    assert!(seen.digest > 171 && seen.references.len() == 2, "{seen}");
    assert_eq!(seen.roles, ["pg_roles/intruder"], "{seen}");
    // Poison is not backed up.
    let refused = back_up(store.node.operators(), &store.backups, Some(&store.data)).await;
    assert!(matches!(refused, Err(BackupError::Poisoned { .. })), "{refused:?}");
    // What was written before the backup is back; what came later stays where it verifies.
    let done = restore(
        store.node.operators(),
        &store.backups,
        Some(&store.data),
        RestoreScope::Minimal,
        Some(1),
        None,
    )
    .await
    .unwrap();
    assert_eq!((done.replaced.roles_removed, &done.timestamp), (1, &taken.timestamp));
    assert!(done.critical_seconds.is_some_and(|critical| critical < done.full_seconds), "{done:?}");
    let roles: i64 = store
        .node
        .operators()
        .value("SELECT count(*) FROM pg_roles WHERE rolname = 'intruder'")
        .await
        .unwrap();
    assert_eq!(roles, 0);
    let clean = store.audit().await;
    assert!(clean.clean(), "{clean}");
    let now = survivors(&store.system, 1000).await;
    assert!(now.iter().all(|(_, reading)| *reading != Reading::Corrupt));
    let lost = healthy.iter().filter(|was| !now.contains(was)).count() as u64;
    // Deletions after the backup that fall victim come back, too: those are not among the healthy.
    assert!(
        lost <= done.replaced.refused && done.replaced.replayed + done.replaced.refused >= 50,
        "{done:?}"
    );
    println!(
        "restored: {} lost, {} replayed, {} repaired",
        lost, done.replaced.replayed, done.replaced.repaired
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intruder_who_owns_things_and_is_at_work_goes_for_good() {
    let Some(mut stand) = Stand::new() else { return };
    let store = store(&mut stand).await;
    back_up(store.node.operators(), &store.backups, Some(&store.data)).await.unwrap();
    store.strike(Strike::LeaveRole).await;
    store.node.operators().run("ALTER ROLE intruder PASSWORD 'x'; CREATE TABLE loot (id int); ALTER TABLE loot OWNER TO intruder; ALTER ROLE gameday SUPERUSER").await.unwrap();
    let login = Login {
        user: "intruder".into(),
        password: Secret::new("x"),
        ..store.node.operators().login().clone()
    };
    let intruder = Database::new(login, LIMIT);
    intruder.run("SELECT * FROM loot").await.unwrap();
    let kept = restore(
        store.node.operators(),
        &store.backups,
        Some(&store.data),
        RestoreScope::Full,
        None,
        Some(Flaw::KeepsRole),
    )
    .await;
    assert_eq!(kept.unwrap().replaced.roles_removed, 0);
    intruder.run("SELECT 1").await.unwrap();
    let unfit =
        restore(store.node.operators(), &store.backups, Some(&store.data), RestoreScope::Full, Some(7), None)
            .await;
    assert!(matches!(unfit, Err(BackupError::Unfit { .. })), "{unfit:?}");
    let done =
        restore(store.node.operators(), &store.backups, Some(&store.data), RestoreScope::Full, None, None)
            .await
            .unwrap();
    assert_eq!(done.replaced.roles_removed, 2);
    assert!(intruder.run("SELECT 1").await.is_err());
    assert!(store.audit().await.clean());
    // The store's own user is what it was, and at work.
    store.system.write(put(1, 9)).await.unwrap();
    assert!(store.node.users().run("CREATE ROLE another").await.unwrap_err().is_definite());
}
