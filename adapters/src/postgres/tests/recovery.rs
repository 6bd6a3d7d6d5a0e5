//! Back to a point in time.

use super::*;
use crate::features::{Operated as _, Strike};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_back_to_the_moment_before_it_was_poisoned() {
    let Some(mut stand) = Stand::new() else { return };
    let node = stand.single().await;
    let corpus = corpus(100);
    let system = system(&node, &corpus);
    seed(&system, &corpus).await;
    node.base_backup().await.unwrap();
    for key in 0..50 {
        system.write(put(key, key + 1)).await.unwrap();
    }
    let before = survivors(&system, 1000).await;
    assert!(node.restore_point("no point; at all").await.is_err());
    let point = node.restore_point("before_poison").await.unwrap();
    node.operators().strike(Strike::ShiftValues(0.5), 1).await.unwrap();
    node.operators().strike(Strike::LeaveRole, 1).await.unwrap();
    for key in 60..70 {
        system.write(put(key, key + 1)).await.unwrap();
    }
    assert_ne!(survivors(&system, 1000).await, before);
    // Another node does the same from the object store, when nothing is left of this one.
    let s3 = stand.object_store("gameday-backups").await;
    assert!(node.fetch(&s3, "east").await.is_err(), "nothing was shipped yet");
    let shipped = node.ship(&s3, &point).await.unwrap();
    assert!(
        shipped.new == shipped.segments && shipped.segments > 0 && shipped.base_bytes > 1 << 20,
        "{shipped:?}"
    );
    // Ten more writes are in no log that was shipped, until it is.
    let late = node.restore_point("late").await.unwrap();
    assert_eq!(node.ship_log(&s3, &late).await.unwrap().new, 1);
    node.recover_to(&point).await.unwrap();
    // All of the poison is gone, and so are the ten writes after it.
    assert_eq!(survivors(&system, 1000).await, before);
    node.abandon_after(&s3, &point).await.unwrap();
    system.write(put(1, 99)).await.unwrap();
    node.health().await.unwrap();
    // Its history went on from there, and is shipped as well.
    let newer = node.restore_point("newer").await.unwrap();
    node.ship_log(&s3, &newer).await.unwrap();
    let after = survivors(&system, 1000).await;
    stand.kill(&node);
    let other = stand.node("west");
    assert_eq!(other.fetch(&s3, "east").await.unwrap(), [point, newer.clone()]);
    other.recover_to(&newer).await.unwrap();
    assert_eq!(survivors(&PostgresSystem::new(other.users().clone(), corpus.clone()), 1000).await, after);
    assert!(other.recover_to(&RestorePoint::named("no\nname")).await.is_err());
    other.recover_to(&RestorePoint::named("before_poison")).await.unwrap();
    assert_eq!(survivors(&PostgresSystem::new(other.users().clone(), corpus.clone()), 1000).await, before);
    // A damaged object is named, and nothing of the node is touched.
    let listed = s3.list_all("postgres-backups/east/wal/", 1000).await.unwrap();
    let mut bad = s3.get(&listed[0].key).await.unwrap().unwrap().to_vec();
    bad[100] ^= 1;
    s3.put(&listed[0].key, bad).await.unwrap();
    let refused = other.fetch(&s3, "east").await.unwrap_err().to_string();
    assert!(refused.contains(&listed[0].key) && refused.contains("checksum"), "{refused}");
    other.health().await.unwrap();
}
