//! Models and the versions of them: which backup fits, and the objects that come with it.

use harness::act::RestoreScope;
use sha2::Digest as _;

use super::backup::stack;
use super::*;
use crate::features::backup::{BackupError, back_up, restore};

/// The catalogue once somebody has moved on to version 2 of the definitions, which only version 4 of the model knows.
fn next_catalogue() -> Vec<Item> {
    let newer = |f: usize| {
        let body = format!(r#"{{"version":2,"source":"events","critical":{}}}"#, f < 4);
        record(Table::Definitions, &format!("feature_{f}"), &body)
    };
    let fits = r#"{"model":"m","model_version":4,"definitions":2}"#;
    let all = (0..FEATURES).map(newer).chain([record(Table::Compatibility, "m 4", fits)]);
    all.map(|item| match item {
        Item::Record(record) => Item::Record(Record { ver: 2, event_us: 2, ..record }),
        row => row,
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_goes_back_to_a_models_version() {
    let stack = stack().await.filled().await;
    let right = stack.contents().await;
    stack.back_up().await;
    stack.node.client.apply(next_catalogue()).await.unwrap();
    stack.fill(0..10, 2).await;
    stack.back_up().await;
    stack.fill(10..20, 2).await;
    let with = |version| restore(&stack.node.client, &stack.s3, None, RestoreScope::Full, version, None);
    // The newest backup knows version 4 only, the one before version 3 only.
    let forth = with(Some(4)).await.unwrap();
    assert_eq!((forth.replaced.rolled_back, forth.replaced.replayed), (0, 10));
    let back = with(Some(3)).await.unwrap();
    assert!(back.timestamp < forth.timestamp);
    assert_eq!(
        (back.replaced.rolled_back, back.replaced.replayed),
        (9, 20),
        "rows stay, the catalogue does not"
    );
    let (now, rows) = (stack.contents().await, 100);
    assert_eq!(now[rows..], right[rows..], "the catalogue of then");
    assert!((0..20).all(|n| now[n] == row(n as u64, 2)) && now[20..rows] == right[20..rows]);
    let neither = with(Some(5)).await.unwrap_err();
    assert!(matches!(&neither, BackupError::Unfit { why, .. } if why.contains("m version 5")), "{neither}");
    assert_eq!(stack.contents().await, now, "nothing was overwritten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_model_comes_back_and_is_never_backed_up() {
    let stack = stack().await;
    let (bytes, key) = ("weights of the model", 7);
    let sha256 = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let body = format!(r#"{{"version":3,"object":{key},"sha256":"{sha256}"}}"#);
    stack.node.client.apply(vec![record(Table::Models, "m", &body)]).await.unwrap();
    let name = crate::s3::name_of(key);
    let back_up = || back_up(&stack.node.client, &stack.s3, Some(&stack.s3));
    let restore = || restore(&stack.node.client, &stack.s3, Some(&stack.s3), RestoreScope::Full, None, None);
    assert_eq!(back_up().await.unwrap().models, 0, "it is not there yet");
    stack.s3.put(&name, bytes).await.unwrap();
    let kept = back_up().await.unwrap();
    assert_eq!(kept.models, 1);
    assert_eq!(restore().await.unwrap().models, 0, "nothing is wrong");
    stack.s3.put(&name, "weights of another model").await.unwrap();
    assert!(matches!(back_up().await, Err(BackupError::Poisoned { first, .. }) if first == "object 7 of m"));
    assert_eq!(restore().await.unwrap().models, 1);
    assert_eq!(stack.s3.get(&name).await.unwrap().unwrap(), bytes);
    stack.s3.delete(&name).await.unwrap();
    assert_eq!(restore().await.unwrap().models, 1, "gone is wrong too");
    // A backup of which the model's object was damaged restores nothing at all.
    let object = format!("feature-backups/models/{}/{sha256}", kept.timestamp);
    stack.s3.put(&object, "weights of another model").await.unwrap();
    assert!(matches!(restore().await, Err(BackupError::Damaged { .. })));
}
