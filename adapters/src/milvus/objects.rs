//! What Milvus keeps in its bucket: digests of our own, damage, and what to look for where.
//!
//! Objects never change once written; compaction adds new ones and garbage collection removes old ones. A manifest is
//! taken while nothing is written, after a flush. Paths differ between versions, so index files are found by the
//! segment's number in the path, not by one shape of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{MilvusError, Segment};
use crate::s3::S3;

/// More objects than this is no collection of ours.
const OBJECTS_MAX: usize = 1_000_000;
/// Folders of segment data, by their names in every version that was seen.
pub const BINLOGS: [&str; 3] = ["insert_log", "stats_log", "delta_log"];

/// What an object has to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Bytes.
    pub size: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let sha256 = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        Self { size: bytes.len() as u64, sha256 }
    }
}

/// Every object under a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// By key.
    pub objects: BTreeMap<String, Digest>,
}

/// Where the store departs from a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Objects with other bytes.
    pub damaged: Vec<String>,
    /// Objects that are gone.
    pub missing: Vec<String>,
    /// Objects that were not there: the fruit of writes, compaction or an index build, or an intruder's.
    pub added: Vec<String>,
}

impl Audit {
    /// Keys of objects that are damaged or missing.
    pub fn wrong(&self) -> impl Iterator<Item = &str> {
        self.damaged.iter().chain(&self.missing).map(String::as_str)
    }
}

impl Manifest {
    /// Reads every object under `prefix`.
    pub async fn take(s3: &S3, prefix: &str) -> Result<Self, MilvusError> {
        let mut objects = BTreeMap::new();
        for listed in s3.list_all(prefix, OBJECTS_MAX).await? {
            // Removed since it was listed: not part of the moment.
            if let Some(bytes) = s3.get(&listed.key).await? {
                objects.insert(listed.key, Digest::of(&bytes));
            }
        }
        Ok(Self { objects })
    }

    /// What became of the objects since.
    pub async fn audit(&self, s3: &S3, prefix: &str) -> Result<Audit, MilvusError> {
        Ok(self.compare(&Self::take(s3, prefix).await?))
    }

    /// Where another manifest departs from this one.
    pub fn compare(&self, now: &Manifest) -> Audit {
        let mut audit = Audit::default();
        for (key, digest) in &self.objects {
            match now.objects.get(key) {
                None => audit.missing.push(key.clone()),
                Some(found) if found != digest => audit.damaged.push(key.clone()),
                Some(_) => {}
            }
        }
        audit.added = now.objects.keys().filter(|key| !self.objects.contains_key(*key)).cloned().collect();
        audit
    }

    /// Puts an object back, if the bytes are those of the manifest.
    pub async fn restore(&self, s3: &S3, key: &str, bytes: Bytes) -> Result<(), MilvusError> {
        if self.objects.get(key) != Some(&Digest::of(&bytes)) {
            return Err(MilvusError::Unspeakable(format!(
                "the copy of {key} is not what the manifest names"
            )));
        }
        s3.put(key, bytes).await?;
        Ok(())
    }
}

/// True for a file of segment data, which an index build reads.
pub fn is_binlog(key: &str) -> bool {
    key.split('/').any(|part| BINLOGS.contains(&part))
}

/// Keys of the index files of these segments.
pub fn index_objects<'a>(manifest: &'a Manifest, segments: &[Segment]) -> Vec<&'a str> {
    let ids: Vec<String> = segments.iter().map(|s| s.id.to_string()).collect();
    let of_ours = |key: &&String| !is_binlog(key) && key.split('/').any(|p| ids.iter().any(|id| id == p));
    manifest.objects.keys().filter(of_ours).map(String::as_str).collect()
}

/// What is done to an object through S3, which serves it as good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The first 64 bytes are overwritten: it cannot be parsed.
    Header,
    /// The second half is cut off.
    Truncate,
    /// It is gone.
    Delete,
    /// It holds another's bytes, such as an index of the same shape over other vectors.
    Swap(Bytes),
}

/// Damages an object and answers what it was, after the damage was read back.
pub async fn damage(s3: &S3, key: &str, damage: &Damage) -> Result<Bytes, MilvusError> {
    let gone = || MilvusError::Unspeakable(format!("{key} is not there to be damaged"));
    let before = s3.get(key).await?.ok_or_else(gone)?;
    let wanted = match damage {
        Damage::Header => {
            let mut bytes = before.to_vec();
            bytes.iter_mut().take(64).for_each(|byte| *byte = !*byte);
            Some(Bytes::from(bytes))
        }
        Damage::Truncate => Some(before.slice(..before.len() / 2)),
        Damage::Delete => None,
        Damage::Swap(other) => Some(other.clone()),
    };
    match &wanted {
        Some(bytes) => drop(s3.put(key, bytes.clone()).await?),
        None => s3.delete(key).await?,
    }
    if s3.get(key).await? != wanted || wanted.as_ref() == Some(&before) {
        return Err(MilvusError::Garbled(format!("the damage to {key} is not seen")));
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(objects: &[(&str, &str)]) -> Manifest {
        let digest = |(key, body): &(&str, &str)| ((*key).to_owned(), Digest::of(body.as_bytes()));
        Manifest { objects: objects.iter().map(digest).collect() }
    }

    #[test]
    fn an_audit_names_each_departure() {
        let then = manifest(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let audit = then.compare(&manifest(&[("a", "1"), ("b", "x"), ("d", "4")]));
        assert_eq!(audit.wrong().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(audit.added, ["d"]);
        assert_eq!(then.compare(&then), Audit::default());
    }

    #[test]
    fn index_files_are_those_of_the_segments_and_no_binlogs() {
        let all = manifest(&[
            ("files/index_files/77/1/5/42/HNSW_0", "i"),
            ("files/index_v1/3/5/42/77/HNSW", "j"),
            ("files/index_files/78/1/5/43/HNSW_0", "other"),
            ("files/insert_log/3/5/42/101/9", "b"),
        ]);
        let segment = Segment { id: 42, collection: 3, rows: 1, flushed: true };
        let found = index_objects(&all, &[segment]);
        assert_eq!(found, ["files/index_files/77/1/5/42/HNSW_0", "files/index_v1/3/5/42/77/HNSW"]);
        assert!(is_binlog("files/insert_log/3/5/42/101/9") && !is_binlog(found[0]));
    }
}
