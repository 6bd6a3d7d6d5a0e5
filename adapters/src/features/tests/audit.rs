//! The audit: which detector catches what, and which is blind to it.

use harness::corpus::MODELS;
use harness::ports::{System, Write};

use super::backup::{Stack, stack};
use super::*;
use crate::features::backup::back_up;
use crate::features::{Audit, FeatureSystem, Strike, audit};
use crate::s3::{Keys, S3, name_of};

const ENTITIES: u64 = 600;

struct Stand {
    stack: Stack,
    /// The bucket of the models.
    data: S3,
    system: FeatureSystem,
}

async fn stand() -> Stand {
    let stack = stack().await;
    let corpus = corpus(ENTITIES);
    let keys = Keys::new("gameday", "not-a-secret");
    let data = S3::new(&stack.endpoint, "gameday", &keys).unwrap();
    data.create_bucket().await.unwrap();
    for key in 0..MODELS {
        data.put(&name_of(key), corpus.object(key, 0)).await.unwrap();
    }
    let system = FeatureSystem::new(stack.node.client.clone(), corpus.clone());
    for key in 0..ENTITIES + corpus.catalogue_count() {
        system.write(Write { key, ver: 0, delete: false }).await.unwrap();
    }
    Stand { stack, data, system }
}

impl Stand {
    async fn audit(&self) -> Audit {
        audit(&self.stack.node.client, &self.data, &self.stack.s3).await.unwrap()
    }

    async fn struck(strike: Strike) -> (Audit, u64) {
        let stand = stand().await;
        back_up(&stand.stack.node.client, &stand.stack.s3, None).await.unwrap();
        let count = stand.stack.node.client.strike(strike, 3).await.unwrap().count;
        (stand.audit().await, count)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_store_is_clean_whatever_its_users_write() {
    let stand = stand().await;
    let before = stand.audit().await;
    assert!(before.clean() && before.baseline.is_err(), "{before}");
    back_up(&stand.stack.node.client, &stand.stack.s3, None).await.unwrap();
    for key in 0..300 {
        stand.system.write(Write { key, ver: key + 1, delete: key % 50 == 0 }).await.unwrap();
    }
    let after = stand.audit().await;
    assert!(after.clean() && after.baseline.is_ok(), "{after}");
    assert!(after.items > ENTITIES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_shift_is_seen_by_digests_and_distributions() {
    let (audit, count) = Stand::struck(Strike::ShiftValues(0.3)).await;
    assert_eq!((audit.digest, count), (180, 180), "{audit}");
    assert_eq!((audit.psi.len(), &audit.psi), (2, &audit.ks), "{audit}");
    assert!(audit.references.is_empty() && audit.roles.is_empty() && audit.missing == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_swapped_rows_are_seen_by_digests_alone() {
    let (audit, count) = Stand::struck(Strike::SwapValues(0.01)).await;
    assert_eq!((audit.digest, count), (6, 6), "{audit}");
    // The distributions are the very same.
    assert!(Audit { digest: 0, ..audit.clone() }.clean(), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_rows_are_missing() {
    let (audit, count) = Stand::struck(Strike::DeleteRows(0.05)).await;
    assert_eq!((audit.missing, count, audit.digest), (30, 30, 0), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_and_removed_definitions_break_references() {
    let (altered, _) = Stand::struck(Strike::AlterDefinitions(0.25)).await;
    assert_eq!((altered.digest, altered.references.len()), (2, 2), "{altered}");
    let (removed, _) = Stand::struck(Strike::DeleteDefinitions(0.1)).await;
    // Its source, and three models that use it.
    assert_eq!((removed.missing, removed.references.len()), (1, 4), "{removed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intruders_role_is_seen() {
    let (audit, _) = Stand::struck(Strike::LeaveRole).await;
    assert_eq!((audit.roles.as_slice(), audit.digest), (&["intruder".to_owned()][..], 1), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_model_is_seen_through_the_object_store() {
    let stand = stand().await;
    stand.data.put(&name_of(1), "another model").await.unwrap();
    stand.data.delete(&name_of(2)).await.unwrap();
    let audit = stand.audit().await;
    assert_eq!((audit.references.len(), audit.digest), (2, 0), "{audit}");
    assert!(audit.to_string().contains("object 1 of model_1 has another checksum"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_baseline_is_told_and_none() {
    let stand = stand().await;
    back_up(&stand.stack.node.client, &stand.stack.s3, None).await.unwrap();
    let listed = stand.stack.s3.list_all("feature-backups/state/", 10).await.unwrap();
    let rows = listed.iter().find(|object| object.key.ends_with(".parquet")).unwrap();
    stand.stack.s3.put(&rows.key, "PAR1").await.unwrap();
    let audit = stand.audit().await;
    assert!(audit.baseline.is_err_and(|why| why.contains("checksum")));
}
