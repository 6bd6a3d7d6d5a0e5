//! A node as a process: killed, asked to leave, abandoned, stopped.
//!
//! The process is this test program itself, running [`a_node`] alone.

use std::collections::BTreeMap;

use super::*;
use crate::features::serve;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NODE: &str = "FEATURES_TEST_NODE";

/// Not a test by itself: the node of the others.
#[test]
fn a_node() {
    let Ok(json) = std::env::var(NODE) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(serve(serde_json::from_str(&json).unwrap())).unwrap();
    std::process::exit(0);
}

pub(super) struct Process(Child, pub(super) Client);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub(super) fn start(config: &Config) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "features::tests::process::a_node"])
            .env(NODE, serde_json::to_string(config).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child, Client::new(([127, 0, 0, 1], config.port).into(), LIMIT))
    }

    pub(super) async fn ready(self) -> Self {
        let deadline = Instant::now() + LIMIT;
        while self.1.ping().await.is_err() {
            assert!(Instant::now() < deadline, "the node does not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    async fn ended(&mut self) -> bool {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < deadline, "the node does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(super) fn somewhere(dir: &Path) -> Config {
    let port = crate::local::port::Port::for_good();
    Config { port, lifeline: true, ..Config::new(dir) }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_it_keeps_every_acknowledged_write() {
    let dir = tempfile::tempdir().unwrap();
    let config = somewhere(dir.path());
    let mut acknowledged = BTreeMap::new();
    for round in 1..=3_u64 {
        let node = Process::start(&config).ready().await;
        let writers: Vec<_> = (0..8_u64)
            .map(|writer| {
                let client = node.1.clone();
                tokio::spawn(async move {
                    let mut done = Vec::new();
                    for n in 0.. {
                        // Half of them overwrite what the rounds before wrote.
                        let key = writer * 100_000 + if n % 2 == 0 { n } else { round * 1_000 + n };
                        match client.apply(vec![row(key, round)]).await {
                            Ok(_) => done.push((key, round)),
                            Err(_) => return done,
                        }
                    }
                    done
                })
            })
            .collect();
        while node.1.status().await.unwrap().writes < 300 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        node.signal(Signal::KILL);
        for done in futures::future::try_join_all(writers).await.unwrap() {
            acknowledged.extend(done);
        }
        drop(node);
        let store = open(dir.path());
        for (key, ver) in &acknowledged {
            let stored = store.row(*key).unwrap().unwrap_or_else(|| panic!("{key} of round {ver} is lost"));
            assert!(
                stored.verifies() && stored.item.ver() >= *ver && stored.item == row(*key, stored.item.ver())
            );
        }
        // Each writer may have had one write in flight in each round whose answer nobody heard.
        assert!(store.status().unwrap().rows <= acknowledged.len() as u64 + round * 8);
        assert_eq!(store.missing().unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_leave_it_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let config = somewhere(dir.path());
    let mut node = Process::start(&config).ready().await;
    node.1.apply(vec![row(1, 1)]).await.unwrap();
    node.signal(Signal::TERM);
    assert!(node.ended().await);
    assert_eq!(contents(&open(dir.path())), [row(1, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_it_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Process::start(&somewhere(dir.path())).ready().await;
    drop(node.0.stdin.take());
    assert!(node.ended().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_it_is_silent_and_then_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&somewhere(dir.path())).ready().await;
    node.signal(Signal::STOP);
    // The signal is sent, not yet felt.
    let stat = format!("/proc/{}/stat", node.0.id());
    let deadline = Instant::now() + LIMIT;
    while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
        assert!(Instant::now() < deadline, "it never stops");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let error = node.1.within(Duration::from_millis(200)).apply(vec![row(1, 1)]).await.unwrap_err();
    assert!(!error.is_definite(), "{error}");
    node.signal(Signal::CONT);
    node.1.apply(vec![row(2, 1)]).await.unwrap();
    assert_eq!(node.1.row(2).await.unwrap().unwrap().item, row(2, 1));
}
