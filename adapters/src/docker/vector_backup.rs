//! Backups of a Milvus in the MinIO of its region, and what is brought back from them.
//!
//! A full backup has two halves of about the same moment. Rows, in the layout and with the manifests of
//! [`crate::backup`], from which a collection is made anew wherever its metadata is lost. And copies of the bucket's
//! objects, by their digests, from which damaged or lost ones are put back into a server that still knows them; with
//! metadata and log as they were when the objects were listed. An incremental one holds rows only.
//!
//! ```text
//! vector-backups/{collection}/{full|incremental}/{timestamp}/...   rows
//! vector-backups/{collection}/index-metadata/{timestamp}/index     what to build
//! vector-backups/{collection}/objects/{timestamp}/{key}            copies; MANIFEST, written last, has their digests
//! vector-backups/{collection}/moments/{timestamp}/{part}    metadata and log of the same moment, see `vector_moment`
//! vector-backups/{collection}/objects-latest                       the newest of them, and the digest of its MANIFEST
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::act::BackupKind;
use harness::ports::Effect;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::container::Container;
use super::milvus::{COLLECTION, Milvus, ROOT};
use super::vector::{ANSWER, LONG, LOOK, failed, reached, searchable};
use super::vector_moment::{self, Moment};
use super::vector_skew;
use crate::backup::{Chain, Kind, back_up_rows, read_chain};
use crate::milvus::{Digest, IndexKind, LoadState, Manifest, Row, Segment};
use crate::s3::S3;
use crate::vectordb::{IndexSpec, Kind as SpecKind};

/// Where copies of objects are.
fn folder() -> String {
    format!("vector-backups/{COLLECTION}/objects/")
}

fn pointer() -> String {
    format!("vector-backups/{COLLECTION}/objects-latest")
}

fn spec(kind: IndexKind) -> IndexSpec {
    let kind = match kind {
        IndexKind::Hnsw => SpecKind::Hnsw { m: 16, ef_construction: 200, ef: 128 },
        IndexKind::IvfFlat => SpecKind::IvfFlat { nlist: 128, nprobe: 16 },
    };
    IndexSpec { kind, seed: 0, min_recall: 0 }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Copies of objects, and what the metadata said of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Copies {
    /// The collection's number.
    pub(super) collection: i64,
    /// Rows of each flushed segment.
    pub(super) segments: BTreeMap<i64, i64>,
    /// What every object has to be.
    pub(super) manifest: Manifest,
    /// Metadata and log, each part an archive, and what it has to be.
    pub(super) parts: BTreeMap<String, Digest>,
}

/// Between two looks at what may last for a moment only.
const AGAIN: Duration = Duration::from_secs(1);

/// Takes a backup.
pub(super) async fn back_up(
    node: &Milvus,
    container: &Container,
    backups: &S3,
    kind: BackupKind,
) -> Result<Effect, Effect> {
    let _turn = node.turn.lock().await;
    reached(node).await?;
    let error = |e: &dyn std::fmt::Display| Effect::failed(e.to_string());
    let mut seen = node.seen.lock().await;
    let kind = match kind {
        BackupKind::Full => Kind::Full,
        BackupKind::Incremental => Kind::Incremental,
    };
    let rows = back_up_rows(&node.client, (backups, COLLECTION), kind, spec(node.kind), &mut seen).await;
    let rows = rows.map_err(|e| error(&e))?;
    let (mut copied, mut bytes, mut frozen) = (0, rows.bytes, None);
    if kind == Kind::Full {
        node.client.flush(LONG).await.map_err(failed)?;
        let moment = vector_moment::take(node, container).await.map_err(|e| error(&e))?;
        frozen = Some(moment.frozen);
        let copies = copy(node, backups, &rows.timestamp, moment).await.map_err(|e| error(&e))?;
        let Copies { manifest, parts, .. } = copies;
        copied = manifest.objects.len();
        bytes += parts.values().map(|digest| digest.size).sum::<u64>();
        bytes += manifest.objects.values().map(|digest| digest.size).sum::<u64>();
        // What was just copied is what is known to be good from now on.
        node.known.lock().await.objects.extend(manifest.objects);
    }
    let word = match kind {
        Kind::Full => "full",
        Kind::Incremental => "incremental",
    };
    let text = format!(
        "{word} backup {} of {} rows, {} changes in {} objects, and {copied} copies of objects",
        rows.timestamp, rows.records, rows.changes, rows.objects
    );
    let effect = Effect::observed(text).with("backup", &rows.timestamp).with("records", rows.records);
    let effect = match frozen {
        Some(frozen) => effect.with("frozen_seconds", format!("{:.3}", frozen.as_secs_f64())),
        None => effect,
    };
    Ok(effect.with("changes", rows.changes).with("objects_copied", copied).with("bytes", bytes))
}

/// Copies every object of the moment, and what was on the server's own disk then. Objects never change once written, and
/// what the metadata knows is removed hours after it was given up, so that they can be read when the moment is over.
async fn copy(node: &Milvus, backups: &S3, timestamp: &str, moment: Moment) -> Result<Copies, String> {
    let mut kept = Manifest::default();
    for key in &moment.objects {
        let bytes = node.s3.get(key).await.map_err(|e| e.to_string())?;
        let bytes =
            bytes.ok_or_else(|| format!("object {key} was removed while it was copied; try again"))?;
        kept.objects.insert(key.clone(), Digest::of(&bytes));
        let to = format!("{}{timestamp}/{key}", folder());
        backups.put(&to, bytes).await.map_err(|e| e.to_string())?;
    }
    let mut parts = BTreeMap::new();
    for (part, bytes) in &moment.parts {
        parts.insert(part.clone(), Digest::of(bytes));
        let to = vector_moment::object(timestamp, part);
        backups.put(&to, bytes.clone()).await.map_err(|e| e.to_string())?;
    }
    let copies = Copies {
        collection: moment.segments.first().map(|segment| segment.collection).unwrap_or_default(),
        segments: moment.segments.iter().map(|segment| (segment.id, segment.rows)).collect(),
        manifest: kept,
        parts,
    };
    // A backup that could not be restored is none.
    vector_skew::agree(&copies, &moment.parts)?;
    let body = serde_json::to_vec(&copies).map_err(|e| e.to_string())?;
    let sum = sha256(&body);
    let name = format!("{}{timestamp}/MANIFEST", folder());
    backups.put(&name, body).await.map_err(|e| e.to_string())?;
    let line = format!("{timestamp} {sum}\n");
    backups.put(&pointer(), line.into_bytes()).await.map_err(|e| e.to_string())?;
    Ok(copies)
}

async fn read(backups: &S3, name: &str) -> Result<Bytes, String> {
    let body = backups.get(name).await.map_err(|e| e.to_string())?;
    body.ok_or_else(|| format!("backup object {name} is missing; take a full backup before the fault"))
}

/// The newest copies: their name, and what each has to be.
pub(super) async fn newest(backups: &S3) -> Result<(String, Copies), String> {
    let line = read(backups, &pointer()).await?;
    let line = std::str::from_utf8(&line).map_err(|e| format!("{}: {e}", pointer()))?;
    let (timestamp, sum) =
        line.trim().split_once(' ').ok_or_else(|| format!("backup object {} is damaged", pointer()))?;
    let name = format!("{}{timestamp}/MANIFEST", folder());
    let body = read(backups, &name).await?;
    if sha256(&body) != sum {
        return Err(format!("backup object {name} fails its checksum; nothing was overwritten"));
    }
    let copies = serde_json::from_slice(&body).map_err(|e| format!("backup object {name}: {e}"))?;
    Ok((timestamp.to_owned(), copies))
}

/// Brings a Milvus back: objects first, since they cost nothing of what was written later; rows if the metadata does
/// not know the collection any more, or not its segments.
pub(super) async fn restore(node: &Milvus, container: &Container, backups: &S3) -> Result<Effect, Effect> {
    let _turn = node.turn.lock().await;
    let began = Instant::now();
    let (timestamp, copies) = newest(backups).await.map_err(Effect::failed)?;
    let manifest = &copies.manifest;
    let put_back = put_back(node, backups, &timestamp, manifest).await?;
    // A server that died of a bad object does not come back by itself.
    let woken = container.start().await.map_err(Effect::failed)?;
    let why = match settled(node, &copies).await? {
        Ok(rows) => {
            let text = format!(
                "{put_back} of {} objects put back from backup {timestamp}{}; {rows} rows searchable after {:.2} s",
                manifest.objects.len(),
                if woken { ", the container started again" } else { "" },
                began.elapsed().as_secs_f64()
            );
            return Ok(Effect::observed(text)
                .with("path", "objects")
                .with("backup", timestamp)
                .with("objects_put_back", put_back)
                .with("act_seconds", format!("{:.3}", began.elapsed().as_secs_f64())));
        }
        Err(why) => why,
    };
    let chain = read_chain(backups, COLLECTION).await.map_err(|e| Effect::failed(e.to_string()))?;
    remake(node, &chain).await?;
    let text = format!(
        "{why}; {} rows of backup {} and {} incrementals verified, inserted anew, indexed and read back, searchable \
         after {:.2} s",
        chain.records.len(),
        chain.timestamp,
        chain.incrementals,
        began.elapsed().as_secs_f64()
    );
    Ok(Effect::observed(text)
        .with("path", "rows")
        .with("skew", why)
        .with("backup", &chain.timestamp)
        .with("records", chain.records.len())
        .with("incrementals", chain.incrementals)
        .with("unfinished_backups", chain.unfinished)
        .with("act_seconds", format!("{:.3}", began.elapsed().as_secs_f64())))
}

/// How many rows are searchable, or why the metadata does not fit the objects. A server that ends meanwhile, by a fault
/// that is not over, has other metadata when it is back: it is asked again.
async fn settled(node: &Milvus, copies: &Copies) -> Result<Result<u64, String>, Effect> {
    let began = Instant::now();
    loop {
        answers(node).await?;
        let look = async {
            Ok(match skew(node, copies).await? {
                Some(why) => Err(why),
                None => Ok(searchable(node).await?),
            })
        };
        match tokio::time::timeout(LOOK, look).await {
            Ok(Ok(seen)) => return Ok(seen),
            Ok(Err(effect)) if began.elapsed() > super::vector::REACHED => return Err(effect),
            Err(_) if began.elapsed() > LONG => {
                return Err(Effect::not_observed(format!("nothing is searchable within {LONG:?}")));
            }
            // The log has brought rows back, and not the order to hold them in memory: waited for, it never comes.
            Err(_) => {
                if let Some(why) = forgotten(node, copies).await {
                    return Ok(Err(why));
                }
            }
            _ => tokio::time::sleep(super::vector::POLL).await,
        }
    }
}

/// Whether the metadata is from before somebody ordered the collection into memory. The log may have brought all of its
/// rows back; what else was forgotten (an index, what was removed) nobody knows.
async fn forgotten(node: &Milvus, copies: &Copies) -> Option<String> {
    // Twice: whoever takes it out of memory and loads it again is between the two for a moment.
    for wait in [Duration::ZERO, AGAIN] {
        tokio::time::sleep(wait).await;
        let state = tokio::time::timeout(ANSWER, node.client.load_state()).await.ok()?.ok()?;
        if state != LoadState::NotLoaded {
            return None;
        }
    }
    let now = tokio::time::timeout(ANSWER, node.client.segments()).await.ok()?.ok()?;
    let lost = unknown(copies, &now);
    Some(format!(
        "the metadata is older than the objects: {lost} segments unknown to it, and the collection is not in memory"
    ))
}

/// Segments of a backup that are not among these.
fn unknown(copies: &Copies, now: &[Segment]) -> usize {
    copies.segments.keys().filter(|id| now.iter().all(|segment| segment.id != **id)).count()
}

/// Puts back what is missing or has other bytes; every copy is compared with its digest before it is used.
async fn put_back(
    node: &Milvus,
    backups: &S3,
    timestamp: &str,
    manifest: &Manifest,
) -> Result<usize, Effect> {
    let good = verified(node, backups, timestamp, manifest).await?;
    let count = good.len();
    for (key, bytes) in good {
        manifest.restore(&node.s3, &key, bytes).await.map_err(failed)?;
    }
    Ok(count)
}

/// Copies of what is missing or has other bytes, each compared with its digest.
pub(super) async fn verified(
    node: &Milvus,
    backups: &S3,
    timestamp: &str,
    manifest: &Manifest,
) -> Result<BTreeMap<String, Bytes>, Effect> {
    let audit = manifest.audit(&node.s3, ROOT).await.map_err(failed)?;
    let mut good = BTreeMap::new();
    for key in audit.wrong() {
        let from = format!("{}{timestamp}/{key}", folder());
        let bytes = backups.get(&from).await.map_err(|e| Effect::failed(e.to_string()))?;
        let bytes = bytes.filter(|bytes| manifest.objects.get(key) == Some(&Digest::of(bytes)));
        let bytes = bytes.ok_or_else(|| {
            Effect::failed(format!("backup object {from} is missing or damaged; nothing was overwritten"))
        })?;
        good.insert(key.to_owned(), bytes);
    }
    Ok(good)
}

/// Waits until the server answers an operator's question, whatever it knows.
pub(super) async fn answers(node: &Milvus) -> Result<(), Effect> {
    let began = Instant::now();
    while !matches!(tokio::time::timeout(ANSWER, node.client.exists()).await, Ok(Ok(_))) {
        if began.elapsed() > super::vector::REACHED {
            return Err(Effect::failed("no operator reaches Milvus"));
        }
        tokio::time::sleep(super::vector::POLL).await;
    }
    Ok(())
}

/// Why the metadata does not fit the objects of a backup, if it does not: metadata that was lost, or is older than
/// they are, leads to a store that answers and has forgotten.
pub(super) async fn skew(node: &Milvus, copies: &Copies) -> Result<Option<String>, Effect> {
    if !node.client.exists().await.map_err(failed)? {
        return Ok(Some(format!("the metadata knows no collection {COLLECTION}")));
    }
    let now = node.client.segments().await.map_err(failed)?;
    let other = now.iter().find(|segment| segment.collection != copies.collection);
    if let Some(other) = other {
        return Ok(Some(format!("collection {} is another one than that of the backup", other.collection)));
    }
    let lost = unknown(copies, &now);
    // Compaction replaces segments by others that hold as much, but for what was removed.
    let then: i64 = copies.segments.values().sum();
    let rows: i64 = now.iter().filter(|segment| segment.flushed).map(|segment| segment.rows).sum();
    let older = lost > 0 && rows < then / 2;
    let why = || {
        format!(
            "the metadata is older than the objects: {lost} segments unknown to it, {rows} of {then} rows known"
        )
    };
    Ok(older.then(why))
}

/// Makes the collection anew from rows, under another name until all of them were read back: users never see a part
/// of it, and what they find meanwhile is no collection at all.
async fn remake(node: &Milvus, chain: &Chain) -> Result<(), Effect> {
    let fresh = node.client.of(&format!("{COLLECTION}_restored"));
    node.client.drop_collection().await.map_err(failed)?;
    // What an attempt that was given up left.
    fresh.drop_collection().await.map_err(failed)?;
    fresh.create(node.dim).await.map_err(failed)?;
    let rows = chain.records.values().map(|r| Row { key: r.key, ver: r.ver, vector: r.vector.clone() });
    let rows: Vec<Row> = rows.collect();
    fresh.insert_all(&rows).await.map_err(failed)?;
    fresh.flush(LONG).await.map_err(failed)?;
    let kind = match chain.spec.map(|spec| spec.kind) {
        Some(SpecKind::IvfFlat { .. }) => IndexKind::IvfFlat,
        _ => IndexKind::Hnsw,
    };
    fresh.build_index(kind, LONG).await.map_err(failed)?;
    fresh.load().await.map_err(failed)?;
    fresh.loaded(LONG).await.map_err(failed)?;
    let keys: Vec<u64> = chain.records.keys().copied().collect();
    let read = fresh.rows_of(&keys).await.map_err(failed)?;
    let same = read.iter().filter(|row| {
        chain.records.get(&row.key).is_some_and(|r| r.ver == row.ver && bits(&r.vector) == bits(&row.vector))
    });
    let (same, count) = (same.count(), fresh.count().await.map_err(failed)?);
    if same != rows.len() || count != rows.len() as u64 {
        let why = format!("{same} of {} rows are what the backup holds, and {count} are there", rows.len());
        return Err(Effect::not_observed(why));
    }
    *node.known.lock().await = Manifest::take(&node.s3, ROOT).await.map_err(failed)?;
    fresh.rename(COLLECTION).await.map_err(failed)?;
    searchable(node).await.map(drop)
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|value| value.to_bits()).collect()
}
