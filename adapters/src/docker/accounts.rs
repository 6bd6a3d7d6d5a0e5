//! Users of a MinIO, their keys, groups and policies, for which S3 has no words: what its own client tells of them.
//!
//! Left out, or told in one word for whatever it may be, each with its reason:
//!
//! | what | why |
//! |---|---|
//! | secrets, moments of a change | no part of who may do what |
//! | whether the drill's own user may write | every fence and every promotion changes it |
//! | whether the other region's replicator is let in | the same |

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use harness::inventory::Inventory;
use serde_json::{Map, Value};

use super::iam::{READER, REPLICATOR, USERS, WRITER};
use super::shell::Inside;
use crate::postgres::{Command, Shell as _};
use crate::s3::{Administration, in_order};

/// All the questions together.
const LIMIT: Duration = Duration::from_secs(40);
/// One line of JSON for each user, policy, group, and owner of keys. Ends with 127 where the image has no client of
/// MinIO's.
const TELL: &str = r#"set -eu
command -v mc >/dev/null || exit 127
export MC_HOST_me="http://$MINIO_ROOT_USER:$MINIO_ROOT_PASSWORD@127.0.0.1:9000" MC_CONFIG_DIR=/tmp/gameday-mc
export HOME=/tmp
umask 077; folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
mc admin user ls --json me
mc admin accesskey ls me --all --json
mc admin policy ls --json me >policies
sed -n 's/.*"policy":"\([^"]*\)".*/\1/p' policies | while IFS= read -r policy; do
    mc admin policy info --json me "$policy"
done
mc admin group ls --json me >groups
sed -n 's/.*"groups":\["\(.*\)"\].*/\1/p' groups | sed 's/","/\n/g' | while IFS= read -r group; do
    mc admin group info --json me "$group"
done
"#;
const NO_CLIENT: i32 = 127;
/// Of what a failure says, this much is told.
const TOLD: usize = 300;
/// Fields that are no part of who may do what.
const PASSED_OVER: [&str; 5] = ["secretKey", "sessionToken", "CreateDate", "UpdateDate", "status"];
/// What stands for whatever replication changes by itself.
const EITHER: &str = "as replication wants it";

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
        let output = inside.run(Command::script(TELL, []).within(LIMIT)).await.map_err(|e| e.to_string())?;
        match output.code {
            0 => add(&String::from_utf8_lossy(&output.stdout), to),
            NO_CLIENT => {
                to.add("accounts", "not listed: this image has no `mc`");
                Ok(())
            }
            // What it says may hold the address, and the address the password.
            code => {
                let said = String::from_utf8_lossy(&output.stderr);
                let line = said.lines().rfind(|line| !line.contains("http")).unwrap_or_default();
                let told: String = line.chars().take(TOLD).collect();
                Err(format!("the list of accounts ended with code {code}: {told}"))
            }
        }
    }
}

/// Adds what the client told, a line each.
fn add(told: &str, to: &mut Inventory) -> Result<(), String> {
    for line in told.lines().filter(|line| !line.trim().is_empty()) {
        let wrong = |why: &str| format!("the list of accounts: {why}");
        let mut value: Value = serde_json::from_str(line).map_err(|e| wrong(&e.to_string()))?;
        if value["status"].as_str() != Some("success") {
            return Err(wrong("a question failed"));
        }
        let name = |field: &str| value[field].as_str().map(str::to_owned);
        if let Some(user) = name("accessKey") {
            replication_aside(&user, &mut value);
            to.add(format!("user {user}"), plain(value).to_string());
        } else if let Some(owner) = name("user") {
            for kind in ["svcaccs", "stsKeys"] {
                for key in value[kind].as_array().into_iter().flatten() {
                    let id = key["accessKey"].as_str().unwrap_or_default();
                    to.add(format!("access key {id}"), format!("of {owner} {}", plain(key.clone())));
                }
            }
        } else if let Some(policy) = name("policy") {
            to.add(format!("policy {policy}"), plain(value["policyInfo"]["Policy"].take()).to_string());
        } else if let Some(group) = name("groupName") {
            to.add(format!("group {group}"), plain(value).to_string());
        } else {
            return Err(wrong("a line of no known kind"));
        }
    }
    Ok(())
}

/// Takes away what every fence and promotion changes, and nothing else.
fn replication_aside(user: &str, value: &mut Value) {
    let either = |field: &Value, words: [&str; 2]| field.as_str().is_some_and(|word| words.contains(&word));
    if user == USERS && either(&value["policyName"], [READER, WRITER]) {
        value["policyName"] = EITHER.into();
    }
    if user == REPLICATOR && either(&value["userStatus"], ["enabled", "disabled"]) {
        value["userStatus"] = EITHER.into();
    }
}

/// Without what is no part of a definition, and in order.
fn plain(value: Value) -> Value {
    in_order(without(value))
}

fn without(value: Value) -> Value {
    match value {
        Value::Object(all) => {
            let kept = all.into_iter().filter(|(name, _)| !PASSED_OVER.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name, without(value))).collect::<Map<_, _>>())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(without).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(lines: &[&str]) -> Result<Inventory, String> {
        let mut all = Inventory::default();
        add(&lines.join("\n"), &mut all).map(|()| all)
    }

    fn user(name: &str, policy: &str, status: &str) -> String {
        format!(
            r#"{{"status":"success","accessKey":"{name}","policyName":"{policy}","userStatus":"{status}"}}"#
        )
    }

    #[test]
    fn a_promotion_changes_nothing_and_any_other_grant_does() {
        let with = |policy, status| {
            listed(&[&user(USERS, policy, "enabled"), &user(REPLICATOR, WRITER, status)]).unwrap()
        };
        assert_eq!(with(READER, "enabled"), with(WRITER, "disabled"));
        assert_ne!(with(READER, "enabled"), with("consoleAdmin", "enabled"));
        let other = |policy| listed(&[&user("shadow", policy, "enabled")]).unwrap();
        assert_ne!(other(READER), other(WRITER));
    }

    #[test]
    fn lines_of_the_client_are_items() {
        let all = listed(&[
            r#"{"status":"success","user":"root","stsKeys":null,"svcaccs":[{"accessKey":"K1","expiration":"x"}]}"#,
            r#"{"status":"success","policy":"p","policyInfo":{"PolicyName":"p","Policy":{"Statement":[]}},"isGroup":false}"#,
            r#"{"status":"success","groupName":"g","members":["shadow"],"groupStatus":"enabled"}"#,
        ])
        .unwrap();
        assert_eq!(all.get("access key K1"), Some(r#"of root {"accessKey":"K1","expiration":"x"}"#));
        assert_eq!(all.get("policy p"), Some(r#"{"Statement":[]}"#));
        assert!(all.get("group g").is_some_and(|told| told.contains("shadow")));
        for bad in ["garbage", r#"{"status":"error","error":{}}"#, r#"{"status":"success"}"#] {
            assert!(listed(&[bad]).is_err(), "{bad}");
        }
    }
}
