//! Users of a MinIO, their keys and what each may do, for which S3 has no words: all of it in one file that its
//! administration exports. Secrets in it are passed over.
//!
//! Left out, or told in one word for what may change, each with its reason:
//!
//! | what | why |
//! |---|---|
//! | secrets, moments of a change | no part of who may do what |
//! | whether the drill's own user may write | every fence and every promotion changes it |
//! | whether the other region's replicator is let in | the same |

use std::io::{Cursor, Read as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use harness::inventory::Inventory;
use serde_json::{Map, Value};

use super::iam::{READER, REPLICATOR, USERS, WRITER};
use super::shell::Inside;
use crate::postgres::{Command, Shell as _};
use crate::s3::Administration;

/// One export.
const LIMIT: Duration = Duration::from_secs(40);
/// Ends with 127 where the image has no client of MinIO's.
const EXPORT: &str = r#"set -eu
command -v mc >/dev/null || exit 127
export MC_HOST_me="http://$MINIO_ROOT_USER:$MINIO_ROOT_PASSWORD@127.0.0.1:9000" MC_CONFIG_DIR=/tmp/gameday-mc
export HOME=/tmp
umask 077; folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
mc -q admin cluster iam export me >&2
cat *.zip
"#;
const NO_CLIENT: i32 = 127;
/// No file of an export is larger.
const FILE_MAX: u64 = 16 << 20;
/// Of what a failed export says, this much is told.
const TOLD: usize = 300;
/// Fields that are no part of who may do what.
const PASSED_OVER: [&str; 8] =
    ["secretKey", "sessionToken", "createdAt", "updatedAt", "CreateDate", "UpdateDate", "version", "Version"];

/// Whoever may look into a server's accounts.
#[derive(Debug)]
pub(super) struct Accounts {
    /// From the moment that its container runs.
    pub(super) inside: Arc<OnceLock<Inside>>,
}

#[async_trait]
impl Administration for Accounts {
    async fn inventory(&self, to: &mut Inventory) -> Result<(), String> {
        let inside = self.inside.get().ok_or("its container never ran")?;
        let output =
            inside.run(Command::script(EXPORT, []).within(LIMIT)).await.map_err(|e| e.to_string())?;
        match output.code {
            0 => add(output.stdout, to),
            NO_CLIENT => {
                to.add("accounts", "not listed: this image has no `mc`");
                Ok(())
            }
            // What it says may hold the address, and the address the password.
            code => {
                let said = String::from_utf8_lossy(&output.stderr);
                let line = said.lines().rfind(|line| !line.contains("http")).unwrap_or_default();
                let told: String = line.chars().take(TOLD).collect();
                Err(format!("the export of accounts ended with code {code}: {told}"))
            }
        }
    }
}

/// Adds what an export says.
fn add(zip: Vec<u8>, to: &mut Inventory) -> Result<(), String> {
    let mut zip =
        zip::ZipArchive::new(Cursor::new(zip)).map_err(|e| format!("the export of accounts: {e}"))?;
    for at in 0..zip.len() {
        let file = zip.by_index(at).map_err(|e| format!("the export of accounts: {e}"))?;
        let path = file.name().map_err(|e| format!("the export of accounts: {e}"))?.into_owned();
        let kind =
            path.rsplit('/').next().and_then(|name| name.strip_suffix(".json")).unwrap_or(&path).to_owned();
        let mut text = Vec::new();
        file.take(FILE_MAX).read_to_end(&mut text).map_err(|e| format!("{path}: {e}"))?;
        match serde_json::from_slice(&text) {
            Ok(Value::Object(all)) => all.into_iter().for_each(|(name, value)| {
                to.add(format!("{} {name}", word(&kind)), told(&kind, &name, value));
            }),
            Ok(Value::Null) => {}
            Ok(other) => to.add(kind, other.to_string()),
            Err(e) => return Err(format!("{path}: {e}")),
        }
    }
    Ok(())
}

fn word(kind: &str) -> &str {
    match kind {
        "policies" => "policy",
        "users" => "user",
        "groups" => "group",
        "svcaccts" => "access key",
        "user_mappings" => "grants of user",
        "group_mappings" => "grants of group",
        other => other,
    }
}

/// A definition, without what replication changes by itself.
fn told(kind: &str, name: &str, value: Value) -> String {
    let mut value = plain(value);
    let either = |field: &Value, words: [&str; 2]| field.as_str().is_some_and(|word| words.contains(&word));
    if kind == "user_mappings" && name == USERS && either(&value["policy"], [READER, WRITER]) {
        value["policy"] = "as replication wants it".into();
    }
    if kind == "users" && name == REPLICATOR && either(&value["status"], ["enabled", "disabled"]) {
        value["status"] = "as replication wants it".into();
    }
    value.to_string()
}

fn plain(value: Value) -> Value {
    match value {
        Value::Object(all) => {
            let kept = all.into_iter().filter(|(name, _)| !PASSED_OVER.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name, plain(value))).collect::<Map<_, _>>())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(plain).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::iam::People;
    use super::*;
    use crate::s3::Keys;

    fn listed(writes: bool, secret: &str) -> Inventory {
        let people = People { users: Keys::new(USERS, secret), replicator: Keys::new(REPLICATOR, secret) };
        let mut all = Inventory::default();
        add(people.import(writes), &mut all).unwrap();
        all
    }

    #[test]
    fn a_promotion_changes_nothing_and_no_secret_is_told() {
        assert_eq!(listed(true, "first"), listed(false, "second"));
        let all = listed(true, "hush");
        assert!(all.items().all(|(_, told)| !told.contains("hush")), "{all:?}");
        assert!(all.get("policy gameday-reader").is_some_and(|told| told.contains("s3:Get*")), "{all:?}");
        assert!(all.get("grants of user users").is_some() && all.get("user users").is_some(), "{all:?}");
    }

    #[test]
    fn another_grant_is_another_text() {
        let policy =
            |word: &str| told("user_mappings", USERS, serde_json::json!({"version": 1, "policy": word}));
        assert_eq!(policy(READER), policy(WRITER));
        assert_ne!(policy(READER), policy("consoleAdmin"));
        assert!(add(b"no zip".to_vec(), &mut Inventory::default()).is_err());
    }
}
