//! The copy of the cluster and the archive of its log in an object store, and back out of it, into any node.
//!
//! ```text
//! postgres-backups/{name}/base-{sha256}.tar.gz   the copy
//! postgres-backups/{name}/wal/{segment}          what the archive holds
//! postgres-backups/{name}/MANIFEST               written last: every object with size and SHA-256, the restore points
//!                                                that they reach, and its own checksum
//! ```
//!
//! Everything is verified before a node overwrites anything. What was archived after the last shipping is not there: that
//! is what a recovery from the object store loses.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::archive::{LONG, RestorePoint};
use super::node::{Node, NodeError};
use super::shell::{Command, must};
use crate::s3::S3;

const VERSION: u32 = 2;
/// Segments of a log: a terabyte of them.
const LISTED_MAX: usize = 262_144;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    base: Entry,
    wal: Vec<Entry>,
    /// Oldest first.
    points: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    object: String,
    size: u64,
    sha256: String,
}

/// What was shipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shipped {
    /// Files of the archive that are in the object store now.
    pub segments: usize,
    /// Of these, those that were not before.
    pub new: usize,
    /// Bytes of the copy of the cluster.
    pub base_bytes: u64,
}

fn sha(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn folder(name: &str) -> String {
    format!("postgres-backups/{name}")
}

fn damaged(object: &str, why: &str) -> NodeError {
    NodeError::Refused(format!("backup object {object}: {why}; nothing was overwritten"))
}

fn seal(manifest: &Manifest) -> Result<String, NodeError> {
    let line = serde_json::to_string(manifest).map_err(|e| damaged("MANIFEST", &e.to_string()))?;
    let sum = sha(line.as_bytes());
    Ok(format!("{line}\nsha256:{sum}\n"))
}

fn unseal(bytes: &[u8]) -> Result<Manifest, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let (line, rest) = text.split_once('\n').ok_or("it is cut short")?;
    if rest != format!("sha256:{}\n", sha(line.as_bytes())) {
        return Err("it fails its checksum".into());
    }
    let manifest: Manifest = serde_json::from_str(line).map_err(|e| e.to_string())?;
    match manifest.version {
        VERSION => Ok(manifest),
        other => Err(format!("it is of version {other}, and this program knows {VERSION}")),
    }
}

/// The manifest of a node's backup; none, if there is no backup.
async fn manifest(s3: &S3, name: &str) -> Result<Option<Manifest>, NodeError> {
    let object = format!("{}/MANIFEST", folder(name));
    let Some(body) = s3.get(&object).await? else { return Ok(None) };
    unseal(&body).map(Some).map_err(|why| damaged(&object, &why))
}

async fn store(s3: &S3, object: String, body: Vec<u8>) -> Result<Entry, NodeError> {
    let entry = Entry { size: body.len() as u64, sha256: sha(&body), object };
    s3.put(&entry.object, body).await?;
    Ok(entry)
}

async fn fetched(s3: &S3, entry: &Entry) -> Result<Bytes, NodeError> {
    let body = s3.get(&entry.object).await?.ok_or_else(|| damaged(&entry.object, "it is missing"))?;
    if body.len() as u64 != entry.size || sha(&body) != entry.sha256 {
        return Err(damaged(&entry.object, "it fails its checksum"));
    }
    Ok(body)
}

/// Names that PostgreSQL gives to what it archives: segments, histories, labels of backups.
fn plain(file: &str) -> bool {
    let fits = |c: char| c.is_ascii_hexdigit() || c == '.' || c.is_ascii_lowercase();
    !file.is_empty() && !file.starts_with('.') && !file.ends_with(".part") && file.chars().all(fits)
}

async fn publish(s3: &S3, name: &str, manifest: &Manifest) -> Result<(), NodeError> {
    s3.put(&format!("{}/MANIFEST", folder(name)), seal(manifest)?).await?;
    Ok(())
}

impl Node {
    /// Takes the copy and the archive of this node into an object store; files that are there already stay. From now on
    /// `point` is reached, and none from before the copy.
    ///
    /// # Errors
    /// See [`NodeError`]. [`Self::base_backup`] comes first, and then [`Self::restore_point`].
    pub async fn ship(&self, s3: &S3, point: &RestorePoint) -> Result<Shipped, NodeError> {
        let base = self.base();
        let tar = Command::new("tar").args(["-C", base.as_str(), "-czf", "-", "."]).within(LONG);
        let tar = must(self.shell.as_ref(), tar).await?;
        let old = manifest(s3, &self.name).await?.map_or_else(Vec::new, |manifest| manifest.wal);
        let object = format!("{}/base-{}.tar.gz", folder(&self.name), sha(&tar));
        let base = store(s3, object, tar).await?;
        let (wal, new) = self.ship_archive(s3, &old).await?;
        let shipped = Shipped { segments: wal.len(), new, base_bytes: base.size };
        let points = vec![point.name().to_owned()];
        publish(s3, &self.name, &Manifest { version: VERSION, base, wal, points }).await?;
        Ok(shipped)
    }

    /// Takes what was archived since into the object store, beside a copy that is there: `point` is reached from it, too.
    ///
    /// # Errors
    /// See [`NodeError`]. [`Self::ship`] comes first.
    pub async fn ship_log(&self, s3: &S3, point: &RestorePoint) -> Result<Shipped, NodeError> {
        let mut manifest = self.shipped(s3, &self.name).await?;
        let (wal, new) = self.ship_archive(s3, &manifest.wal).await?;
        manifest.wal = wal;
        manifest.points.push(point.name().to_owned());
        publish(s3, &self.name, &manifest).await?;
        Ok(Shipped { segments: manifest.wal.len(), new, base_bytes: manifest.base.size })
    }

    /// Forgets the restore points behind one to which this server went back: its history goes on from there.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn abandon_after(&self, s3: &S3, point: &RestorePoint) -> Result<(), NodeError> {
        let mut manifest = self.shipped(s3, &self.name).await?;
        let at = manifest.points.iter().position(|name| name == point.name());
        manifest.points.truncate(at.map_or(0, |at| at + 1));
        publish(s3, &self.name, &manifest).await
    }

    async fn shipped(&self, s3: &S3, of: &str) -> Result<Manifest, NodeError> {
        let found = manifest(s3, of).await?;
        found.ok_or_else(|| NodeError::Refused(format!("there is no shipped backup of {of}")))
    }

    /// Everything that is archived, and how many files of it were not in the object store before.
    async fn ship_archive(&self, s3: &S3, old: &[Entry]) -> Result<(Vec<Entry>, usize), NodeError> {
        let archive = self.layout.archived();
        let listed = must(self.shell.as_ref(), Command::new("ls").args([archive.as_str()])).await?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let mut wal = Vec::new();
        let mut new = 0;
        for file in listed.lines().filter(|file| plain(file)).take(LISTED_MAX) {
            let object = format!("{}/wal/{file}", folder(&self.name));
            // What is archived never changes.
            if let Some(known) = old.iter().find(|entry| entry.object == object) {
                wal.push(known.clone());
                continue;
            }
            let path = format!("{archive}/{file}");
            let body = must(self.shell.as_ref(), Command::new("cat").args([path.as_str()])).await?;
            wal.push(store(s3, object, body).await?);
            new += 1;
        }
        Ok((wal, new))
    }

    /// Brings the shipped backup of a node, this one or another, into this one's folder, for [`Self::recover_to`].
    /// Answers with the points that it reaches, oldest first. Files of the archive that were not shipped are gone.
    ///
    /// # Errors
    /// See [`NodeError`]. What does not verify is named, and the node is left as it was.
    pub async fn fetch(&self, s3: &S3, of: &str) -> Result<Vec<RestorePoint>, NodeError> {
        let found = self.shipped(s3, of).await?;
        let tar = fetched(s3, &found.base).await?;
        let mut files = Vec::new();
        for entry in &found.wal {
            let name = entry.object.rsplit('/').next().filter(|name| plain(name));
            let name = name.ok_or_else(|| damaged(&entry.object, "it is no file of an archive"))?;
            files.push((name, fetched(s3, entry).await?));
        }
        let (base, archive) = (self.base(), self.layout.archived());
        // A server that was made anew since has files of the same names, of another history.
        let script = r#"rm -rf "$1.new" && mkdir -m 700 "$1.new" && tar -C "$1.new" -xzf - && rm -rf "$1" "$2" \
                        && mv "$1.new" "$1""#;
        let unpack = Command::script(script, [base.as_str(), archive.as_str()]).reads(tar).within(LONG);
        must(self.shell.as_ref(), unpack).await?;
        self.configure().await?;
        for (name, body) in files {
            let path = format!("{}/{name}", self.layout.archived());
            let script = r#"cat > "$1.part" && mv "$1.part" "$1""#;
            must(self.shell.as_ref(), Command::script(script, [path.as_str()]).reads(body)).await?;
        }
        Ok(found.points.iter().map(|name| RestorePoint::named(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_with_any_byte_changed_is_none() {
        let entry = Entry { object: "o".into(), size: 3, sha256: sha(b"abc") };
        let sealed = seal(&Manifest {
            version: VERSION,
            base: entry.clone(),
            wal: vec![entry.clone()],
            points: vec![],
        })
        .unwrap();
        assert_eq!(unseal(sealed.as_bytes()).unwrap().wal, [entry]);
        for at in 0..sealed.len() {
            let mut bad = sealed.clone().into_bytes();
            bad[at] ^= 1;
            assert!(unseal(&bad).is_err(), "byte {at}");
            assert!(unseal(&sealed.as_bytes()[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn only_plain_names_are_files_of_an_archive() {
        for good in
            ["000000010000000000000003", "00000002.history", "000000010000000000000002.00000028.backup"]
        {
            assert!(plain(good), "{good}");
        }
        for bad in ["", "..", "../x", "a/b", "x.part", "$(id)", "a b"] {
            assert!(!plain(bad), "{bad}");
        }
    }
}
