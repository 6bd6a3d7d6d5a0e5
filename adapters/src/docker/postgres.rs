//! PostgreSQL as role `feature`: one server, started inside a container whose first process only waits, so that a
//! stopped server can be worked on.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use harness::corpus::Corpus;
use harness::ports::System;
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, sleep};

use super::shell::Inside;
use super::stand::{Blueprint, Disk};
use crate::postgres::settings::{self, DATABASE, Layout, USER};
use crate::postgres::{Credentials, Database, Login, Node, Peer, PostgresSystem, Secret};

/// Everything of the server is on its disk.
const ROOT: &str = "/var/lib/postgresql/data";
/// Where Debian puts the programs.
const BIN: &str = "/usr/lib/postgresql/15/bin";
/// Who runs the server, and owns the disk.
const SERVER_USER: &str = "postgres";
/// Where the server listens, inside.
pub(super) const PORT: u16 = 5432;
/// Longer than any limit of the harness, which ends a call by dropping it.
const USERS_LIMIT: Duration = Duration::from_secs(60);
/// One call of the harness's own, past the link.
const OWN_LIMIT: Duration = Duration::from_secs(30);
/// One attempt at being a user.
const READY_LIMIT: Duration = Duration::from_secs(2);

/// How long a standby that is made waits for its primary.
const AWAIT_LIMIT: Duration = Duration::from_secs(50);
const POLL: Duration = Duration::from_millis(50);

/// A PostgreSQL server.
#[derive(Debug)]
pub(super) struct Postgres {
    addr: SocketAddr,
    slug: String,
    credentials: Credentials,
    /// Whether it keeps its log, for who wants to go back in time.
    archive: bool,
    /// Of backups and restores that concern all of the server: one at a time.
    pub(super) turn: Turn<()>,
    /// From the moment that its container is there.
    node: OnceLock<Node>,
}

impl Postgres {
    /// A server published at `addr`, which does not have to run yet. With `archive` it keeps its log.
    pub(super) fn new(addr: SocketAddr, slug: String, secret: &str, archive: bool) -> Self {
        let of = |role: &str| Secret::new(format!("{secret}-{role}"));
        let credentials =
            Credentials { operator: of("operator"), user: of("user"), replicator: of("replicator") };
        Self { addr, slug, credentials, archive, turn: Turn::default(), node: OnceLock::new() }
    }

    fn layout(&self) -> Layout {
        Layout {
            root: ROOT.into(),
            bin: BIN.into(),
            listen: "*".into(),
            port: PORT,
            clients: "all".into(),
            archive: self.archive,
        }
    }

    /// The superuser's.
    pub(super) fn operator_password(&self) -> &str {
        self.credentials.operator.reveal()
    }

    /// What it needs of a container.
    pub(super) fn blueprint(&self, image: String) -> Blueprint {
        Blueprint {
            image,
            // The first process gives the disk to the server's user.
            user: Some("root"),
            cmd: settings::entry(&self.layout()),
            env: Vec::new(),
            port: PORT,
            more: Vec::new(),
            disk: Disk { at: ROOT, bytes: None },
            memory: 1 << 30,
            nano_cpus: 2_000_000_000,
        }
    }

    /// The server, once its container is there.
    pub(super) fn node(&self) -> Result<&Node, String> {
        self.node.get().ok_or_else(|| "its container was never made".into())
    }

    /// Starts the server in a container that runs; makes it first on an empty disk, as a copy of `source` if it is to
    /// follow. One that runs already stays.
    pub(super) async fn boot(&self, inside: Inside, source: Option<&Self>) -> Result<(), String> {
        self.enter(inside)?;
        let node = self.node()?;
        let done = match (node.exists().await, node.runs().await, source) {
            (Ok(_), Ok(true), _) => Ok(()),
            (Ok(true), Ok(false), _) => node.start().await,
            (Ok(false), Ok(false), None) => node.create().await,
            (Ok(false), Ok(false), Some(source)) => {
                let primary = source.awaited().await?;
                node.clone_from(primary).await
            }
            (Err(e), _, _) | (_, Err(e), _) => Err(e),
        };
        done.map_err(|e| e.to_string())
    }

    /// The server, once it takes writes.
    async fn awaited(&self) -> Result<&Node, String> {
        let began = Instant::now();
        loop {
            let why = match self.ready().await {
                Ok(_) => return self.node(),
                Err(why) => why,
            };
            if began.elapsed() > AWAIT_LIMIT {
                return Err(format!("there is no primary to copy: {why}"));
            }
            sleep(POLL).await;
        }
    }

    /// Makes the handle of the server inside a container.
    fn enter(&self, mut inside: Inside) -> Result<(), String> {
        inside.user = SERVER_USER;
        if self.node.get().is_none() {
            // Other regions reach it by a link in their own network.
            let peer = Peer { host: format!("to-{}", self.slug), port: PORT };
            let name = self.slug.replace('-', "_");
            let (at, shell) = ((self.addr, peer), Arc::new(inside));
            let node = Node::new(&name, self.layout(), shell, at, self.credentials.clone(), OWN_LIMIT)?;
            self.node.get_or_init(|| node);
        }
        Ok(())
    }

    /// Does what users do, for real: writes, and reads it back.
    pub(super) async fn ready(&self) -> Result<String, String> {
        let health = tokio::time::timeout(READY_LIMIT, self.node()?.health()).await;
        let health = health.map_err(|_| format!("silent for {READY_LIMIT:?}"))?.map_err(|e| e.to_string())?;
        let entities = health.entities;
        Ok(match health.standby {
            true => format!("a standby, {entities} entities"),
            false => format!("a row written was read back, {entities} entities"),
        })
    }

    /// The store as its users reach it, at the far end of a link.
    pub(super) fn system(&self, link: SocketAddr, corpus: Arc<Corpus>) -> Arc<dyn System> {
        let (password, database) = (self.credentials.user.clone(), DATABASE.into());
        let login = Login { addr: link, user: USER.into(), password, database };
        Arc::new(PostgresSystem::new(Database::new(login, USERS_LIMIT), corpus))
    }
}
