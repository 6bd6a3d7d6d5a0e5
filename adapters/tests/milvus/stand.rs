//! A Milvus and a MinIO of the test's own, ended with it.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use adapters::milvus::{Client, Files, Knobs, Ports, Storage, etcd_yaml, glog_conf, launch, milvus_yaml};
use adapters::s3::{Keys, S3};
use tokio::process::{Child, Command};

pub(crate) const LONG: Duration = Duration::from_secs(90);
pub(crate) const ROOT: &str = "files";

/// A line on the terminal, whatever the test runner hides.
pub(crate) fn say(line: &str) {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "milvus: {line}").unwrap();
}

pub(crate) struct Stand {
    pub(crate) client: Client,
    pub(crate) s3: S3,
    files: Files,
    ports: Ports,
    milvus: Child,
    minio: Child,
    _folder: tempfile::TempDir,
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os(name).map(PathBuf::from).filter(|path| path.exists());
    if path.is_none() {
        say(&format!("skipped: {name} names nothing that exists"));
    }
    path
}

/// The first of `count` ports in a row that nobody listens on.
fn free(mut from: u16, count: u16) -> u16 {
    let taken = |first: u16| (first..first + count).any(|p| TcpListener::bind(("127.0.0.1", p)).is_err());
    while taken(from) {
        from += count;
    }
    from
}

async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !ask().await {
        assert!(begun.elapsed() < LONG, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

impl Stand {
    pub(crate) async fn launch() -> Option<Self> {
        let (bin, minio) = (program("GAMEDAY_MILVUS_BIN")?, program("GAMEDAY_MINIO")?);
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let keys = Keys::new("gameday", "gameday-secret");
        let (port, console) = (free(27000, 1), free(27100, 1));
        let minio = Command::new(minio)
            .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}")])
            .args(["--console-address", &format!("127.0.0.1:{console}")])
            .arg(at("minio"))
            .env("MINIO_ROOT_USER", &keys.access)
            .env("MINIO_ROOT_PASSWORD", &keys.secret)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let s3 = S3::new(&format!("http://127.0.0.1:{port}"), "milvus", &keys).unwrap();
        until("a bucket", async || s3.create_bucket().await.is_ok()).await;

        let ports = Ports { first: free(27200, Ports::COUNT) };
        let files = Files { bin, configs: at("configs"), data: at("data") };
        let (host, bucket, root) = ("127.0.0.1".into(), "milvus".into(), ROOT.into());
        let storage = Storage { host, port, bucket, root, keys };
        std::fs::create_dir_all(&files.configs).unwrap();
        std::fs::create_dir_all(&files.data).unwrap();
        std::fs::create_dir_all("/run/milvus").unwrap();
        let yaml = milvus_yaml(&files, ports, &storage, &Knobs::default());
        std::fs::write(files.configs.join("milvus.yaml"), yaml).unwrap();
        std::fs::write(files.configs.join("etcd.yaml"), etcd_yaml(&files, ports)).unwrap();
        std::fs::write(files.configs.join("glog.conf"), glog_conf()).unwrap();
        let client = Client::new(&format!("http://127.0.0.1:{}", ports.proxy()), "vectors").unwrap();
        let milvus = start(&files, ports);
        let stand = Stand { client, s3, files, ports, milvus, minio, _folder: folder };
        let took = until("health", async || stand.healthy().await).await;
        say(&format!("fresh: /healthz {took:?}"));
        Some(stand)
    }

    async fn healthy(&self) -> bool {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let asked = async {
            let mut link = tokio::net::TcpStream::connect(("127.0.0.1", self.ports.metrics())).await?;
            link.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
            let mut answer = Vec::new();
            link.read_to_end(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        match tokio::time::timeout(Duration::from_secs(1), asked).await {
            Ok(Ok(answer)) => answer.starts_with(b"HTTP/1.0 200"),
            _ => false,
        }
    }

    pub(crate) async fn kill(&mut self) {
        self.milvus.kill().await.unwrap();
    }

    pub(crate) fn lose_log(&self) {
        std::fs::remove_dir_all(self.files.log()).unwrap();
        let meta = self.files.data.join("rocksmq_meta_kv");
        std::fs::remove_dir_all(meta).unwrap();
    }

    /// Starts it again; how long until `/healthz` is fine, and until a search is answered.
    pub(crate) async fn start_and_time(&mut self, query: &[f32]) -> (Duration, Duration) {
        self.milvus = start(&self.files, self.ports);
        let health = until("health", async || self.healthy().await);
        let search = until("a search", async || {
            let asked = tokio::time::timeout(Duration::from_secs(2), self.client.search(query, 10)).await;
            matches!(asked, Ok(Ok(keys)) if keys.len() == 10)
        });
        tokio::join!(health, search)
    }

    pub(crate) async fn end(mut self) {
        self.milvus.kill().await.unwrap();
        self.minio.kill().await.unwrap();
    }
}

fn start(files: &Files, ports: Ports) -> Child {
    let recipe = launch(files, ports);
    Command::new(recipe.program)
        .args(recipe.args)
        .envs(recipe.env)
        .current_dir(&files.data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
