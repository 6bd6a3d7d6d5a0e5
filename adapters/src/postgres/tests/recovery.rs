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
    node.recover_to(&point).await.unwrap();
    // All of the poison is gone, and so are the ten writes after it.
    assert_eq!(survivors(&system, 1000).await, before);
    system.write(put(1, 99)).await.unwrap();
    node.health().await.unwrap();
}
