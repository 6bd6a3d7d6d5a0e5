//! The object node as a process of its own: how it ends, and what it still has afterwards. The process is this test
//! binary, started again as the ignored test below.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::change::State;
use super::{Keys, S3, ServerConfig, changelog, serve};
use crate::local::port::Port;
use crate::local::proc::{Exit, Proc, Spawn};
use crate::replica::ReplicaConfig;

const CONFIG: &str = "GAMEDAY_TEST_CONFIG";

pub(super) fn keys() -> Keys {
    Keys::new("gameday", "not-a-secret")
}

#[derive(Serialize, Deserialize)]
struct Told {
    port: u16,
    data: PathBuf,
    replica: Option<ReplicaConfig>,
}

#[test]
#[ignore = "the node of the tests below"]
fn a_node() {
    let Ok(told) = std::env::var(CONFIG) else { return };
    let Told { port, data, replica } = serde_json::from_str(&told).unwrap();
    let config = ServerConfig { port, data, keys: keys(), lifeline: true, replica };
    tokio::runtime::Runtime::new().unwrap().block_on(serve(config)).unwrap();
}

/// A node in a process of its own.
pub(super) fn spawn(config: &ServerConfig, dir: &Path) -> Proc {
    let args = ["--exact", "s3::process_tests::a_node", "--nocapture", "--ignored"];
    let ServerConfig { port, data, replica, .. } = config.clone();
    let run = format!("s3-process-{port}");
    let told = serde_json::to_string(&Told { port, data, replica }).unwrap();
    let spec = Spawn {
        program: std::env::current_exe().unwrap(),
        args: args.map(OsString::from).to_vec(),
        env: vec![(CONFIG.into(), told.into())],
        dir: None,
        run,
        log: dir.join("log"),
    };
    Proc::spawn(&spec).unwrap()
}

fn start(port: &Port, dir: &Path) -> Proc {
    let (port, data) = (port.addr().port(), dir.join("data"));
    spawn(&ServerConfig { port, data, keys: keys(), lifeline: true, replica: None }, dir)
}

async fn up(s3: &S3) {
    let began = Instant::now();
    while let Err(e) = s3.create_bucket().await {
        assert!(began.elapsed() < Duration::from_secs(10), "{e}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_node_stops_when_told_and_when_its_lifeline_ends() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::reserve().unwrap();
    let s3 = S3::new(&format!("http://{}", port.addr()), "drill", &keys()).unwrap();
    let limit = Duration::from_secs(5);
    let node = start(&port, dir.path());
    up(&s3).await;
    assert!(node.stop(limit).await.unwrap().as_str().contains("exit code 0"));
    let mut node = start(&port, dir.path());
    up(&s3).await;
    assert_eq!(node.exit(), None);
    node.cut_lifeline();
    assert_eq!(tokio::time::timeout(limit, node.wait_exit()).await.unwrap(), Exit::Code(0));
    assert!(s3.put("k", "x").await.unwrap_err().definite(), "the held port refuses");
}

/// Puts until the node is gone; every third object is removed again. What was acknowledged: the byte an object is
/// made of, none if it was removed.
async fn load(s3: &S3, user: usize) -> Vec<(String, Option<u8>)> {
    let mut acknowledged = Vec::new();
    for i in 0u32.. {
        let key = format!("k{user}/{i}");
        if s3.put(&key, vec![i as u8; 20_000]).await.is_err() {
            break;
        }
        acknowledged.push((key.clone(), Some(i as u8)));
        if i % 3 == 0 {
            match s3.delete(&key).await {
                Ok(()) => drop(acknowledged.splice(acknowledged.len() - 1.., [(key, None)])),
                // Nobody knows.
                Err(_) => return acknowledged[..acknowledged.len() - 1].to_vec(),
            }
        }
    }
    acknowledged
}

#[tokio::test]
async fn whatever_was_acknowledged_before_a_kill_is_there_and_in_the_log_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::reserve().unwrap();
    let s3 = S3::new(&format!("http://{}", port.addr()), "drill", &keys()).unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let node = start(&port, dir.path());
        up(&s3).await;
        let kill = async {
            tokio::time::sleep(Duration::from_millis(150 + 37 * round)).await;
            node.kill().await.unwrap()
        };
        let users = futures::future::join_all((0..4).map(|user| load(&s3, user + 4 * round as usize)));
        let (_, loaded) = tokio::join!(kill, users);
        acknowledged.extend(loaded.into_iter().flatten());
    }
    assert!(acknowledged.len() > 12);
    let log = changelog::read(&std::fs::read(dir.path().join("data/.changes/log")).unwrap()).unwrap();
    let node = start(&port, dir.path());
    up(&s3).await;
    for (key, byte) in acknowledged {
        let logged = log.changes.iter().rev().find(|(_, change)| change.name.key == key);
        let state = logged.expect("an acknowledged change is logged").1.version.state;
        let body = byte.map(|byte| vec![byte; 20_000]);
        assert_eq!(s3.get(&key).await.unwrap().map(|read| read.to_vec()), body, "{key}");
        match (state, body) {
            (State::Deleted, None) => {}
            (State::Object { size: 20_000, sha256 }, Some(body)) => {
                assert_eq!(sha256[..], Sha256::digest(body)[..], "{key}");
            }
            (state, _) => panic!("{key}: {state:?}"),
        }
    }
    assert_eq!(std::fs::read_dir(dir.path().join("data/.changes/staged")).unwrap().count(), 0);
    node.kill().await.unwrap();
}

#[tokio::test]
async fn a_paused_node_is_a_timeout_and_answers_once_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::reserve().unwrap();
    let s3 = S3::new(&format!("http://{}", port.addr()), "drill", &keys()).unwrap();
    let node = start(&port, dir.path());
    up(&s3).await;
    node.pause().await.unwrap();
    let error = s3.within(Duration::from_millis(100)).put("k", "x").await.unwrap_err();
    assert!(!error.definite(), "{error}");
    node.resume().await.unwrap();
    s3.put("k", "y").await.unwrap();
}
