//! What an object server consists of for whoever knows S3: its buckets, and how each of them is set.
//!
//! Left out, each with its reason:
//!
//! | what | why |
//! |---|---|
//! | when a bucket was made | a standby's are as good as the first ones |
//! | `replication` | says who follows whom, and changes with every promotion and return |
//! | `acl` | what S3 servers of today answer to it is the same for every bucket; a policy says who may do what |

use bytes::Bytes;
use harness::inventory::Inventory;

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

/// What a server said, without what differs between two answers of the same: JSON with its keys in order.
fn plain(said: &Bytes) -> String {
    match serde_json::from_slice::<serde_json::Value>(said) {
        Ok(value) => value.to_string(),
        Err(_) => String::from_utf8_lossy(said).into_owned(),
    }
}
