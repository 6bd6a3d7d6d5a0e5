//! MinIO's own client, inside the server's container: versions, users, and replication to the other region, for which
//! S3 has no words. Secrets go in by standard input, and are taken out of what is told.

use std::time::Duration;

use super::iam::People;
use super::shell::Inside;
use crate::postgres::{Command, Shell as _};
use crate::s3::Keys;

/// One order.
const LIMIT: Duration = Duration::from_secs(60);
/// Of what a failed order says, this much is told.
const TOLD: usize = 500;
/// Whom this server lets in, and how it speaks to itself.
const START: &str = r#"set -eu
export MC_HOST_me="http://$MINIO_ROOT_USER:$MINIO_ROOT_PASSWORD@127.0.0.1:9000" MC_CONFIG_DIR=/tmp/gameday-mc
export HOME=/tmp
mkdir -p /tmp/gameday-mc
"#;
/// What is there already stays.
const VERSIONS: &str = r#"for bucket in "$@"; do mc -q version enable "me/$bucket"; done"#;
/// `mc` reads no import from its standard input.
const IMPORT: &str = r#"
umask 077; file=/tmp/gameday-mc/iam-$$.zip; trap 'rm -f "$file"' EXIT
cat >"$file"; mc admin cluster iam import me "$file"
"#;
/// Sends everything of these buckets to the other region, what is there already too.
const REPLICATE: &str = r#"
read -r remote; sync=$1; shift
for bucket in "$@"; do
    mc replicate rm --all --force "me/$bucket" || true
    mc replicate add "me/$bucket" --remote-bucket "$remote/$bucket" $sync --priority 1 --healthcheck-seconds 1 \
        --disable-proxy --replicate "delete,delete-marker,existing-objects"
    arn=$(mc replicate ls --json "me/$bucket" | grep -o 'arn:minio:replication[^"]*' | head -n 1)
    mc replicate resync start --remote-bucket "$arn" "me/$bucket"
done
"#;
/// Throws these buckets away, with every version, and makes them anew.
const EMPTY: &str = r#"
for bucket in "$@"; do
    mc replicate rm --all --force "me/$bucket" || true
    mc rb --force "me/$bucket"
    mc -q mb "me/$bucket"
    mc -q version enable "me/$bucket"
done
"#;
/// How many newest versions of a bucket have not reached the other region.
const PENDING: &str =
    r#"mc stat --recursive --json "me/$1" | grep -cE '"replicationStatus":"(PENDING|FAILED)"' || true"#;

/// The operator's hand inside a server.
#[derive(Debug, Clone)]
pub(super) struct Mc {
    pub(super) inside: Inside,
    pub(super) people: People,
}

impl Mc {
    /// Keeps every version of what is in these buckets.
    pub(super) async fn keep_versions(&self, buckets: &[&str]) -> Result<(), String> {
        self.run(VERSIONS, buckets, Vec::new()).await.map(drop)
    }

    /// Users write, or only read: see [`People::import`].
    pub(super) async fn allow(&self, writes: bool) -> Result<(), String> {
        self.run(IMPORT, &[], self.people.import(writes)).await.map(drop)
    }

    /// Sends everything to `host`, and waits for it there before it acknowledges, if it is reached (`sync`).
    pub(super) async fn replicate(&self, host: &str, sync: bool, buckets: &[&str]) -> Result<(), String> {
        let Keys { access, secret, .. } = &self.people.replicator;
        let sync = [if sync { "--sync" } else { "" }];
        let args: Vec<&str> = sync.iter().chain(buckets).copied().collect();
        self.run(REPLICATE, &args, format!("http://{access}:{secret}@{host}\n").into()).await.map(drop)
    }

    pub(super) async fn empty(&self, buckets: &[&str]) -> Result<(), String> {
        self.run(EMPTY, buckets, Vec::new()).await.map(drop)
    }

    /// Objects of a bucket that wait to be sent.
    pub(super) async fn pending(&self, bucket: &str) -> Result<u64, String> {
        let said = self.run(PENDING, &[bucket], Vec::new()).await?;
        said.trim().parse().map_err(|_| format!("mc said {said:?}"))
    }

    async fn run(&self, script: &str, args: &[&str], stdin: Vec<u8>) -> Result<String, String> {
        let command = Command::script(&format!("{START}{script}"), args.iter().copied());
        let output = self.inside.run(command.reads(stdin).within(LIMIT)).await;
        let output = output.map_err(|e| self.without_secrets(e.to_string()))?;
        if output.code == 0 {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = self.without_secrets(String::from_utf8_lossy(&output.stderr).into_owned());
        let from = said.len().saturating_sub(TOLD);
        let told = (from..=said.len()).find_map(|at| said.get(at..)).unwrap_or_default();
        Err(format!("mc ended with code {}: {}", output.code, told.trim()))
    }

    fn without_secrets(&self, said: String) -> String {
        said.replace(&self.people.users.secret, "***").replace(&self.people.replicator.secret, "***")
    }
}
