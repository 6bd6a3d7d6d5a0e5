//! What an object server consists of for whoever knows S3: its buckets, and how each of them is set.
//!
//! Left out, each with its reason:
//!
//! | what | why |
//! |---|---|
//! | when a bucket was made | a standby's are as good as the first ones |
//! | `replication` | says who follows whom, and changes with every promotion and return |
//! | `acl` | what S3 servers of today answer to it is the same for every bucket; a policy says who may do what |

use std::collections::BTreeMap;

use bytes::Bytes;
use harness::inventory::Inventory;
use serde_json::Value;

use super::{S3, S3Error};

/// What may be set for a bucket, and changes what becomes of its objects or who sees them.
const SETTINGS: [&str; 9] = [
    "policy",
    "versioning",
    "lifecycle",
    "notification",
    "encryption",
    "object-lock",
    "cors",
    "tagging",
    "website",
];

/// Adds every bucket with its settings.
pub(super) async fn add(s3: &S3, to: &mut Inventory) -> Result<(), S3Error> {
    for bucket in s3.buckets().await? {
        to.add(format!("bucket {bucket}"), "");
        for what in SETTINGS {
            if let Some(said) = s3.setting(&bucket, what).await? {
                to.add(format!("{what} of bucket {bucket}"), plain(&said));
            }
        }
    }
    Ok(())
}

/// A value with its lists in order: in a policy they are sets, and a server tells those in any order.
pub(crate) fn in_order(value: Value) -> Value {
    match value {
        Value::Object(all) => {
            let all: BTreeMap<String, Value> =
                all.into_iter().map(|(name, value)| (name, in_order(value))).collect();
            Value::Object(all.into_iter().collect())
        }
        Value::Array(all) => {
            let mut all: Vec<Value> = all.into_iter().map(in_order).collect();
            all.sort_by_cached_key(Value::to_string);
            Value::Array(all)
        }
        other => other,
    }
}

/// What a server said, without what differs between two answers of the same: JSON with keys and lists in order.
fn plain(said: &Bytes) -> String {
    match serde_json::from_slice::<Value>(said) {
        Ok(value) => in_order(value).to_string(),
        Err(_) => String::from_utf8_lossy(said).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_the_same_in_any_order_and_another_by_any_word() {
        let told = |text: &str| plain(&Bytes::copy_from_slice(text.as_bytes()));
        let policy =
            r#"{"Statement":[{"Action":["s3:Get*","s3:List*"],"Effect":"Allow"},{"Effect":"Deny"}]}"#;
        let same = r#"{"Statement":[{"Effect":"Deny"},{"Effect":"Allow","Action":["s3:List*","s3:Get*"]}]}"#;
        assert_eq!(told(policy), told(same));
        assert_ne!(told(policy), told(&same.replace("List", "Put")));
        assert_eq!(told("<xml/>"), "<xml/>");
    }
}
