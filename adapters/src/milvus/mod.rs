//! Milvus as a system under test: a client, what operators do to it, its objects, and how it is started.
//!
//! Milvus keeps segments and index files in an S3 store, metadata in etcd, and rows that are not yet flushed in a log
//! (`rocksmq`). It never checks an index file's content when it loads one, serves from memory what is rotten in the
//! store, and calls itself healthy long before it answers. So this module trusts digests of its own ([`Manifest`])
//! and answers to real searches, never `/healthz`.
//!
//! The protocol is that of `milvus-sdk-rust`, through its generated stubs: its client retries 75 times, sends
//! telemetry and connects eagerly, and a ledger needs one attempt and to know how far that attempt got.
//!
//! - `client` asks once and says whether a failed write could have happened; `system` is the door for the harness;
//! - `admin` asks the server who it is, and drops collections;
//! - `scan` looks at everything that a collection holds, for backups;
//! - `inventory` lists what it consists of beside rows;
//! - `follow` lets a collection follow another one;
//! - `operate` creates, flushes, loads and rebuilds; `objects` digests, damages and restores what lies in the store;
//! - `config` writes `milvus.yaml` and says how the server is started, in a container or not.

mod admin;
mod client;
mod config;
mod error;
mod follow;
mod inventory;
mod objects;
mod operate;
mod scan;
mod system;
mod together;

pub(crate) use client::{longs, pairs};
pub(crate) use error::check as answered;

pub use admin::{Unsupported, supported};
pub use client::{Client, Row};
pub use config::{Files, Knobs, Launch, Ports, Storage, etcd_yaml, glog_conf, launch, milvus_yaml};
pub use error::MilvusError;
pub use follow::{Follower, Progress};
pub use objects::{Audit, BINLOGS, Damage, Digest, Manifest, damage, index_objects, is_binlog};
pub use operate::{IndexKind, IndexState, LoadState, Segment};
pub use system::MilvusSystem;
