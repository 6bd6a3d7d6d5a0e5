//! Chains of incrementals: what they stand on, what was interrupted, and standbys that follow them.

use super::*;
use crate::backup::manifest::latest_object;
use crate::vectordb::Point;

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_holds_what_changed_and_no_more() {
    let stack = stack().await;
    stack.fill(0..100, 1).await;
    stack.full().await;
    let nothing = stack.incremental().await;
    assert_eq!(
        (nothing.kind, nothing.records, nothing.changes, nothing.objects),
        (Kind::Incremental, 100, 0, 1)
    );
    stack.fill(95..103, 2).await;
    stack.client.delete(7, 3).await.unwrap();
    stack.client.delete(200, 3).await.unwrap();
    let some = stack.incremental().await;
    assert_eq!((some.records, some.changes, some.objects), (102, 10, 2));
    let before = stack.contents().await;
    stack.fill(0..5, 4).await;
    let other = stack.standby().await;
    let restored = restore(&other, &stack.s3, "docs").await.unwrap();
    assert_eq!(contents(&other).await, before);
    assert_eq!((restored.timestamp, restored.records), (some.timestamp, 102));
    assert_eq!((restored.applied.incrementals, restored.applied.changes), (2, 110));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_history_a_full_backup_is_needed() {
    let stack = stack().await;
    let refused = back_up_incremental(&stack.client, &stack.s3, "docs").await;
    assert!(matches!(refused, Err(BackupError::NeedsFull { .. })), "{refused:?}");
    stack.fill(0..20, 1).await;
    stack.full().await;
    stack.fill(10..30, 2).await;
    // Onto the same node, nothing lost: its history goes on.
    restore(&stack.client, &stack.s3, "docs").await.unwrap();
    assert_eq!(stack.incremental().await.changes, 20);
    restore_into(&stack.client, &stack.s3, "docs").await.unwrap();
    let refused = back_up_incremental(&stack.client, &stack.s3, "docs").await;
    assert!(matches!(refused, Err(BackupError::NeedsFull { .. })), "{refused:?}");
    stack.full().await;
    stack.incremental().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_writes_come_back_only_where_they_belong() {
    let stack = stack().await;
    stack.fill(0..20, 1).await;
    stack.full().await;
    stack.fill(15..25, 2).await;
    stack.incremental().await;
    let backed_up = stack.contents().await;
    stack.fill(20..30, 3).await;
    let all = stack.contents().await;
    let restored = restore(&stack.client, &stack.s3, "docs").await.unwrap();
    assert_eq!((restored.imported.replayed, restored.imported.complete), (10, true));
    assert_eq!(stack.contents().await, all);
    let restored = restore_into(&stack.client, &stack.s3, "docs").await.unwrap();
    assert_eq!(restored.imported.replayed, 0);
    assert_eq!(stack.contents().await, backed_up);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_incremental_is_none() {
    let stack = stack().await;
    stack.fill(0..20, 1).await;
    stack.full().await;
    stack.fill(20..25, 2).await;
    let finished = stack.incremental().await;
    let (before, pointer) = (stack.contents().await, latest_object("docs"));
    let latest = stack.s3.get(&pointer).await.unwrap().unwrap();
    stack.fill(0..9, 3).await;
    let interrupted = stack.incremental().await;
    stack.s3.put(&pointer, latest).await.unwrap();
    let other = stack.standby().await;
    let restored = restore_into(&other, &stack.s3, "docs").await.unwrap();
    assert_eq!(contents(&other).await, before);
    assert_eq!((restored.timestamp, restored.unfinished), (finished.timestamp, vec![interrupted.timestamp]));
    // The next one stands on what was finished, so nothing is left out.
    assert_eq!(stack.incremental().await.changes, 9);
    let applied = catch_up(&other, &stack.s3, "docs", &restored.applied).await.unwrap();
    assert_eq!((applied.incrementals, applied.changes), (1, 9));
    assert_eq!(contents(&other).await, stack.contents().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_follows_until_a_new_chain_begins() {
    let stack = stack().await;
    stack.fill(0..20, 1).await;
    stack.full().await;
    let standby = stack.standby().await;
    let mut at = restore_into(&standby, &stack.s3, "docs").await.unwrap().applied;
    for round in 2..5 {
        stack.fill(0..round, round).await;
        stack.incremental().await;
        stack.client.delete(10 + round, round).await.unwrap();
        stack.incremental().await;
        let from = at.clone();
        at = catch_up(&standby, &stack.s3, "docs", &from).await.unwrap();
        assert_eq!((at.incrementals, at.changes), (2, round + 1));
        assert_eq!(contents(&standby).await, stack.contents().await);
        let again = catch_up(&standby, &stack.s3, "docs", &from).await.unwrap();
        assert_eq!((again.link, again.changes), (at.link.clone(), 0));
    }
    standby.put(record(3, 99)).await.unwrap();
    let strayed = catch_up(&standby, &stack.s3, "docs", &at).await;
    assert!(matches!(strayed, Err(BackupError::NotVerified { .. })), "{strayed:?}");
    stack.full().await;
    let behind = catch_up(&standby, &stack.s3, "docs", &at).await;
    assert!(matches!(behind, Err(BackupError::NotInChain(_))), "{behind:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_while_backups_are_taken() {
    let stack = stack().await;
    stack.fill(0..200, 1).await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = stack.client.clone();
    let writes = tokio::spawn(async move {
        // Every write has a number of its own: of two writes of a key with one number no follower takes the second.
        let mut ver = 2;
        while stopped.try_recv().is_err() {
            writer.put(record(ver * 7 % 250, ver)).await.unwrap();
            writer.delete(ver * 11 % 250, ver + 1).await.unwrap();
            ver += 2;
        }
    });
    stack.full().await;
    let standby = stack.standby().await;
    let mut at = restore_into(&standby, &stack.s3, "docs").await.unwrap().applied;
    for _ in 0..5 {
        stack.incremental().await;
        at = catch_up(&standby, &stack.s3, "docs", &at).await.unwrap();
    }
    stop.send(()).unwrap();
    writes.await.unwrap();
    stack.incremental().await;
    let other = stack.standby().await;
    restore_into(&other, &stack.s3, "docs").await.unwrap();
    catch_up(&standby, &stack.s3, "docs", &at).await.unwrap();
    for node in [&other, &standby] {
        assert_eq!(contents(node).await, stack.contents().await);
    }
}

/// Pages and manifests that are intact, and of a history that cannot be.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_two_histories_is_damage() {
    use crate::backup::manifest::{Manifest, latest, manifest, publish};
    let stack = stack().await;
    stack.fill(0..9, 1).await;
    stack.full().await;
    let standby = stack.standby().await;
    let at = restore_into(&standby, &stack.s3, "docs").await.unwrap().applied;
    stack.fill(0..3, 2).await;
    stack.incremental().await;
    let link = latest(&stack.s3, "docs").await.unwrap().unwrap();
    let good = manifest(&stack.s3, "docs", &link).await.unwrap();
    let point = good.point;
    let bent = [
        Manifest { point: Point { timeline: !point.timeline, ..point }, ..good.clone() },
        Manifest { point: Point { lsn: 5, ..point }, ..good.clone() },
        Manifest { point: Point { lsn: point.lsn - 1, ..point }, ..good.clone() },
        Manifest { changes: 2, ..good.clone() },
        Manifest { pages: Vec::new(), changes: 0, ..good.clone() },
        Manifest { timestamp: "1999-01-01T000000.000Z".into(), ..good.clone() },
        Manifest { collection: "others".into(), ..good.clone() },
    ];
    let before = stack.contents().await;
    for bent in bent {
        publish(&stack.s3, &bent).await.unwrap();
        let error = match bent.collection.as_str() {
            "docs" => restore(&stack.client, &stack.s3, "docs").await.unwrap_err(),
            _ => {
                let pointer = stack.s3.get(&latest_object("others")).await.unwrap().unwrap();
                stack.s3.put(&latest_object("docs"), pointer).await.unwrap();
                restore(&stack.client, &stack.s3, "docs").await.unwrap_err()
            }
        };
        assert!(matches!(error, BackupError::Damaged { .. }), "{bent:?}: {error}");
        assert_eq!(stack.contents().await, before);
        assert!(catch_up(&standby, &stack.s3, "docs", &at).await.is_err(), "{bent:?}");
    }
    publish(&stack.s3, &good).await.unwrap();
    restore(&stack.client, &stack.s3, "docs").await.unwrap();
}

/// It is intact, and even true; it is not the one that was linked to.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_was_written_again_is_damage() {
    use crate::backup::manifest::{Manifest, latest, manifest, publish};
    let stack = stack().await;
    stack.fill(0..9, 1).await;
    stack.full().await;
    let full = latest(&stack.s3, "docs").await.unwrap().unwrap();
    let good = manifest(&stack.s3, "docs", &full).await.unwrap();
    stack.incremental().await;
    let pointer = stack.s3.get(&latest_object("docs")).await.unwrap().unwrap();
    publish(&stack.s3, &Manifest { after: None, ..good.clone() }).await.unwrap();
    stack.s3.put(&latest_object("docs"), pointer.clone()).await.unwrap();
    let error = restore(&stack.client, &stack.s3, "docs").await.unwrap_err();
    let full = format!("full/{}/MANIFEST", good.timestamp);
    assert!(matches!(&error, BackupError::Damaged { object, .. } if object.ends_with(&full)), "{error}");
    publish(&stack.s3, &good).await.unwrap();
    stack.s3.put(&latest_object("docs"), pointer).await.unwrap();
    restore(&stack.client, &stack.s3, "docs").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_shows_afterwards_is_compared() {
    use crate::backup::restore::verify;
    use crate::backup::state::State as Merged;
    use crate::vectordb::Change;
    let stack = stack().await;
    let put = |key, ver| record(key, ver).at(key + 1);
    let all: Vec<Change> = (0..9).map(|key| put(key, 1)).collect();
    let import = stack.client.import_begin().await.unwrap();
    stack.client.import_page(import, all.clone()).await.unwrap();
    let imported = stack.client.import_commit(import, None).await.unwrap();
    let differs = |change: Option<Change>| {
        let mut state = Merged::default();
        all.iter().chain(&change).for_each(|change| state.add(change));
        let client = stack.client.clone();
        async move { verify(&client, "now", &state, imported).await.is_err() }
    };
    assert!(!differs(None).await);
    let grave = |key| Change { lsn: 50, key, ver: 1, vector: None };
    let bent = Change { vector: Some(vec![0.5; DIM as usize]), ..put(4, 1) };
    for change in [put(4, 2), put(20, 1), grave(4), grave(20), bent] {
        assert!(differs(Some(change.clone())).await, "{change:?}");
    }
}
