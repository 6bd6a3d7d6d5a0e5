//! A link between regions: a container of the run that alone is in the networks of both.
//!
//! Nodes of one region reach those of another by such links only, each under the name `to-<node>` in its own region's
//! network. What follows a Milvus runs in the harness, which comes in at a port that such a link publishes. The container
//! runs the link of world `local` ([`crate::local::link`]): what is told of a cut, a delay or a
//! mending is what the link saw on connections of its own through the same path. It takes orders at a port that is
//! published on loopback, one line of JSON each.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use harness::act::Outcome;
use harness::ports::Effect;
use harness::topology::{NodeId, Role};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::container::Container;
use super::stand::{Blueprint, Disk, becoming};
use crate::local::lifeline::stop_requested;
use crate::local::link::{Link, Mode};
use crate::local::links::switched;
use crate::local::port::Port;

/// The word that makes the binary a link; a configuration file follows.
pub(crate) const LINK: &str = "__link";
/// Where a link takes orders, inside.
const CONTROL: u16 = 9500;
/// An order is answered within this.
const ORDER_LIMIT: Duration = Duration::from_secs(75);
/// A link that was just started takes orders within this.
const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// No order is longer.
const LINE: u64 = 4096;

/// What a link's process is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The name of the node.
    to: String,
    /// Where it serves, and where the link listens.
    port: u16,
    /// Where orders come in.
    control: u16,
}

/// A link between regions.
#[derive(Debug)]
pub(super) struct Bridge {
    /// The region that follows.
    pub(super) follower: String,
    /// The store that it follows.
    pub(super) store: NodeId,
    /// Where connections are made.
    pub(super) near: String,
    /// Where they lead.
    pub(super) far: NodeId,
    pub(super) control: Port,
    /// Where the harness itself comes in, if it does.
    pub(super) door: Option<Port>,
    pub(super) container: OnceLock<Container>,
    port: u16,
    mode: Mutex<Mode>,
    /// Whether it passed once.
    up: watch::Sender<bool>,
}

impl Bridge {
    /// The link by which a region follows a store. A follower of PostgreSQL calls its primary; MinIO calls its follower.
    pub(super) fn new(follower: &str, store: &NodeId, port: u16) -> std::io::Result<Self> {
        let (near, far) = match store.role {
            Role::Object => (store.region.clone(), NodeId::new(follower, store.role)),
            _ => (follower.to_owned(), store.clone()),
        };
        Ok(Self {
            follower: follower.to_owned(),
            store: store.clone(),
            near,
            far,
            control: Port::reserve()?,
            door: (store.role == Role::Vector).then(Port::reserve).transpose()?,
            container: OnceLock::new(),
            port,
            mode: Mutex::new(Mode::Open),
            up: watch::Sender::new(false),
        })
    }

    /// Its name among those of the run.
    pub(super) fn slug(&self) -> String {
        format!("link-{}-{}", self.near, self.far.slug())
    }

    /// What it needs of a container.
    pub(super) fn blueprint(&self, image: String) -> Blueprint {
        let (cmd, env) = becoming(LINK, &Config { to: self.far.slug(), port: self.port, control: CONTROL });
        Blueprint {
            image,
            user: None,
            cmd,
            env,
            port: CONTROL,
            more: self.door.iter().map(|door| (self.port, door.addr())).collect(),
            disk: Disk { at: "/var/lib/gameday", bytes: None },
            memory: 256 << 20,
            nano_cpus: 1_000_000_000,
        }
    }

    /// Waits until it takes orders.
    pub(super) async fn ready(&self) -> Result<String, String> {
        let began = Instant::now();
        loop {
            let why = match self.order(Mode::Open).await {
                Ok(Outcome::Observed(seen)) => {
                    self.up.send_replace(true);
                    return Ok(seen);
                }
                Ok(outcome) => outcome.text().to_owned(),
                Err(why) => why,
            };
            if began.elapsed() > START_LIMIT {
                return Err(format!("it does not pass within {START_LIMIT:?}: {why}"));
            }
            sleep(POLL).await;
        }
    }

    /// Returns once it passed for the first time. Never, if it does not come up.
    pub(super) async fn up(&self) {
        // The sender is ours, so it is not gone.
        let _ = self.up.subscribe().wait_for(|up| *up).await;
    }

    /// Switches it, and tells what was seen.
    pub(super) async fn set(&self, mode: Mode) -> Effect {
        match self.order(mode).await {
            Ok(outcome) => {
                if outcome.observed() {
                    *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
                }
                Effect { outcome, facts: Vec::new() }.with("link", self.slug())
            }
            Err(why) => Effect::failed(format!("{}: {why}", self.slug())),
        }
    }

    /// Whether it was last seen to pass.
    pub(super) fn passes(&self) -> bool {
        matches!(*self.mode.lock().unwrap_or_else(PoisonError::into_inner), Mode::Open | Mode::Delay(_))
    }

    async fn order(&self, mode: Mode) -> Result<Outcome, String> {
        let asked = async {
            let mut stream = TcpStream::connect(self.control.addr()).await?;
            let line = serde_json::to_string(&mode).map_err(std::io::Error::other)? + "\n";
            stream.write_all(line.as_bytes()).await?;
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).await?;
            serde_json::from_str::<Outcome>(&answer).map_err(std::io::Error::other)
        };
        let answer = timeout(ORDER_LIMIT, asked).await;
        let answer = answer.map_err(|_| format!("the link did not answer within {ORDER_LIMIT:?}"))?;
        answer.map_err(|e| format!("the link's container does not answer: {e}"))
    }
}

/// Runs a link until it is told to stop.
pub(crate) fn link_process(config: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let config: Config = serde_json::from_slice(&std::fs::read(config)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let link = Link::open_on(Port::everywhere(config.port)?, config.to, config.port)?;
        let control = TcpListener::bind(("0.0.0.0", config.control)).await?;
        let served = async {
            loop {
                match control.accept().await {
                    // One order at a time: the harness gives no more.
                    Ok((stream, _)) => drop(timeout(ORDER_LIMIT, obey(stream, &link)).await),
                    Err(_) => sleep(POLL).await,
                }
            }
        };
        tokio::select! {
            stopped = stop_requested(false) => stopped.map(drop)?,
            () = served => {}
        }
        link.shutdown().await;
        Ok(())
    })
}

/// One order, one answer.
async fn obey(mut stream: TcpStream, link: &Link) -> std::io::Result<()> {
    let (near, mut back) = stream.split();
    let mut line = String::new();
    BufReader::new(near.take(LINE)).read_line(&mut line).await?;
    let outcome = match serde_json::from_str::<Mode>(&line) {
        Ok(mode) => switched(link, mode).await.outcome,
        Err(e) => Outcome::Failed(format!("that is no order: {e}")),
    };
    let answer = serde_json::to_string(&outcome).map_err(std::io::Error::other)? + "\n";
    back.write_all(answer.as_bytes()).await?;
    back.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::link::Way;

    #[test]
    fn every_order_is_read_as_it_was_given() {
        let delay = Mode::Delay(Duration::from_millis(7));
        for mode in
            [Mode::Open, Mode::Refuse, delay, Mode::Blackhole(Way::Both), Mode::Blackhole(Way::ToNode)]
        {
            let line = serde_json::to_string(&mode).unwrap();
            assert_eq!(serde_json::from_str::<Mode>(&line).unwrap(), mode);
            assert!(!line.contains('\n') && (line.len() as u64) < LINE);
        }
        for garbage in ["", "{", "\"shut\"", "{\"blackhole\":7}"] {
            assert!(serde_json::from_str::<Mode>(garbage).is_err(), "{garbage}");
        }
    }

    #[test]
    fn a_follower_of_rows_calls_and_one_of_objects_is_called() {
        let east = |role| NodeId::new("east", role);
        let rows = Bridge::new("west", &east(Role::Feature), 5432).unwrap();
        assert_eq!((rows.near.as_str(), rows.far.to_string().as_str()), ("west", "east/feature"));
        let objects = Bridge::new("west", &east(Role::Object), 9000).unwrap();
        assert_eq!((objects.near.as_str(), objects.far.to_string().as_str()), ("east", "west/object"));
    }
}
