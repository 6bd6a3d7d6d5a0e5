//! A node as a process: killed, asked to leave, abandoned, stopped.
//!
//! The process is this test program itself, running [`a_node`] alone.

use super::*;
use crate::vectordb::{Client, Flaw, State, serve};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NODE: &str = "VECTORDB_TEST_NODE";
const LIMIT: Duration = Duration::from_secs(20);

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
            .args(["--exact", "vectordb::tests::process::a_node"])
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

    async fn freeze(&self) {
        self.signal(Signal::STOP);
        // The signal is sent, not yet felt.
        let stat = format!("/proc/{}/stat", self.0.id());
        let deadline = Instant::now() + LIMIT;
        while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
            assert!(Instant::now() < deadline, "it never stops");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
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
    Config { port, lifeline: true, ..config(dir) }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_it_keeps_every_acknowledged_write() {
    let dir = tempfile::tempdir().unwrap();
    let config = somewhere(dir.path());
    let mut acknowledged = Model::new();
    for round in 0..3_u64 {
        let node = Process::start(&config).ready().await;
        let writers: Vec<_> = (0..8_u64)
            .map(|writer| {
                let client = node.1.clone();
                tokio::spawn(async move {
                    let mut done = Vec::new();
                    for key in (round * 8 + writer) * 100_000.. {
                        match client.put(record(key, round)).await {
                            Ok(_) => done.push(record(key, round)),
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
        node.1.flush().await.unwrap();
        node.signal(Signal::KILL);
        for done in futures::future::try_join_all(writers).await.unwrap() {
            acknowledged.extend(done.into_iter().map(|record| (record.key, record)));
        }
        drop(node);
        let engine = open(dir.path());
        assert_eq!(engine.status().state, State::Healthy);
        let stored = contents(&engine).unwrap();
        let lost: Vec<_> =
            acknowledged.iter().filter(|(key, record)| stored.get(key) != Some(record)).collect();
        assert!(lost.is_empty(), "{} of {} lost", lost.len(), acknowledged.len());
        // Each writer may have had one write in flight whose answer nobody heard.
        assert!(stored.len() as u64 <= acknowledged.len() as u64 + (round + 1) * 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_leave_it_seals_and_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let config = somewhere(dir.path());
    let mut node = Process::start(&config).ready().await;
    node.1.put(record(1, 1)).await.unwrap();
    node.signal(Signal::TERM);
    assert!(node.ended().await);
    assert_eq!(open(dir.path()).status().flushed_lsn, 1);
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
    node.freeze().await;
    let error = node.1.within(Duration::from_millis(200)).put(record(1, 1)).await.unwrap_err();
    assert!(!error.is_definite(), "{error}");
    node.signal(Signal::CONT);
    node.1.put(record(2, 1)).await.unwrap();
    assert_eq!(node.1.get(2).await.unwrap(), Some(record(2, 1)));
}

/// A probe every few milliseconds, each with a deadline, while the node is frozen: nobody waits for most of them.
async fn thawed_after_a_thousand_abandoned_calls(node: &Process, client: &Client) {
    client.ping().await.unwrap();
    let before = client.status().await.unwrap().requests;
    node.freeze().await;
    let patient = tokio::spawn({
        let client = client.clone();
        async move { client.put(record(1, 1)).await }
    });
    for key in 0..100_u64 {
        let calls = (0..10).map(|n| client.put(record(1000 + key * 10 + n, 1)));
        let all = futures::future::join_all(calls);
        assert!(tokio::time::timeout(Duration::from_millis(5), all).await.is_err());
    }
    node.signal(Signal::CONT);
    client.get(1).await.unwrap();
    patient.await.unwrap().unwrap();
    // What was abandoned on the connections of the last few calls is all that it may have begun.
    let status = client.status().await.unwrap();
    let begun = status.requests - before;
    assert!(begun < 100, "it began {begun} requests");
    assert!(status.writes < 100, "it stored {}", status.writes);
}

#[tokio::test(flavor = "multi_thread")]
async fn thawed_it_serves_no_backlog() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&somewhere(dir.path())).ready().await;
    thawed_after_a_thousand_abandoned_calls(&node, &node.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thawed_it_serves_no_backlog_behind_a_link_either() {
    let dir = tempfile::tempdir().unwrap();
    let config = somewhere(dir.path());
    let node = Process::start(&config).ready().await;
    let link = crate::local::link::Link::open(([127, 0, 0, 1], config.port).into()).unwrap();
    thawed_after_a_thousand_abandoned_calls(&node, &Client::new(link.addr(), LIMIT)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_never_wakes_but_still_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { flaws: vec![Flaw::NeverWake], ..somewhere(dir.path()) };
    let node = Process::start(&config).ready().await;
    drop(node);
    let mut node = Process::start(&config);
    let deadline = Instant::now() + Duration::from_millis(500);
    while Instant::now() < deadline {
        assert!(node.1.ping().await.is_err());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(node.0.stdin.take());
    assert!(node.ended().await);
}
