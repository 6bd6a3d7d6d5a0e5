//! A Milvus as it was at one moment: metadata (etcd) and log (rocksmq) from its disk, and the objects that they name.
//!
//! The parts of the disk are copied while the server is frozen: no process of it runs, so its files are what they would be
//! after a crash at that moment, which etcd and rocksmq are made for. A second container that has the same disk copies
//! them. Objects are listed meanwhile, and copied afterwards: they never change, and are removed hours after the metadata
//! gave them up. The server may not be frozen for as long as its own sessions last: it would end when it goes on.
//!
//! ```text
//! vector-backups/{collection}/moments/{timestamp}/{part}      an archive of each part: its files, packed, and beside them
//!                                                             the segments that are named in them
//! ```
//!
//! A restore verifies everything before it overwrites anything, and refuses parts and objects that are not of the same
//! moment: a Milvus that is given older metadata starts, calls itself healthy, and has forgotten. Then it is killed, the
//! parts are laid beside its own, and its next start puts them in their place. What was written since comes from
//! incremental backups.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bollard::query_parameters::{DownloadFromContainerOptions, UploadToContainerOptions};
use bytes::Bytes;
use futures::StreamExt as _;
use harness::ports::Effect;
use tokio::time::timeout;

use super::container::Container;
use super::milvus::{COLLECTION, Milvus, ROOT};
use super::shell::Inside;
use super::vector::{LONG, failed, searchable};
use super::vector_backup::{Copies, answers, newest, skew, verified};
use super::vector_skew::{METADATA, PARTS, agree, named, tar};
use crate::backup::{Chain, read_chain};
use crate::milvus::{Client, Digest, Manifest, Row, Segment};
use crate::postgres::{Command, Shell as _};
use crate::s3::S3;

/// Where the server's own disk is.
const DISK: &str = "/var/lib/milvus";
/// A session of the server lasts 5 s: see the knob `common.session.ttl`.
const FROZEN_MAX: Duration = Duration::from_secs(3);
/// How often a moment is looked for in which the segments stay what they are.
const TRIES: usize = 5;
/// One command in a container.
const SHELL: Duration = Duration::from_secs(120);
/// Where the oldest metadata is packed.
const FIRST: &str = "/tmp/first";
/// Who copies.
const COPIER: &str = "copier";
/// While nothing changes.
const COPY: &str = "cd \"$0\" && rm -rf moment && mkdir moment && cp -a etcd rocksmq rocksmq_meta_kv moment";
/// Afterwards: packs what is in the folder `$0`, and writes down which segments it names.
const PACK: &str = r#"set -e; cd "$0"
    for part in etcd rocksmq rocksmq_meta_kv; do
        mv $part files; mkdir $part; mv files $part/$part
        find $part/$part -type f -exec cat {} + | tr -c '[:print:]' '\n' \
            | grep -oE 'datacoord-meta/s/[0-9]+/[0-9]+/[0-9]+' | sort -u >$part/segments || true
        tar -czf $part/files.tgz -C $part $part
        rm -rf $part/$part
    done"#;
/// What was seen of a server at one moment.
pub(super) struct Moment {
    pub(super) segments: Vec<Segment>,
    /// Keys of every object.
    pub(super) objects: Vec<String>,
    /// Archives, by the names of the parts.
    pub(super) parts: BTreeMap<String, Bytes>,
    /// For how long nobody was answered.
    pub(super) frozen: Duration,
}

/// Where a part of a backup is.
pub(super) fn object(timestamp: &str, part: &str) -> String {
    format!("vector-backups/{COLLECTION}/moments/{timestamp}/{part}")
}

/// A frozen container, that goes on whatever happens to who froze it.
struct Frozen<'a> {
    container: &'a Container,
    over: AtomicBool,
}

impl<'a> Frozen<'a> {
    async fn begin(container: &'a Container) -> Result<Self, String> {
        // From here on: whoever is given up while the order is under way may have frozen it.
        let frozen = Self { container, over: AtomicBool::new(false) };
        container.pause().await.map_err(|effect| effect.outcome.text().to_owned())?;
        Ok(frozen)
    }

    async fn end(self) -> Result<(), String> {
        let resumed = self.container.resume().await;
        self.over.store(resumed.is_ok(), Ordering::Release);
        resumed.map(drop).map_err(|effect| effect.outcome.text().to_owned())
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if self.over.load(Ordering::Acquire) {
            return;
        }
        let (engine, name) = (self.container.engine().clone(), self.container.name.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // One that is not frozen any more refuses, which is as well.
            runtime.spawn(async move { engine.docker().unpause_container(&name).await });
        }
    }
}

/// Freezes the server, copies, and lets it go on; again, if segments came or went around it.
pub(super) async fn take(node: &Milvus, container: &Container) -> Result<Moment, String> {
    let copier = container.second(COPIER).await?;
    let taken = taken(node, container, &copier).await;
    container.remove_second(COPIER).await?;
    taken
}

async fn taken(node: &Milvus, container: &Container, copier: &Inside) -> Result<Moment, String> {
    for _ in 0..TRIES {
        let before = flushed(node).await?;
        let frozen = Frozen::begin(container).await?;
        let began = Instant::now();
        let seen = timeout(FROZEN_MAX, look(node, copier)).await;
        frozen.end().await?;
        let frozen = began.elapsed();
        let objects = match seen {
            Ok(seen) => seen?,
            Err(_) => {
                return Err(format!(
                    "metadata and log could not be copied within {FROZEN_MAX:?}, and a server that is frozen for longer \
                     loses its sessions; try again when the machine is less busy"
                ));
            }
        };
        if flushed(node).await? == before {
            run(copier, PACK, &format!("{DISK}/moment")).await?;
            let mut parts = BTreeMap::new();
            for part in PARTS {
                parts.insert(part.to_owned(), archive(container, &format!("{DISK}/moment/{part}")).await?);
            }
            run(copier, "rm -rf \"$0\"", &format!("{DISK}/moment")).await?;
            return Ok(Moment { segments: before, objects, parts, frozen });
        }
    }
    Err(format!("segments came or went around each of {TRIES} moments; try again when compaction is over"))
}

async fn flushed(node: &Milvus) -> Result<Vec<Segment>, String> {
    let mut all = node.client.segments().await.map_err(|e| e.to_string())?;
    all.retain(|segment| segment.flushed);
    all.sort_by_key(|segment| segment.id);
    Ok(all)
}

/// Copies the parts, and lists the objects.
async fn look(node: &Milvus, copier: &Inside) -> Result<Vec<String>, String> {
    run(copier, COPY, DISK).await?;
    let listed = node.s3.list_all(ROOT, 1_000_000).await.map_err(|e| e.to_string())?;
    Ok(listed.into_iter().map(|object| object.key).collect())
}

/// A few words of a shell, to which the folder is `$0`.
async fn run(inside: &Inside, script: &str, folder: &str) -> Result<(), String> {
    let words = ["sh", "-c", script, folder].map(str::to_owned).to_vec();
    let command = Command { argv: words, ..Command::new("sh") };
    let output = inside.run(command.within(SHELL)).await.map_err(|e| e.to_string())?;
    match output.code {
        0 => Ok(()),
        code => Err(format!("exit code {code}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// A folder of a container, whether or not it runs.
async fn archive(container: &Container, path: &str) -> Result<Bytes, String> {
    let options = DownloadFromContainerOptions { path: path.to_owned() };
    let docker = container.engine().patient();
    let mut chunks = Box::pin(docker.download_from_container(&container.name, Some(options)));
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk.map_err(|e| format!("{path} of container {}: {e}", container.name))?);
    }
    Ok(bytes.into())
}

/// Unpacks an archive in a folder of a container, whether or not it runs.
async fn unpack(container: &Container, path: &str, archive: Bytes) -> Result<(), String> {
    let options = UploadToContainerOptions { path: path.to_owned(), ..Default::default() };
    let docker = container.engine().patient();
    let sent = docker.upload_to_container(&container.name, Some(options), bollard::body_full(archive)).await;
    sent.map_err(|e| format!("{path} of container {}: {e}", container.name))
}

/// Puts back metadata, log and objects of one moment, and on top what was written since.
pub(super) async fn restore(node: &Milvus, container: &Container, backups: &S3) -> Result<Effect, Effect> {
    let _turn = node.turn.lock().await;
    let began = Instant::now();
    // All of it is verified before any of it is used.
    let (timestamp, copies) = newest(backups).await.map_err(Effect::failed)?;
    let parts = fetched(backups, &timestamp, &copies).await.map_err(Effect::failed)?;
    agree(&copies, &parts)
        .map_err(|why| Effect::failed(format!("backup {timestamp}: {why}; nothing was overwritten")))?;
    let chain = read_chain(backups, COLLECTION).await.map_err(|e| Effect::failed(e.to_string()))?;
    let objects = verified(node, backups, &timestamp, &copies.manifest).await?;
    let put_back = objects.len();
    down(container).await?;
    for (key, bytes) in objects {
        copies.manifest.restore(&node.s3, &key, bytes).await.map_err(failed)?;
    }
    lay(container, &timestamp, parts).await.map_err(Effect::failed)?;
    // Somebody may have started it meanwhile: it has to start once more, now that the parts are there.
    down(container).await?;
    container.start().await.map_err(Effect::failed)?;
    answers(node).await?;
    if let Some(why) = skew(node, &copies).await? {
        return Err(Effect::not_observed(format!("backup {timestamp} was put back, and {why}")));
    }
    let wrong = copies.manifest.audit(&node.s3, ROOT).await.map_err(failed)?;
    if let Some(key) = wrong.wrong().next() {
        return Err(Effect::not_observed(format!("backup {timestamp} was put back, and {key} is wrong")));
    }
    // Out of users' sight: nothing of theirs is overwritten, and they see no part of it.
    let hidden = node.client.of(&format!("{COLLECTION}_restored"));
    node.client.rename(&format!("{COLLECTION}_restored")).await.map_err(failed)?;
    let newer = catch_up(&hidden, &chain).await?;
    hidden.rename(COLLECTION).await.map_err(failed)?;
    let rows = searchable(node).await?;
    *node.known.lock().await = Manifest::take(&node.s3, ROOT).await.map_err(failed)?;
    let took = began.elapsed().as_secs_f64();
    let text = format!(
        "metadata, log and {} objects of backup {timestamp}, all of one moment, verified; {put_back} objects put back, \
         collection {} with {} segments known again; {newer} newer rows of {} incrementals; {rows} rows searchable \
         after {took:.2} s",
        copies.manifest.objects.len(),
        copies.collection,
        copies.segments.len(),
        chain.incrementals,
    );
    Ok(Effect::observed(text)
        .with("path", "moment")
        .with("backup", timestamp)
        .with("objects_put_back", put_back)
        .with("segments", copies.segments.len())
        .with("newer_rows", newer)
        .with("act_seconds", format!("{took:.3}")))
}

/// Ends the server, if it runs.
async fn down(container: &Container) -> Result<(), Effect> {
    let runs = async || {
        let life = container.life().await.map_err(Effect::failed)?;
        Ok::<_, Effect>(life.is_some_and(|life| life.running))
    };
    if runs().await? {
        let killed = container.kill().await;
        if runs().await? {
            return Err(killed);
        }
    }
    Ok(())
}

async fn fetched(backups: &S3, timestamp: &str, copies: &Copies) -> Result<BTreeMap<String, Bytes>, String> {
    let mut parts = BTreeMap::new();
    for part in copies.parts.keys() {
        let name = object(timestamp, part);
        let body = backups.get(&name).await.map_err(|e| e.to_string())?;
        let body = body.ok_or_else(|| format!("backup object {name} is missing; nothing was overwritten"))?;
        parts.insert(part.clone(), body);
    }
    Ok(parts)
}

/// Lays the parts beside the server's own; the last word makes its next start use them.
async fn lay(container: &Container, timestamp: &str, parts: BTreeMap<String, Bytes>) -> Result<(), String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let folder = format!("put-back-{timestamp}-{}", now.as_micros());
    unpack(container, DISK, tar(&format!("{folder}/"), b"")).await?;
    for (_, bytes) in parts {
        unpack(container, &format!("{DISK}/{folder}"), bytes).await?;
    }
    unpack(container, DISK, tar("put-back.ready", folder.as_bytes())).await
}

/// Rows that the chain of backups has and the moment had not, and keys that were removed since.
async fn catch_up(client: &Client, chain: &Chain) -> Result<usize, Effect> {
    client.loaded(LONG).await.map_err(failed)?;
    if chain.incrementals == 0 {
        return Ok(0);
    }
    let is = client.versions().await.map_err(failed)?;
    // The log of the moment may know a write that the rows of the same backup were read too early for.
    let newer = chain.records.values().filter(|r| is.get(&r.key).is_none_or(|ver| *ver < r.ver));
    let newer: Vec<Row> = newer.map(|r| Row { key: r.key, ver: r.ver, vector: r.vector.clone() }).collect();
    let gone: Vec<u64> = is.into_keys().filter(|key| !chain.records.contains_key(key)).collect();
    client.upsert_all(&newer).await.map_err(failed)?;
    client.delete_all(&gone).await.map_err(failed)?;
    let after = client.versions().await.map_err(failed)?;
    let lacks = chain.records.values().filter(|r| after.get(&r.key).is_none_or(|ver| *ver < r.ver)).count();
    if lacks > 0 {
        return Err(Effect::not_observed(format!("{lacks} rows of the backups are not there afterwards")));
    }
    Ok(newer.len() + gone.len())
}

/// Puts the metadata of the first start in the place of that of the newest backup, as somebody does who backs up etcd and
/// objects by two jobs, one of which has stopped.
pub(super) async fn mix(node: &Milvus, container: &Container, backups: &S3) -> Result<Effect, Effect> {
    let (timestamp, copies) = newest(backups).await.map_err(Effect::failed)?;
    let inside = node.inside().map_err(Effect::failed)?;
    // Packed as a backup is, beside two parts that nobody will look at.
    let first = format!(
        "rm -rf \"$0\" && mkdir \"$0\" && cd \"$0\" && mkdir rocksmq rocksmq_meta_kv \
         && cp -a {DISK}/etcd.first {METADATA}"
    );
    run(inside, &first, FIRST).await.map_err(Effect::failed)?;
    run(inside, PACK, FIRST).await.map_err(Effect::failed)?;
    let old = archive(container, &format!("{FIRST}/{METADATA}")).await.map_err(Effect::failed)?;
    let name = object(&timestamp, METADATA);
    backups.put(&name, old.clone()).await.map_err(|e| Effect::failed(e.to_string()))?;
    let after = backups.get(&name).await.map_err(|e| Effect::failed(e.to_string()))?;
    if after.as_ref() != Some(&old) || copies.parts.get(METADATA) == Some(&Digest::of(&old)) {
        return Err(Effect::not_observed(format!("{name} is served as if nothing had been done")));
    }
    let segments = named(&old, copies.collection).len();
    let text = format!(
        "the metadata in backup {timestamp} is that of the first start: it knows {segments} segments, the objects \
         belong to {}",
        copies.segments.len()
    );
    Ok(Effect::observed(text).with("backup", timestamp))
}
