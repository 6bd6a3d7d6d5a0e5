//! Point-in-time recovery: a copy of the cluster, and an archive of its log.
//!
//! The archive is a folder of the node; `ship` takes it into an object store. A restore point is usable once the segment that holds it is archived, which is
//! what [`Node::restore_point`] waits for; what was written since then is lost by a recovery to it, and no replay knows
//! it. Standbys of a recovered server have to be cloned anew.

use std::time::Duration;

use super::login::literal;
use super::node::{Node, NodeError, until};
use super::settings::{Conninfo, REPLICATOR, recovery_conf};
use super::shell::{Command, must};

/// Copying a cluster, and replaying its log, take as long as they take.
pub(super) const LONG: Duration = Duration::from_secs(600);
/// A segment is archived within this.
const ARCHIVED: Duration = Duration::from_secs(60);

/// A moment to which a server can be taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestorePoint {
    name: String,
}

fn plain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !name.is_empty() && name.len() < 64 && name.chars().all(fits)
}

impl RestorePoint {
    /// A moment that was named by [`Node::restore_point`], perhaps of another node.
    pub fn named(name: &str) -> Self {
        Self { name: name.into() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Node {
    /// Copies the running cluster into the node's folder; a copy that was there is gone.
    ///
    /// # Errors
    /// See [`NodeError`]. A cluster with a damaged page cannot be copied.
    pub async fn base_backup(&self) -> Result<(), NodeError> {
        let to = self.base();
        must(self.shell.as_ref(), Command::new("rm").args(["-rf", to.as_str()])).await?;
        // From inside: not over a link between regions, which may be cut, or not there.
        let own =
            Conninfo { host: "127.0.0.1".into(), port: self.layout.port, ..self.conninfo(self, REPLICATOR) };
        let copy = self.layout.basebackup(&own, None, &to);
        must(self.shell.as_ref(), copy.within(LONG)).await?;
        Ok(())
    }

    /// Names the present moment, and answers when the archive holds it.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn restore_point(&self, name: &str) -> Result<RestorePoint, NodeError> {
        if !self.layout.archive || !plain(name) {
            return Err(NodeError::Refused(format!(
                "{name:?} names no restore point, or there is no archive"
            )));
        }
        let sql = format!("SELECT pg_walfile_name(pg_create_restore_point({}))", literal(name));
        let segment: String = self.operators().value(&sql).await?;
        self.operators().value::<String>("SELECT pg_switch_wal()::text").await?;
        let archived = format!("{}/{segment}", self.layout.archived());
        until("the restore point is archived", ARCHIVED, async || {
            let output = self.shell.run(Command::new("test").args(["-f", archived.as_str()])).await?;
            Ok((output.code == 0).then_some(()).ok_or(format!("{segment} is not there")))
        })
        .await?;
        Ok(RestorePoint { name: name.into() })
    }

    /// Takes the server back to a restore point, and answers when it takes writes. Whatever came after it is gone.
    ///
    /// # Errors
    /// See [`NodeError`]. If the log does not reach the point, the server does not start, and says so in its log.
    pub async fn recover_to(&self, point: &RestorePoint) -> Result<(), NodeError> {
        // A name that could be anything else than one is nothing that a server may read.
        if !plain(&point.name) {
            return Err(NodeError::Refused(format!("{:?} names no restore point", point.name)));
        }
        self.stop(false).await?;
        let (base, data) = (self.base(), self.layout.data());
        let script = r#"test -f "$1/PG_VERSION" && rm -rf "$2" && cp -a "$1" "$2""#;
        let copy = Command::script(script, [base.as_str(), data.as_str()]).within(LONG);
        must(self.shell.as_ref(), copy).await?;
        self.signal("recovery.signal", &recovery_conf(&self.layout.archived(), &point.name)).await?;
        self.start().await?;
        until("the end of the recovery", LONG, async || {
            let waits = self.in_recovery().await?;
            Ok((!waits).then_some(()).ok_or("it still recovers".to_owned()))
        })
        .await
    }

    pub(super) fn base(&self) -> String {
        format!("{}/base", self.layout.root)
    }
}
