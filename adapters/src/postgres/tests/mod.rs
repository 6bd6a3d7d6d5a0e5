//! Real servers of this machine, in folders and on ports of their own. Where PostgreSQL is not installed the tests say
//! so and are skipped.

mod operations;
mod outcome;
mod pages;
mod recovery;
mod replication;
mod system;

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use harness::corpus::Corpus;
use harness::ports::{Reading, System, Write};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};
use tokio::io::AsyncWriteExt as _;

use super::settings::Layout;
use super::*;
use crate::s3::{Keys, S3, Server as ObjectServer, ServerConfig};
use crate::trials::{corpus, put, seed, survivors};

const LIMIT: Duration = Duration::from_secs(20);

/// Runs commands as child processes; as the user `postgres` where the tests are run by root.
#[derive(Debug)]
struct Here {
    by: Option<u32>,
}

#[async_trait]
impl Shell for Here {
    async fn run(&self, command: Command) -> Result<Output, ShellError> {
        let not_run = |why: String| ShellError::NotRun { program: command.argv[0].clone(), why };
        let mut argv = command.argv.clone();
        if self.by.is_some() {
            let become_them = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"];
            argv.splice(0..0, become_them.map(str::to_owned));
        }
        let mut child = tokio::process::Command::new(&argv[0])
            .args(&argv[1..])
            .current_dir("/")
            .env("PGTZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| not_run(e.to_string()))?;
        let mut stdin = child.stdin.take().unwrap();
        // One that reads nothing closes the pipe.
        let _ = stdin.write_all(&command.stdin).await;
        drop(stdin);
        let ended = tokio::time::timeout(command.limit, child.wait_with_output()).await;
        let output =
            ended.map_err(|_| not_run("it did not end".into()))?.map_err(|e| not_run(e.to_string()))?;
        let code = output.status.code().ok_or_else(|| not_run(output.status.to_string()))?;
        Ok(Output { code, stdout: output.stdout, stderr: output.stderr })
    }
}

/// The newest PostgreSQL of this machine.
fn programs() -> Option<String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let bins = versions.map(|version| version.path().join("bin"));
    let newest = bins.filter(|bin| bin.join("initdb").exists()).max();
    if newest.is_none() {
        println!("skipped: no PostgreSQL in /usr/lib/postgresql; apt-get install postgresql");
    }
    Some(newest?.to_str()?.to_owned())
}

/// Servers that end with it.
struct Stand {
    dir: tempfile::TempDir,
    bin: String,
    by: Option<u32>,
    credentials: Credentials,
    roots: Vec<PathBuf>,
}

impl Stand {
    fn new() -> Option<Self> {
        let bin = programs()?;
        let root = rustix::process::getuid().is_root();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        let uid =
            passwd.lines().find_map(|line| line.strip_prefix("postgres:x:")?.split(':').next()?.parse().ok());
        if root && uid.is_none() {
            println!("skipped: root runs no PostgreSQL, and there is no user postgres");
            return None;
        }
        // Servers outlive the command that starts them, and not every machine's first process buries its orphans.
        set_child_subreaper(Some(getpid())).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let credentials = Credentials {
            operator: Secret::new("op'erator:1"),
            user: Secret::new("user"),
            replicator: Secret::new("repli\\cator"),
        };
        Some(Self { dir, bin, by: uid.filter(|_| root), credentials, roots: Vec::new() })
    }

    /// A server that does not run yet.
    fn node(&mut self, name: &str) -> Node {
        let root = self.dir.path().join(name);
        std::fs::create_dir(&root).unwrap();
        if self.by.is_some() {
            chown(&root, self.by, None).unwrap();
        }
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let layout = Layout {
            root: root.to_str().unwrap().into(),
            bin: self.bin.clone(),
            listen: "127.0.0.1".into(),
            port: addr.port(),
            clients: "127.0.0.1/32".into(),
            archive: true,
        };
        self.roots.push(root);
        let shell = Arc::new(Here { by: self.by });
        let peer = Peer { host: "127.0.0.1".into(), port: addr.port() };
        Node::new(name, layout, shell, (addr, peer), self.credentials.clone(), LIMIT).unwrap()
    }

    async fn single(&mut self) -> Node {
        let node = self.node("east");
        node.create().await.unwrap();
        node
    }

    async fn pair(&mut self) -> (Node, Node) {
        let east = self.single().await;
        let west = self.node("west");
        west.clone_from(&east).await.unwrap();
        (east, west)
    }

    /// A bucket of an object store of its own.
    async fn object_store(&self, bucket: &str) -> S3 {
        let keys = Keys::new("gameday", "not-a-secret");
        let data = self.dir.path().join(format!("objects-{bucket}"));
        let config = ServerConfig { port: 0, data, keys: keys.clone(), lifeline: false, replica: None };
        let objects = ObjectServer::bind(config).await.unwrap();
        let s3 = S3::new(&format!("http://{}", objects.addr()), bucket, &keys).unwrap();
        tokio::spawn(objects.run(std::future::pending()));
        s3.create_bucket().await.unwrap();
        s3
    }

    /// Kills a server and every process of it, all at once.
    fn kill(&self, node: &Node) {
        kill_hard(Path::new(&node.layout.root));
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for root in &self.roots {
                let log = std::fs::read_to_string(root.join("postgres.log")).unwrap_or_default();
                let end: Vec<&str> = log.lines().rev().take(15).collect();
                println!("{}:", root.display());
                end.iter().rev().for_each(|line| println!("    {line}"));
            }
        }
        for root in &self.roots {
            kill_hard(root);
            let lock = std::fs::read_to_string(root.join("data/postmaster.pid")).unwrap_or_default();
            if let Some(segment) = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
                let _ = std::process::Command::new("ipcrm").args(["-m", segment]).output();
            }
            // Those that were stopped in an orderly way are to be buried, too.
            let log = std::fs::read_to_string(root.join("postgres.log")).unwrap_or_default();
            for line in log.lines().filter(|line| line.contains("LOG:  starting PostgreSQL")) {
                let pid = line.split(['[', ']']).nth(1).and_then(|pid| Pid::from_raw(pid.parse().ok()?));
                let _ = pid.map(|pid| waitpid(Some(pid), WaitOptions::NOHANG));
            }
        }
    }
}

/// The processes of a server, its first one first.
fn processes(root: &Path) -> Vec<Pid> {
    let lock = std::fs::read_to_string(root.join("data/postmaster.pid")).unwrap_or_default();
    let Some(first) = lock.lines().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw) else {
        return Vec::new();
    };
    let cwd = std::fs::read_link(format!("/proc/{first}/cwd")).unwrap_or_default();
    if cwd != root.join("data") {
        return Vec::new();
    }
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    let children =
        pids.filter(|pid| stat(*pid).is_some_and(|(_, parent)| parent == first.as_raw_nonzero().get()));
    std::iter::once(first).chain(children).collect()
}

/// Its state and its parent.
fn stat(pid: Pid) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    Some((rest.next()?.chars().next()?, rest.next()?.parse().ok()?))
}

fn signal_all(root: &Path, signal: Signal) -> Vec<Pid> {
    if let Some(first) = processes(root).first() {
        // It would start new ones in the place of those that die.
        let _ = kill_process(*first, Signal::STOP);
    }
    let all = processes(root);
    for pid in all.iter().rev() {
        let _ = kill_process(*pid, signal);
    }
    all
}

fn kill_hard(root: &Path) {
    let all = signal_all(root, Signal::KILL);
    let began = Instant::now();
    // Orphans are this process's children: see `Stand::new`. One that is not reaped still has its number.
    while all.iter().any(|pid| {
        let _ = waitpid(Some(*pid), WaitOptions::NOHANG);
        stat(*pid).is_some()
    }) {
        assert!(began.elapsed() < LIMIT, "a killed server does not die");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn system(node: &Node, corpus: &Arc<Corpus>) -> PostgresSystem {
    PostgresSystem::new(node.users().clone(), corpus.clone())
}
