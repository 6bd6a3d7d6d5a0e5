//! Damage to what a Milvus stores. Index and segment files are hit through the door of its object store, which serves
//! the bad bytes as good; log and metadata on its own disk, while it runs. What is in memory goes on serving: only a
//! reload or a restart shows it.
//!
//! Undone by throwing the stack away: nothing is kept of what was there before.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use harness::act::{Artifact, Damage};
use harness::corpus::Corpus;
use harness::ports::Effect;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::milvus::{Milvus, ROOT};
use super::vector::{LONG, failed};
use crate::milvus::{Client, IndexKind, Manifest, Row, index_objects, is_binlog};
use crate::postgres::{Command, Shell as _};

/// Index files as they would be of other data, by their names, for each segment in order.
pub(super) type Decoys = Vec<BTreeMap<String, Bytes>>;

/// Other data is that of keys that no drill uses.
const OTHERS: u64 = 1 << 50;
/// At least so many bits are flipped of a file: a single one is often absorbed by the format.
const FLIPS: usize = 64;
/// One command in the container.
const SHELL: Duration = Duration::from_secs(30);

/// Does it and says what was seen.
pub(super) async fn damage(
    node: &Milvus,
    what: Artifact,
    how: Damage,
    fraction: f64,
    seed: u64,
) -> Result<Effect, Effect> {
    match (what, how) {
        (Artifact::Index | Artifact::Segment, how) => objects(node, what, how, fraction, seed).await,
        (Artifact::Log, Damage::Delete) => {
            let script = "cd /var/lib/milvus && ls rocksmq >&2 && rm -rf rocksmq rocksmq_meta_kv && ls";
            disk(node, script, "the write-ahead log (rocksmq) is gone", |left| !left.contains("rocksmq"))
                .await
        }
        (Artifact::Manifest, Damage::Delete) => {
            let script = "cd /var/lib/milvus && ls etcd >&2 && rm -rf etcd && ls";
            disk(node, script, "the metadata (etcd) is gone", |left| !left.lines().any(|l| l == "etcd")).await
        }
        (Artifact::Manifest, Damage::Swap) => {
            let script =
                "cd /var/lib/milvus && ls etcd.first >&2 && rm -rf etcd && cp -a etcd.first etcd && ls";
            disk(node, script, "the metadata (etcd) is that of the first start", |left| {
                left.lines().any(|l| l == "etcd")
            })
            .await
        }
        (what, how) => {
            Err(Effect::failed(format!("the {what} of a Milvus is not damaged by `{how}`: use `delete`")))
        }
    }
}

/// Runs a few words in the container that say on their output what is left.
async fn disk(
    node: &Milvus,
    script: &str,
    done: &str,
    seen: impl Fn(&str) -> bool,
) -> Result<Effect, Effect> {
    let inside = node.inside().map_err(Effect::failed)?;
    let output = inside.run(Command::script(script, []).within(SHELL)).await;
    let output = output.map_err(|e| Effect::failed(e.to_string()))?;
    let left = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.code != 0 {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Effect::failed(format!("{done}? no: exit code {}, {why}", output.code)));
    }
    let left = left.trim();
    if !seen(left) {
        return Err(Effect::not_observed(format!("still on its disk: {left}")));
    }
    Ok(Effect::observed(format!("{done}; left on its disk: {}", left.replace('\n', " "))))
}

async fn objects(
    node: &Milvus,
    what: Artifact,
    how: Damage,
    fraction: f64,
    seed: u64,
) -> Result<Effect, Effect> {
    let mut hit = Vec::new();
    for (segment, keys) in files(node, what).await?.into_iter().enumerate() {
        for key in keys {
            let bad = match how {
                Damage::Swap | Damage::OtherKind if what == Artifact::Index => {
                    Some(node.decoy(segment, &key, how).map_err(Effect::failed)?)
                }
                Damage::Swap | Damage::OtherKind => {
                    return Err(Effect::failed(format!("the {what} of a Milvus is not damaged by `{how}`")));
                }
                _ => None,
            };
            hit.push((key, bad));
        }
    }
    let (mut changed, mut first) = (0, None);
    for (n, (key, bad)) in hit.iter().enumerate() {
        let before = get(node, key).await?.ok_or_else(|| Effect::failed(format!("object {key} is gone")))?;
        let bad = match (bad, how) {
            (Some(bad), _) => Some(bad.clone()),
            (None, Damage::Delete) => None,
            (None, how) => Some(bent(&before, how, fraction, seed.wrapping_add(n as u64))?),
        };
        let done = match &bad {
            Some(bad) => node.s3.put(key, bad.clone()).await.map(drop),
            None => node.s3.delete(key).await,
        };
        done.map_err(|e| Effect::failed(e.to_string()))?;
        let after = get(node, key).await?;
        if after != bad || after.as_ref() == Some(&before) {
            return Err(Effect::not_observed(format!("object {key} is served as if nothing had been done")));
        }
        changed += before.iter().zip(after.iter().flatten()).filter(|(a, b)| a != b).count();
        changed += before.len().abs_diff(after.as_ref().map_or(0, Bytes::len));
        first.get_or_insert_with(|| key.clone());
    }
    let first =
        first.ok_or_else(|| Effect::failed(format!("no {what} is stored: are there enough rows?")))?;
    let text = format!("{} objects through S3, {changed} bytes changed; first {first}", hit.len());
    Ok(Effect::observed(text).with("objects_changed", hit.len()).with("bytes_changed", changed))
}

async fn get(node: &Milvus, key: &str) -> Result<Option<Bytes>, Effect> {
    node.s3.get(key).await.map_err(|e| Effect::failed(e.to_string()))
}

/// What is hit of each flushed segment: its newest index files, or its largest file.
async fn files(node: &Milvus, what: Artifact) -> Result<Vec<Vec<String>>, Effect> {
    let listed = node.s3.list_all(ROOT, 1_000_000).await.map_err(|e| Effect::failed(e.to_string()))?;
    let mut segments = node.client.segments().await.map_err(failed)?;
    segments.retain(|segment| segment.flushed);
    segments.sort_by_key(|segment| segment.id);
    let mut all = Vec::new();
    for segment in segments {
        let id = segment.id.to_string();
        let of_it = listed.iter().filter(|object| object.key.split('/').any(|part| part == id));
        if what == Artifact::Segment {
            let largest = of_it.filter(|o| o.key.contains("insert_log")).max_by_key(|object| object.size);
            all.push(largest.map(|object| object.key.clone()).into_iter().collect());
            continue;
        }
        let index: Vec<&str> = of_it.map(|o| o.key.as_str()).filter(|key| !is_binlog(key)).collect();
        // index_files/{build}/{version}/...: builds are numbered upwards, and older ones are left to be collected.
        let newest = index.iter().filter_map(|key| build(key)).max();
        let newest = index.into_iter().filter(|key| build(key) == newest).map(str::to_owned);
        all.push(newest.collect());
    }
    all.retain(|keys: &Vec<String>| !keys.is_empty());
    Ok(all)
}

/// The number of the build that made an index file.
fn build(key: &str) -> Option<u64> {
    key.split('/').skip_while(|part| *part != "index_files").nth(1)?.parse().ok()
}

/// Bytes that differ from those before.
fn bent(before: &[u8], how: Damage, fraction: f64, seed: u64) -> Result<Bytes, Effect> {
    if before.is_empty() {
        return Err(Effect::failed("an empty object has nothing to damage"));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pick = |below: usize| (rng.next_u64() % below.max(1) as u64) as usize;
    let share = ((before.len() as f64 * fraction).ceil() as usize).clamp(1, before.len());
    let mut bytes = before.to_vec();
    match how {
        Damage::Flip => {
            // Another bit for each, so that none is flipped back.
            for _ in 0..share.max(FLIPS).min(before.len()) {
                let at = pick(bytes.len());
                bytes[at] = before[at] ^ (1 << pick(8));
            }
        }
        Damage::Truncate => bytes.truncate(before.len() - share),
        Damage::Zero => {
            let at = pick(before.len() - share + 1);
            bytes[at..at + share].fill(0);
        }
        how => return Err(Effect::failed(format!("files are not damaged by `{how}`"))),
    }
    Ok(bytes.into())
}

/// Makes index files of other data, of the same shape and kind or of another kind: for each flushed segment of the
/// drill's collection those of as many rows, built by the server itself in a collection that is dropped afterwards.
pub(super) async fn decoys(node: &Milvus, corpus: &Corpus, kind: IndexKind) -> Result<Decoys, Effect> {
    let mut segments = node.client.segments().await.map_err(failed)?;
    segments.retain(|segment| segment.flushed);
    segments.sort_by_key(|segment| segment.id);
    let mut all = Vec::new();
    for segment in segments {
        let rows = u64::try_from(segment.rows).unwrap_or_default();
        let client = node.client.of(&format!("gameday_decoy_{}", segment.id));
        all.push(decoy(node, corpus, kind, &client, rows).await?);
        client.drop_collection().await.map_err(failed)?;
    }
    Ok(all)
}

async fn decoy(
    node: &Milvus,
    corpus: &Corpus,
    kind: IndexKind,
    client: &Client,
    rows: u64,
) -> Result<BTreeMap<String, Bytes>, Effect> {
    let corpus = corpus.clone();
    let rows = tokio::task::spawn_blocking(move || {
        let row = |n| Row { key: n, ver: 0, vector: corpus.vector(OTHERS + n, 0) };
        (0..rows).map(row).collect::<Vec<_>>()
    });
    let rows = rows.await.map_err(|e| Effect::failed(e.to_string()))?;
    client.create(node.dim).await.map_err(failed)?;
    client.insert_all(&rows).await.map_err(failed)?;
    client.flush(LONG).await.map_err(failed)?;
    client.build_index(kind, LONG).await.map_err(failed)?;
    let listed = node.s3.list_all(ROOT, 1_000_000).await.map_err(|e| Effect::failed(e.to_string()))?;
    let names = Manifest { objects: listed.into_iter().map(|o| (o.key, Default::default())).collect() };
    let segments = client.segments().await.map_err(failed)?;
    let mut files = BTreeMap::new();
    for key in index_objects(&names, &segments) {
        let name = key.rsplit('/').next().unwrap_or(key).to_owned();
        let bytes = get(node, key).await?.ok_or_else(|| Effect::failed(format!("object {key} is gone")))?;
        files.insert(name, bytes);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_newest_build_is_told_by_its_number() {
        assert_eq!(build("files/index_files/77/1/5/42/HNSW_0"), Some(77));
        assert_eq!(build("files/index_v1/3/5/42/77/HNSW"), None);
    }

    proptest! {
        #[test]
        fn damage_changes_bytes(before in proptest::collection::vec(1u8.., 1..2000), seed: u64, share in 0.001f64..1.0) {
            for how in [Damage::Flip, Damage::Truncate, Damage::Zero] {
                prop_assert_ne!(&bent(&before, how, share, seed).unwrap()[..], &before[..]);
            }
            prop_assert!(bent(&[], Damage::Flip, share, seed).is_err());
        }
    }
}
