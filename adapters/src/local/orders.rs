//! The door by which a recovery command has nodes of its run started: `gameday node start east/vector`.
//!
//! A process that the command started by itself would be none of the run's: not where users look for it, and found by
//! nobody who cleans up. So the harness starts it, as it does for its own steps. The door is a port of loopback, open
//! for as long as a command runs; who knocks has to know the word that only the command was told.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use harness::act::Act;
use harness::ports::{EnvironmentError, Host};
use harness::topology::Topology;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::environment;

/// The variable that tells a command where the door is, and the word.
const VARIABLE: &str = "GAMEDAY_ORDERS";
/// Who knocks says what is wanted within this.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// Longer than any node takes to start.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);
/// No order and no answer is longer.
const LINE_MAX: u64 = 64 << 10;

/// What may be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A node that does not run is started; one that runs is left alone.
    Start,
    /// A node is ended, if it runs, and started.
    Restart,
}

#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    word: String,
    order: Order,
    node: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    done: bool,
    said: String,
}

/// The harness's side.
#[derive(Debug)]
pub(crate) struct Orders {
    listener: TcpListener,
    addr: SocketAddr,
    word: String,
    /// What was ordered, and what came of it.
    carried_out: Mutex<Vec<String>>,
}

impl Orders {
    /// Opens the door.
    pub(crate) async fn open() -> io::Result<Self> {
        let opened = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let addr = listener.local_addr()?;
            Ok(Self { listener, addr, word: super::private::word()?, carried_out: Mutex::default() })
        };
        opened.await.inspect_err(|e| _ = harness::shortage::notice(e))
    }

    /// What the command is told.
    pub(crate) fn variable(&self) -> (OsString, OsString) {
        (VARIABLE.into(), format!("{} {}", self.addr, self.word).into())
    }

    /// What nobody else may read.
    pub(crate) fn secret(&self) -> String {
        self.word.clone()
    }

    /// What was ordered so far, in words.
    pub(crate) fn carried_out(&self) -> Vec<String> {
        self.carried_out.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Carries out orders, one after the other, until it is dropped.
    pub(crate) async fn serve(&self, host: &dyn Host, topology: &Topology) {
        loop {
            match self.listener.accept().await {
                Ok((near, _)) => drop(self.answer(near, host, topology).await),
                Err(e) => {
                    harness::shortage::notice(&e);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    async fn answer(&self, near: TcpStream, host: &dyn Host, topology: &Topology) -> io::Result<()> {
        let mut near = tokio::io::BufReader::new(near);
        let mut line = String::new();
        let read = timeout(ASK_LIMIT, (&mut near).take(LINE_MAX).read_line(&mut line)).await;
        read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let answer = match serde_json::from_str::<Asked>(&line) {
            Ok(asked) if asked.word == self.word => self.carry_out(&asked, host, topology).await,
            Ok(_) => Answer { done: false, said: "the word is wrong".into() },
            Err(e) => Answer { done: false, said: format!("this is no order: {e}") },
        };
        let mut text = serde_json::to_string(&answer).map_err(io::Error::other)?;
        text.push('\n');
        near.write_all(text.as_bytes()).await
    }

    async fn carry_out(&self, asked: &Asked, host: &dyn Host, topology: &Topology) -> Answer {
        let Some(node) = topology.nodes.iter().find(|n| n.to_string() == asked.node).cloned() else {
            let names: Vec<String> = topology.nodes.iter().map(ToString::to_string).collect();
            let said = format!("there is no node `{}`; nodes are {}", asked.node, names.join(", "));
            return Answer { done: false, said };
        };
        let act = match asked.order {
            Order::Start => Act::Start { node },
            Order::Restart => Act::Restart { node },
        };
        let outcome = host.act(&act).await.outcome;
        let said = format!("{act}: {}", outcome.text());
        self.carried_out.lock().unwrap_or_else(PoisonError::into_inner).push(said.clone());
        Answer { done: outcome.observed(), said }
    }
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Whether its effect was seen.
    pub done: bool,
    /// In words.
    pub said: String,
}

/// Has the run order something that this process is a recovery command of, or was started by one. Blocks.
///
/// # Errors
/// If it is none, or the run does not answer.
pub fn order(order: Order, node: &str) -> Result<Carried, EnvironmentError> {
    let told = std::env::var(VARIABLE).ok();
    let told = told.as_deref().and_then(|told| told.split_once(' '));
    let (addr, word) = told.ok_or_else(|| {
        let what = format!("{VARIABLE} is not set: this is no recovery command of a running drill");
        environment(what, "call it from a `command` of [[recover]], in world `local` or `docker`")
    })?;
    let remedy = "the run has given the command up, or has ended: look at its report";
    let silent = |e: io::Error| environment(format!("the run at {addr} does not answer: {e}"), remedy);
    let asked = Asked { word: word.into(), order, node: node.into() };
    let exchange = || -> io::Result<Answer> {
        let addr: SocketAddr = addr.parse().map_err(io::Error::other)?;
        let mut run = std::net::TcpStream::connect_timeout(&addr, ASK_LIMIT)?;
        run.set_read_timeout(Some(ANSWER_LIMIT))?;
        run.set_write_timeout(Some(ASK_LIMIT))?;
        run.write_all((serde_json::to_string(&asked).map_err(io::Error::other)? + "\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(run.take(LINE_MAX)).read_line(&mut line)?;
        serde_json::from_str(&line).map_err(io::Error::other)
    };
    exchange().map(|Answer { done, said }| Carried { done, said }).map_err(silent)
}
