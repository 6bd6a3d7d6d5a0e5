//! Streaming replication: synchronous or not, how far behind a standby is, and a receiver that is frozen.
//!
//! A frozen receiver is a standby that looks well: it answers reads, of what it had, and receives nothing. An
//! asynchronous primary goes on without it; a synchronous one acknowledges nothing any more.

use std::time::Duration;

use super::database::column;
use super::login::{ident, literal};
use super::node::{Node, NodeError, until};
use super::shell::{Command, must};

/// A server takes a new setting, and a process a signal, within this.
const SOON: Duration = Duration::from_secs(10);

/// What a primary waits for before it acknowledges a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Its own disk.
    Asynchronous,
    /// The disk of its standby, too.
    Synchronous,
}

/// How far behind its primary a standby is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lag {
    /// Bytes of the log that the standby has not on its disk.
    pub unflushed: u64,
    /// Bytes of the log that readers of the standby do not see yet.
    pub unreplayed: u64,
    /// `streaming`, `catchup`, ...
    pub state: String,
    /// `async`, `sync`, `potential` or `quorum`.
    pub sync: String,
}

impl Node {
    /// Makes this primary wait for a standby, or not, and answers when it does.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn set_mode(&self, standby: &Node, mode: Mode) -> Result<(), NodeError> {
        let names = match mode {
            Mode::Asynchronous => String::new(),
            Mode::Synchronous => ident(&standby.name),
        };
        self.wait_for_standbys(&names).await?;
        let wanted = match mode {
            Mode::Asynchronous => "async",
            Mode::Synchronous => "sync",
        };
        until("the standby's new mode", SOON, async || {
            let lag = self.lag(standby).await?;
            let fits = lag.as_ref().is_some_and(|lag| lag.sync == wanted);
            Ok(fits.then_some(()).ok_or(format!("{lag:?}")))
        })
        .await
    }

    /// Sets whom this server waits for. It can be asked of a standby, too.
    pub(super) async fn wait_for_standbys(&self, names: &str) -> Result<(), NodeError> {
        // Two statements: no transaction may alter the system.
        self.operators()
            .run(&format!("ALTER SYSTEM SET synchronous_standby_names = {}", literal(names)))
            .await?;
        self.operators().value::<bool>("SELECT pg_reload_conf()").await?;
        Ok(())
    }

    /// How far behind a standby is, by this primary; none, if it does not stream.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn lag(&self, standby: &Node) -> Result<Option<Lag>, NodeError> {
        let sql = format!(
            "SELECT greatest(coalesce(pg_current_wal_lsn() - flush_lsn, 0), 0)::int8,
                    greatest(coalesce(pg_current_wal_lsn() - replay_lsn, 0), 0)::int8, state, sync_state
             FROM pg_stat_replication WHERE application_name = {}",
            literal(&standby.name)
        );
        let held = self.operators().hold().await?;
        let found = held.ask(held.client().query_typed(&sql, &[])).await?;
        held.release();
        let Some(row) = found.first() else { return Ok(None) };
        Ok(Some(Lag {
            unflushed: column::<i64>(row, 0)?.unsigned_abs(),
            unreplayed: column::<i64>(row, 1)?.unsigned_abs(),
            state: column(row, 2)?,
            sync: column(row, 3)?,
        }))
    }

    /// Waits until a standby shows its readers everything that this primary has acknowledged by now.
    ///
    /// # Errors
    /// [`NodeError::Late`] among others.
    pub async fn caught_up(&self, standby: &Node, limit: Duration) -> Result<(), NodeError> {
        let lsn: String = self.operators().value("SELECT pg_current_wal_flush_lsn()::text").await?;
        let sql = format!("SELECT coalesce(pg_last_wal_replay_lsn() >= {}::pg_lsn, false)", literal(&lsn));
        until("the standby has everything", limit, async || {
            let there: bool = standby.operators().value(&sql).await?;
            Ok(there.then_some(()).ok_or(format!("it has not reached {lsn}")))
        })
        .await
    }

    /// Freezes the process that receives the log, and answers when it stands still.
    ///
    /// # Errors
    /// [`NodeError::Refused`] if none runs.
    pub async fn freeze_receiver(&self) -> Result<u32, NodeError> {
        let found = "SELECT coalesce((SELECT pid FROM pg_stat_wal_receiver), 0)";
        let pid = self.operators().value::<i32>(found).await?.unsigned_abs();
        if pid == 0 {
            return Err(NodeError::Refused(format!("{} receives nothing that could be frozen", self.name)));
        }
        self.kill("STOP", pid).await?;
        until("a frozen receiver", SOON, async || {
            let state = self.state_of(pid).await?.unwrap_or_default();
            Ok((state == "T").then_some(pid).ok_or(format!("its state is {state:?}")))
        })
        .await
    }

    /// Lets a frozen receiver go on.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn thaw_receiver(&self, pid: u32) -> Result<(), NodeError> {
        self.kill("CONT", pid).await
    }

    async fn kill(&self, signal: &str, pid: u32) -> Result<(), NodeError> {
        let (signal, pid) = (format!("-{signal}"), pid.to_string());
        let command = Command::script(r#"kill "$1" "$2""#, [signal.as_str(), pid.as_str()]);
        must(self.shell.as_ref(), command).await?;
        Ok(())
    }

    /// A line of `/proc/{pid}/status`, without its name; none, if there is no such process.
    async fn status_of(&self, pid: u32, line: &str) -> Result<Option<String>, NodeError> {
        let path = format!("/proc/{pid}/status");
        let output = self.shell.run(Command::new("cat").args([path.as_str()])).await?;
        if output.code != 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
        Ok(found.map(|rest| rest.trim().to_owned()))
    }

    async fn state_of(&self, pid: u32) -> Result<Option<String>, NodeError> {
        let state = self.status_of(pid, "State").await?;
        Ok(state.and_then(|state| state.split_whitespace().next().map(str::to_owned)))
    }

    /// The frozen receiver of a server that is asked to become a primary, once it was told to end: thawed earlier, it
    /// would first receive what had waited for it.
    pub(super) async fn thaw_the_ending(&self, pid: u32) -> Result<bool, NodeError> {
        if self.state_of(pid).await?.as_deref() != Some("T") {
            return Ok(false);
        }
        const TERM: u64 = 1 << 14;
        until("the frozen receiver is told to end", SOON, async || {
            let pending = self.status_of(pid, "ShdPnd").await?.unwrap_or_default();
            let told = u64::from_str_radix(&pending, 16).is_ok_and(|set| set & TERM != 0);
            Ok(told.then_some(()).ok_or(format!("pending signals are {pending:?}")))
        })
        .await?;
        self.thaw_receiver(pid).await?;
        Ok(true)
    }
}
