//! Who may do what in a MinIO that takes part in replication: all of it in one file that its administration imports.
//!
//! Users could be made and given policies one by one, by `mc admin user add` and `mc admin policy attach`; but each such
//! call is encrypted with a key that client and server take 64 MiB and some 0.4 s of processor each to derive (argon2id),
//! several times in a failover. An import is not, and says what is to be so instead of what is to change.

use std::io::{Cursor, Write as _};

use serde_json::{Value, json};
use zip::ZipWriter;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;

use crate::s3::Keys;

/// The drill's user.
pub(super) const USERS: &str = "users";
/// The other region's replicator.
pub(super) const REPLICATOR: &str = "replicator";
/// What may be read by whoever may not write.
pub(super) const READER: &str = "gameday-reader";
/// MinIO's own.
pub(super) const WRITER: &str = "readwrite";

/// The drill's users and the other region's replicator.
#[derive(Debug, Clone)]
pub(super) struct People {
    pub(super) users: Keys,
    pub(super) replicator: Keys,
}

impl People {
    /// What `mc admin cluster iam import` reads: users write, or only read. Whoever may be written to by users takes
    /// nothing from the other region, and the other way about.
    pub(super) fn import(&self, writes: bool) -> Vec<u8> {
        self.zip(writes).expect("a zip file of a few hundred bytes, in memory")
    }

    fn zip(&self, writes: bool) -> Result<Vec<u8>, ZipError> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, value) in self.files(writes) {
            zip.start_file(format!("iam-assets/{name}.json"), SimpleFileOptions::default())?;
            zip.write_all(value.to_string().as_bytes())?;
        }
        Ok(zip.finish()?.into_inner())
    }

    fn files(&self, writes: bool) -> [(&'static str, Value); 3] {
        let Self { users, replicator } = self;
        let reads = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": ["arn:aws:s3:::*"]}]});
        let may = if writes { WRITER } else { READER };
        let status = if writes { "disabled" } else { "enabled" };
        [
            ("policies", json!({READER: reads})),
            (
                "users",
                json!({
                    users.access.as_str(): {"secretKey": users.secret, "status": "enabled"},
                    replicator.access.as_str(): {"secretKey": replicator.secret, "status": status},
                }),
            ),
            (
                "user_mappings",
                json!({
                    users.access.as_str(): {"version": 1, "policy": may},
                    replicator.access.as_str(): {"version": 1, "policy": WRITER},
                }),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn one_of_the_two_writes() {
        let people = People { users: Keys::new("users", "a\"b"), replicator: Keys::new("replicator", "c") };
        for (writes, may, status) in [(true, WRITER, "disabled"), (false, READER, "enabled")] {
            let mut zip = zip::ZipArchive::new(Cursor::new(people.import(writes))).unwrap();
            let mut read = |name: &str| -> Value {
                let mut text = String::new();
                zip.by_name(&format!("iam-assets/{name}.json")).unwrap().read_to_string(&mut text).unwrap();
                serde_json::from_str(&text).unwrap()
            };
            assert_eq!(read("user_mappings")["users"]["policy"], may);
            let users = read("users");
            assert_eq!(users["replicator"]["status"], status);
            assert_eq!(users["users"], json!({"secretKey": "a\"b", "status": "enabled"}));
            assert!(read("policies")[READER].is_object());
        }
    }
}
