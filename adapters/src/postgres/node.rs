//! One server: made, cloned from another, started, stopped.
//!
//! A node has two addresses: the one by which it is reached from here, perhaps through a link, and the one by which other
//! nodes reach it. Its name is also its slot at the primary, and the name by which a synchronous primary knows it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::database::Database;
use super::login::{Login, Secret, literal};
use super::schema;
use super::settings::{self, Conninfo, DATABASE, Layout, OPERATOR, REPLICATOR, USER};
use super::shell::{Command, Shell, ShellError, must};
use crate::features::CallError;

/// What is waited for is asked for this often.
const EVERY: Duration = Duration::from_millis(10);
/// Copying a primary takes as long as it takes.
const LONG: Duration = Duration::from_secs(600);

/// Why an operation on a server failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NodeError {
    /// A command in the node.
    #[error("{0}")]
    Shell(#[from] ShellError),
    /// A question to the server.
    #[error("{0}")]
    Call(#[from] CallError),
    /// An object store.
    #[error("the object store: {0}")]
    Store(#[from] crate::s3::S3Error),
    /// It would do harm, or there is nothing that it could be done to.
    #[error("{0}")]
    Refused(String),
    /// What was waited for did not come.
    #[error("after {limit:?} still not: {what}; the last answer was {last}")]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        limit: Duration,
        /// What was seen instead.
        last: String,
    },
}

/// The passwords of the roles of all servers of a stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// The superuser's.
    pub operator: Secret,
    /// The feature store's.
    pub user: Secret,
    /// The standbys'.
    pub replicator: Secret,
}

/// How other nodes reach a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// One server.
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) name: String,
    pub(super) layout: Layout,
    pub(super) shell: Arc<dyn Shell>,
    pub(super) peer: Peer,
    addr: SocketAddr,
    credentials: Credentials,
    users: Database,
    operators: Database,
}

impl Node {
    /// A server that does not have to exist yet; each question to it ends within `limit`.
    ///
    /// # Errors
    /// In words: the name is none that a slot can have (lower-case letters, digits, underscores).
    pub fn new(
        name: &str,
        layout: Layout,
        shell: Arc<dyn Shell>,
        (addr, peer): (SocketAddr, Peer),
        credentials: Credentials,
        limit: Duration,
    ) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
            return Err(format!(
                "{name:?} cannot name a slot: use lower-case letters, digits and underscores"
            ));
        }
        let login = |user: &str, password: &Secret| Login {
            addr,
            user: user.into(),
            password: password.clone(),
            database: DATABASE.into(),
        };
        let users = Database::new(login(USER, &credentials.user), limit);
        let operators = Database::new(login(OPERATOR, &credentials.operator), limit);
        Ok(Self { name: name.into(), layout, shell, peer, addr, credentials, users, operators })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is reached from here.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The feature store as its user reaches it.
    pub fn users(&self) -> &Database {
        &self.users
    }

    /// The same database as the superuser reaches it: operators, and intruders.
    pub fn operators(&self) -> &Database {
        &self.operators
    }

    /// Makes a new cluster with its roles and tables, and starts it. The node's folder is there, and the server's user
    /// owns it.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn create(&self) -> Result<(), NodeError> {
        self.configure().await?;
        let password = self.layout.conf("operator");
        self.write(&password, format!("{}\n", self.credentials.operator.reveal())).await?;
        must(self.shell.as_ref(), self.layout.initdb(&password)).await?;
        must(self.shell.as_ref(), Command::new("rm").args([password.as_str()])).await?;
        self.start().await?;
        let login = Login { database: "postgres".into(), ..self.operators.login().clone() };
        let maintenance = Database::new(login, Duration::from_secs(30));
        for sql in [
            format!("CREATE ROLE {USER} LOGIN PASSWORD {}", literal(self.credentials.user.reveal())),
            format!(
                "CREATE ROLE {REPLICATOR} LOGIN REPLICATION PASSWORD {}",
                literal(self.credentials.replicator.reveal())
            ),
            format!("CREATE DATABASE {DATABASE} OWNER {USER}"),
        ] {
            maintenance.run(&sql).await?;
        }
        self.users.within(Duration::from_secs(30)).run(&schema::create()).await?;
        Ok(())
    }

    /// Makes this node a standby of a running primary, from a copy of it, and starts it. What the node held is gone.
    ///
    /// # Errors
    /// See [`NodeError`]. A primary with a damaged page cannot be copied.
    pub async fn clone_from(&self, primary: &Node) -> Result<(), NodeError> {
        self.configure().await?;
        primary.drop_slot(&self.name).await?;
        let clear = Command::script(r#"rm -rf "$1" && mkdir -m 700 "$1""#, [self.layout.data().as_str()]);
        must(self.shell.as_ref(), clear).await?;
        let from = self.conninfo(primary, REPLICATOR);
        let copy = self.layout.basebackup(&from, Some(&self.name), &self.layout.data());
        must(self.shell.as_ref(), copy.within(LONG)).await?;
        self.follow(primary).await?;
        self.start().await
    }

    /// Tells a stopped server with a copy of a primary to follow it.
    pub(super) async fn follow(&self, primary: &Node) -> Result<(), NodeError> {
        let conf = settings::standby_conf(&self.conninfo(primary, REPLICATOR), &self.name);
        self.signal("standby.signal", &conf).await
    }

    /// Appends to `postgresql.auto.conf`, and leaves an empty file for the server to find.
    pub(super) async fn signal(&self, file: &str, conf: &str) -> Result<(), NodeError> {
        let data = self.layout.data();
        let script = r#"cat >> "$1/postgresql.auto.conf" && touch "$1/$2""#;
        let command = Command::script(script, [data.as_str(), file]).reads(conf);
        must(self.shell.as_ref(), command).await?;
        Ok(())
    }

    /// Starts the server, and answers when it takes connections.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn start(&self) -> Result<(), NodeError> {
        must(self.shell.as_ref(), self.layout.start()).await?;
        Ok(())
    }

    /// Stops the server in an orderly way, or (`immediate`) as if the power failed. One that does not run is stopped.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn stop(&self, immediate: bool) -> Result<(), NodeError> {
        if self.runs().await? {
            let mode = if immediate { "immediate" } else { "fast" };
            must(self.shell.as_ref(), self.layout.stop(mode)).await?;
        }
        Ok(())
    }

    /// Whether there is a cluster on its disk.
    ///
    /// # Errors
    /// [`NodeError::Shell`]: nobody can say.
    pub async fn exists(&self) -> Result<bool, NodeError> {
        let version = format!("{}/PG_VERSION", self.layout.data());
        let test = Command::new("test").args(["-f", version.as_str()]);
        match self.shell.run(test).await?.code {
            0 => Ok(true),
            1 => Ok(false),
            code => Err(NodeError::Refused(format!("test ended with code {code}"))),
        }
    }

    /// Whether the server runs, by its own lock file and process.
    ///
    /// # Errors
    /// [`NodeError::Shell`]: nobody can say.
    pub async fn runs(&self) -> Result<bool, NodeError> {
        let output = self.shell.run(self.layout.status()).await?;
        match output.code {
            0 => Ok(true),
            3 | 4 => Ok(false),
            code => Err(NodeError::Refused(format!("pg_ctl status ended with code {code}"))),
        }
    }

    /// How this node reaches another.
    pub(super) fn conninfo(&self, other: &Node, user: &str) -> Conninfo {
        Conninfo {
            host: other.peer.host.clone(),
            port: other.peer.port,
            user: user.into(),
            database: (user != REPLICATOR).then(|| DATABASE.into()),
            name: self.name.clone(),
            passfile: self.layout.conf("passfile"),
        }
    }

    /// Forgets a standby. Its slot would keep the log for it.
    pub(super) async fn drop_slot(&self, name: &str) -> Result<(), NodeError> {
        let sql = format!(
            "SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots
             WHERE slot_name = {} AND NOT active",
            literal(name)
        );
        self.operators.value::<i64>(&sql).await?;
        Ok(())
    }

    pub(super) async fn configure(&self) -> Result<(), NodeError> {
        let folders = [self.layout.conf(""), self.layout.archived()];
        let make = Command::script(r#"mkdir -p "$@""#, folders.iter().map(String::as_str));
        must(self.shell.as_ref(), make).await?;
        let Credentials { operator, replicator, .. } = &self.credentials;
        let passfile = settings::passfile(operator.reveal(), replicator.reveal());
        self.write(&self.layout.conf("passfile"), passfile).await?;
        self.write(&self.layout.conf("pg_hba.conf"), self.layout.pg_hba_conf()).await?;
        self.write(&self.layout.conf("postgresql.conf"), self.layout.postgresql_conf()).await
    }

    /// Writes a file that nobody else may read.
    async fn write(&self, path: &str, text: String) -> Result<(), NodeError> {
        let command = Command::script(r#"umask 077 && cat > "$1""#, [path]).reads(text);
        must(self.shell.as_ref(), command).await?;
        Ok(())
    }
}

/// Asks until there is an answer, or an error, or the limit is over. What was seen last is told.
pub(super) async fn until<T, F>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<T, NodeError>
where
    F: Future<Output = Result<Result<T, String>, NodeError>>,
{
    let began = Instant::now();
    loop {
        let last = match ask().await? {
            Ok(answer) => return Ok(answer),
            Err(last) => last,
        };
        if began.elapsed() > limit {
            return Err(NodeError::Late { what: what.into(), limit, last });
        }
        tokio::time::sleep(EVERY).await;
    }
}
