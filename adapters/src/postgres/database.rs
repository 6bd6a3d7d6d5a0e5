//! Connections: one for each need, made when there is none idle, and thrown away after any trouble.
//!
//! A connection answers one question at a time, and goes back among the idle ones only after it answered well. So a
//! call that is dropped half-way, or fails, takes its connection with it, and nobody meets the rest of an answer.
//! Connecting and asking share one limit.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Connection, Error, NoTls, Socket, tls::NoTlsStream};

use super::login::Login;
use super::outcome;
use crate::features::{CallError, Staging};

/// Connections of one handle; a server has a hundred.
const CONNECTIONS: usize = 16;
/// A connection that hangs in the network is given up after this, whatever its callers do.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// A handle to a database. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Database {
    inner: Arc<Inner>,
    limit: Duration,
}

#[derive(Debug)]
struct Inner {
    login: Login,
    idle: Mutex<VecDeque<Session>>,
    room: Arc<Semaphore>,
    staging: Staging,
}

/// A connection and the task that drives it.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    /// The server has told of a commit that no standby has.
    alone: Arc<AtomicBool>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // A driver that waits to say good-bye over a dead link would wait long.
        self.driver.abort();
    }
}

/// A connection in use. Dropped, it is closed; [`Held::release`] keeps it.
#[derive(Debug)]
pub(super) struct Held {
    session: Session,
    inner: Arc<Inner>,
    deadline: Instant,
    _room: OwnedSemaphorePermit,
}

impl Database {
    /// The database of a login, each call to which ends within `limit`. Connects with the first call.
    pub fn new(login: Login, limit: Duration) -> Self {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let inner = Inner { login, idle: Mutex::default(), room, staging: Staging::default() };
        Self { inner: Arc::new(inner), limit }
    }

    /// The same connections with another limit.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { inner: self.inner.clone(), limit }
    }

    /// Who connects where.
    pub fn login(&self) -> &Login {
        &self.inner.login
    }

    pub(super) fn staging(&self) -> &Staging {
        &self.inner.staging
    }

    /// A connection that nobody else uses. Whatever goes wrong, nothing was asked.
    pub(super) async fn hold(&self) -> Result<Held, CallError> {
        let deadline = Instant::now() + self.limit;
        let late = |what: &str| CallError::NotSent(format!("{what} within {:?}", self.limit));
        let room = timeout_at(deadline, self.inner.room.clone().acquire_owned()).await;
        let room = room.map_err(|_| late("no connection is free"))?;
        let room = room.map_err(|e| CallError::NotSent(e.to_string()))?;
        let session = match self.idle() {
            Some(session) => session,
            None => timeout_at(deadline, connect(&self.inner.login, self.limit))
                .await
                .map_err(|_| late("no connection"))?
                .map_err(|e| outcome::of_connecting(&e))?,
        };
        Ok(Held { session, inner: self.inner.clone(), deadline, _room: room })
    }

    /// One that has not been closed meanwhile, as far as anybody can know.
    fn idle(&self) -> Option<Session> {
        let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop_back()).find(|session| !session.client.is_closed())
    }

    /// Runs statements without parameters, one after the other.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn run(&self, sql: &str) -> Result<(), CallError> {
        let held = self.hold().await?;
        held.ask(held.client().batch_execute(sql)).await?;
        held.release();
        Ok(())
    }

    /// The only value of the only row that a question answers.
    pub(super) async fn value<T: tokio_postgres::types::FromSqlOwned>(
        &self,
        sql: &str,
    ) -> Result<T, CallError> {
        let held = self.hold().await?;
        let row = held.ask(held.client().query_typed_one(sql, &[])).await?;
        held.release();
        column(&row, 0)
    }
}

impl Held {
    pub(super) fn client(&self) -> &Client {
        &self.session.client
    }

    /// Begins a transaction. Whatever fails or is given up before [`Self::commit`] closes the connection, and with it
    /// the server undoes all of it.
    pub(super) async fn begin(&self) -> Result<(), CallError> {
        self.ask(self.client().batch_execute("BEGIN")).await
    }

    /// Commits, and keeps the connection.
    pub(super) async fn commit(self) -> Result<(), CallError> {
        self.ask(self.client().batch_execute("COMMIT")).await?;
        self.release();
        Ok(())
    }

    /// What was asked of [`Self::client`], within the limit.
    pub(super) async fn ask<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, CallError> {
        let answer = timeout_at(self.deadline, asked).await;
        let answer = answer.map_err(|_| CallError::Indefinite("no answer within the limit".into()))?;
        let answer = answer.map_err(|e| outcome::of_sent(&e))?;
        if self.session.alone.load(Ordering::Acquire) {
            let why = "the wait for the standby was cancelled: committed here, perhaps nowhere else";
            return Err(CallError::Indefinite(why.into()));
        }
        Ok(answer)
    }

    /// Keeps the connection for the next one: everything asked of it was answered.
    pub(super) fn release(self) {
        let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push_back(self.session);
    }
}

/// A value of a row; of another type than asked, it is no answer to the question.
pub(super) fn column<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a tokio_postgres::Row,
    at: usize,
) -> Result<T, CallError> {
    row.try_get(at).map_err(|e| CallError::Indefinite(format!("column {at} of an answer: {e}")))
}

async fn connect(login: &Login, limit: Duration) -> Result<Session, Error> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(login.addr.ip().to_string())
        .port(login.addr.port())
        .user(&login.user)
        .password(login.password.reveal())
        .dbname(&login.database)
        .application_name("gameday")
        .ssl_mode(SslMode::Disable)
        .connect_timeout(limit)
        .tcp_user_timeout(UNACKNOWLEDGED);
    let (client, connection) = config.connect(NoTls).await?;
    let alone = Arc::new(AtomicBool::new(false));
    let driver = tokio::spawn(drive(connection, alone.clone()));
    Ok(Session { client, driver, alone })
}

/// Moves bytes until the connection ends, and keeps an eye on what the server tells besides.
async fn drive(mut connection: Connection<Socket, NoTlsStream>, alone: Arc<AtomicBool>) {
    while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
        // Told before the answer itself, and so seen before the answer is.
        if let AsyncMessage::Notice(notice) = message
            && outcome::commits_alone(&notice)
        {
            alone.store(true, Ordering::Release);
        }
    }
}
