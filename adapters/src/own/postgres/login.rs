//! Getting into a PostgreSQL, and what it says when it lets nobody in.

use std::error::Error as _;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls};

use super::LIMIT;
use crate::own::place::Unread;

/// A server that is starting is asked again after this.
const STARTING: Duration = Duration::from_millis(200);

/// How to get in.
#[derive(Debug, Clone)]
pub(super) struct Login {
    config: Config,
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// A connection; dropped, it is closed.
pub(super) struct Session {
    pub(super) client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Login {
    pub(super) fn new(dsn: &str, ca_file: Option<&Path>) -> Result<Login, String> {
        // libpq's stronger words; all three are checked against certificates here.
        let dsn = dsn
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        let mut config: Config = dsn.parse().map_err(|e: Error| {
            let why = e.source().map_or_else(|| e.to_string(), ToString::to_string);
            format!("it is no connection string that gameday understands: {why}")
        })?;
        if config.get_hosts().len() != 1 {
            return Err(
                "the connection string must name one host: of several, nobody knows which one answers".into(),
            );
        }
        config.connect_timeout(LIMIT).application_name("gameday").keepalives_idle(Duration::from_secs(30));
        let tls = match (config.get_ssl_mode(), ca_file) {
            (SslMode::Require, ca) => Some(crate::own::tls::config(ca)?),
            (_, Some(ca)) => {
                config.ssl_mode(SslMode::Require);
                Some(crate::own::tls::config(Some(ca))?)
            }
            // Without a certificate to check, encryption keeps nobody out who could listen.
            _ => {
                config.ssl_mode(SslMode::Disable);
                None
            }
        };
        Ok(Login { config, tls })
    }

    pub(super) async fn connect(&self) -> Result<Session, Unread> {
        let open = async || {
            Ok::<_, Error>(match &self.tls {
                Some(tls) => {
                    let tls = tokio_postgres_rustls::MakeRustlsConnect::new((**tls).clone());
                    let (client, connection) = self.config.connect(tls).await?;
                    Session { client, driver: tokio::spawn(async move { drop(connection.await) }) }
                }
                None => {
                    let (client, connection) = self.config.connect(NoTls).await?;
                    Session { client, driver: tokio::spawn(async move { drop(connection.await) }) }
                }
            })
        };
        let open = async {
            loop {
                match open().await {
                    Err(e) if e.code() == Some(&SqlState::CANNOT_CONNECT_NOW) => sleep(STARTING).await,
                    other => return other,
                }
            }
        };
        match timeout(LIMIT, open).await {
            Ok(session) => session.map_err(|e: Error| unread(&e)),
            Err(_) => Err(Unread::Failed(format!("no connection within {LIMIT:?}"))),
        }
    }
}

/// What an error says, with the server's own words.
pub(super) fn unread(e: &Error) -> Unread {
    if let Some(db) = e.as_db_error() {
        // Details quote rows of users.
        return Unread::Failed(db.message().to_owned());
    }
    let mut text = e.to_string();
    let mut source = e.source();
    let mut nobody = false;
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            nobody |= matches!(io.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound);
        }
        source = cause.source();
    }
    if nobody { Unread::Nobody(text) } else { Unread::Failed(text) }
}

/// Asks within a limit.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Unread> {
    match timeout(limit, work).await {
        Ok(done) => done.map_err(|e| unread(&e)),
        Err(_) => Err(Unread::Failed(format!("no answer within {limit:?}"))),
    }
}
