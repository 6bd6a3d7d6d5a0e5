//! How Milvus is set up and started: pure functions from what a region decided to files and a command line.
//!
//! Only what differs from Milvus's own defaults is written. Its components listen on every interface whatever `ip`
//! says; so does the proxy. Embedded etcd ignores `etcd.endpoints` for listening, hence its own file.

use std::path::{Path, PathBuf};

/// Ports on this host, all different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The first of twelve ports in a row: proxy (gRPC, REST), metrics and `/healthz`, then the inner ones.
    pub first: u16,
}

impl Ports {
    /// How many ports there are.
    pub const COUNT: u16 = 12;

    /// gRPC.
    pub fn proxy(self) -> u16 {
        self.first
    }

    /// `/healthz` and `/metrics`.
    pub fn metrics(self) -> u16 {
        self.nth(1)
    }

    fn nth(self, n: u16) -> u16 {
        self.first.saturating_add(n)
    }
}

/// The bucket, which exists already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Host of the S3 server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Bucket.
    pub bucket: String,
    /// What every key begins with, without a slash.
    pub root: String,
    /// The key pair.
    pub keys: crate::s3::Keys,
}

/// What sets the times that a drill measures; written to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knobs {
    /// `common.session.ttl`, seconds: for so long after a kill the dead server's place is kept. Milvus's own default
    /// is 30. The largest part of the time to recover.
    pub session_ttl: u32,
    /// `dataNode.segment.insertBufSize`, bytes: rows beyond this go to the object store.
    pub insert_buffer: u64,
    /// `dataNode.segment.syncPeriod`, seconds: rows older than this go to the object store.
    pub sync_period: u32,
}

impl Default for Knobs {
    fn default() -> Self {
        Self { session_ttl: 5, insert_buffer: 16 << 20, sync_period: 600 }
    }
}

impl Knobs {
    /// Names and values for the journal.
    pub fn facts(&self) -> Vec<(String, String)> {
        vec![
            ("common.session.ttl".into(), self.session_ttl.to_string()),
            ("dataNode.segment.insertBufSize".into(), self.insert_buffer.to_string()),
            ("dataNode.segment.syncPeriod".into(), self.sync_period.to_string()),
        ]
    }
}

/// Where its files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Folder of `milvus`, its libraries beside it.
    pub bin: PathBuf,
    /// Folder of the configuration.
    pub configs: PathBuf,
    /// Folder of etcd, the log and scratch space.
    pub data: PathBuf,
}

impl Files {
    /// Metadata.
    pub fn etcd(&self) -> PathBuf {
        self.data.join("etcd")
    }

    /// The write-ahead log. Milvus makes a second folder beside it, with `_meta_kv` appended.
    pub fn log(&self) -> PathBuf {
        self.data.join("rocksmq")
    }
}

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Program.
    pub program: PathBuf,
    /// Arguments.
    pub args: Vec<String>,
    /// Environment to add.
    pub env: Vec<(String, String)>,
}

/// How the server is started. It needs a `/run/milvus` that it can write to.
pub fn launch(files: &Files, ports: Ports) -> Launch {
    let env = [
        ("LD_LIBRARY_PATH", files.bin.display().to_string()),
        ("DEPLOY_MODE", "STANDALONE".into()),
        ("METRICS_PORT", ports.metrics().to_string()),
        ("MILVUSCONF", files.configs.display().to_string()),
    ];
    Launch {
        program: files.bin.join("milvus"),
        args: vec!["run".into(), "standalone".into()],
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

/// A YAML string: JSON's rules are a part of YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// `milvus.yaml`.
pub fn milvus_yaml(files: &Files, ports: Ports, storage: &Storage, knobs: &Knobs) -> String {
    let inner = ["rootCoord", "queryCoord", "queryNode", "indexCoord", "indexNode", "dataCoord", "dataNode"];
    let mut text = format!(
        "etcd:\n  endpoints: 127.0.0.1:{}\n  rootPath: by-dev\n  use:\n    embed: true\n  data:\n    dir: {}\n  \
         config:\n    path: {}\nmetastore:\n  type: etcd\nlocalStorage:\n  path: {}\n",
        ports.nth(10),
        path(&files.etcd()),
        path(&files.configs.join("etcd.yaml")),
        path(&files.data.join("local")),
    );
    text += &format!(
        "minio:\n  address: {}\n  port: {}\n  accessKeyID: {}\n  secretAccessKey: {}\n  useSSL: false\n  \
         bucketName: {}\n  rootPath: {}\n  useIAM: false\n  cloudProvider: aws\n  logLevel: fatal\n",
        quoted(&storage.host),
        storage.port,
        quoted(&storage.keys.access),
        quoted(&storage.keys.secret),
        quoted(&storage.bucket),
        quoted(&storage.root),
    );
    text += &format!("mq:\n  type: rocksmq\nrocksmq:\n  path: {}\n", path(&files.log()));
    let (proxy, internal) = (ports.proxy(), ports.nth(2));
    text += &format!("proxy:\n  ip: 127.0.0.1\n  port: {proxy}\n  internalPort: {internal}\n");
    for (name, n) in inner.into_iter().zip(3..) {
        text += &format!("{name}:\n  ip: 127.0.0.1\n  port: {}\n", ports.nth(n));
        if name == "dataNode" {
            let Knobs { insert_buffer, sync_period, .. } = knobs;
            text +=
                &format!("  segment:\n    insertBufSize: {insert_buffer}\n    syncPeriod: {sync_period}\n");
        }
    }
    text += "log:\n  level: warn\n  stdout: true\n";
    text += "common:\n  storageType: minio\n  gracefulStopTimeout: 10\n";
    text += &format!("  session:\n    ttl: {}\n", knobs.session_ttl);
    text
}

/// `etcd.yaml`, which is to lie beside `milvus.yaml`.
pub fn etcd_yaml(files: &Files, ports: Ports) -> String {
    let client = format!("http://127.0.0.1:{}", ports.nth(10));
    let peer = format!("http://127.0.0.1:{}", ports.nth(11));
    format!(
        "name: default\ndata-dir: {}\nlisten-client-urls: {client}\nadvertise-client-urls: {client}\n\
         listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\ninitial-cluster: default={peer}\n\
         log-outputs: [stderr]\n",
        path(&files.etcd()),
    )
}

/// `glog.conf`, which is to lie beside `milvus.yaml`: without it the server ends at once.
pub fn glog_conf() -> &'static str {
    "--logtostderr=true\n--minloglevel=1\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::Keys;

    fn files() -> Files {
        Files {
            bin: "/opt/milvus/bin".into(),
            configs: "/opt/milvus/configs".into(),
            data: "/var/lib/milvus".into(),
        }
    }

    #[test]
    fn configurations_are_as_they_were() {
        let storage = Storage {
            host: "east-object".into(),
            port: 9000,
            bucket: "milvus".into(),
            root: "files".into(),
            keys: Keys::new("access", "a \"secret\": #1"),
        };
        let ports = Ports { first: 19530 };
        let yaml = milvus_yaml(&files(), ports, &storage, &Knobs::default());
        assert_eq!(yaml, include_str!("golden/milvus.yaml"));
        assert_eq!(etcd_yaml(&files(), ports), include_str!("golden/etcd.yaml"));
    }

    #[test]
    fn the_launch_names_everything_by_its_place() {
        let launch = launch(&files(), Ports { first: 19530 });
        assert_eq!(launch.program, Path::new("/opt/milvus/bin/milvus"));
        assert_eq!(launch.args, ["run", "standalone"]);
        assert!(launch.env.contains(&("METRICS_PORT".into(), "19531".into())));
        assert!(launch.env.contains(&("MILVUSCONF".into(), "/opt/milvus/configs".into())));
    }
}
