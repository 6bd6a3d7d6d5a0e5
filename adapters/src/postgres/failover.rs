//! Fencing, promotion, rejoining: never two primaries.

use std::time::{Duration, Instant};

use super::database::Database;
use super::node::{Node, NodeError, until};
use super::settings::OPERATOR;
use super::shell::must;
use crate::features::CallError;

/// A promotion, and a rewinding, may take this long.
const LIMIT: Duration = Duration::from_secs(60);
/// An answer to whether a server takes writes.
const SOON: Duration = Duration::from_secs(2);

/// Proof that an old primary takes no writes, and will not by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fenced {
    how: String,
}

/// What a promotion came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Promoted {
    /// From being asked to until it takes writes.
    pub seconds: f64,
    /// The proof it stands on.
    pub fenced: String,
    /// Its receiver was frozen, and had to be let go to end.
    pub receiver_was_frozen: bool,
}

impl Fenced {
    /// Looks whether an old primary can still take writes. A server that does not run in a node that answers is fenced,
    /// and one that is a standby; silence proves nothing.
    ///
    /// # Errors
    /// [`NodeError::Refused`]: it takes writes, or nobody can say.
    pub async fn prove(old: &Node) -> Result<Self, NodeError> {
        let name = &old.name;
        let asked = Database::new(old.operators().login().clone(), SOON);
        match asked.value::<bool>("SELECT pg_is_in_recovery()").await {
            Ok(true) => return Ok(Self { how: format!("{name} is a standby") }),
            Ok(false) => return Err(NodeError::Refused(format!("{name} still takes writes: stop it first"))),
            Err(_) => {}
        }
        // A dead link looks the same from here: only the node itself knows.
        match old.runs().await {
            Ok(false) => Ok(Self { how: format!("no server runs on {name}") }),
            Ok(true) => {
                Err(NodeError::Refused(format!("{name} does not answer, and its server runs: stop it first")))
            }
            Err(e) => Err(NodeError::Refused(format!("nobody can say whether {name} takes writes: {e}"))),
        }
    }

    /// What the host of the old primary knows: that its container was killed, and is not restarted by itself. A paused
    /// one is not fenced, nor one that is cut off from here.
    pub fn by_host(evidence: impl Into<String>) -> Self {
        Self { how: evidence.into() }
    }
}

impl Node {
    /// Makes this standby the primary, and answers when it takes writes.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn promote(&self, proof: Fenced) -> Result<Promoted, NodeError> {
        if !self.in_recovery().await? {
            return Err(NodeError::Refused(format!("{} is a primary already", self.name)));
        }
        let receiver = "SELECT coalesce((SELECT pid FROM pg_stat_wal_receiver), 0)";
        let receiver = self.operators().value::<i32>(receiver).await?.unsigned_abs();
        // It would wait for a standby that it has not.
        self.wait_for_standbys("").await?;
        let began = Instant::now();
        self.operators().value::<bool>("SELECT pg_promote(wait => false)").await?;
        let receiver_was_frozen = receiver != 0 && self.thaw_the_ending(receiver).await?;
        until("a standby becomes the primary", LIMIT, async || {
            let waits = self.in_recovery().await?;
            Ok((!waits).then_some(()).ok_or("it is a standby".to_owned()))
        })
        .await?;
        let seconds = began.elapsed().as_secs_f64();
        // Until there is a checkpoint, pg_rewind takes both for the same timeline.
        self.operators().within(LIMIT).run("CHECKPOINT").await?;
        Ok(Promoted { seconds, fenced: proof.how, receiver_was_frozen })
    }

    pub(super) async fn in_recovery(&self) -> Result<bool, CallError> {
        self.operators().value("SELECT pg_is_in_recovery()").await
    }

    /// Takes this old primary back to where the new one left it, and makes it a standby. What it had acknowledged alone
    /// is gone.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn rejoin(&self, primary: &Node) -> Result<(), NodeError> {
        self.stop(false).await?;
        primary.drop_slot(&self.name).await?;
        let slot = format!(
            "SELECT count(pg_create_physical_replication_slot('{}', true))",
            // Made of lower-case letters, digits and underscores.
            self.name
        );
        primary.operators().value::<i64>(&slot).await?;
        primary.operators().within(LIMIT).run("CHECKPOINT").await?;
        let source = self.conninfo(primary, OPERATOR);
        must(self.shell.as_ref(), self.layout.rewind(&source).within(10 * LIMIT)).await?;
        self.follow(primary).await?;
        self.start().await
    }
}
