//! Which files an act means, and what damaging them looks like.
//!
//! A vector node stores one index, one log, one manifest and several segments, of which the largest is hit. Of an
//! object store, or of the backups in it, as many objects are hit as the fraction says, each from end to end; which
//! ones follows from the seed. A swap puts a valid file of other data in place: another object as it was before
//! any was hit, or a file made by the same code as the vector node's own.

use std::path::{Path, PathBuf};

use harness::act::{Artifact, Damage as How};
use harness::corpus::Corpus;
use harness::ports::Effect;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::damage::{Damage, Damaged, damage};
use super::product::BACKUPS;
use crate::s3::key_of;
use crate::vectordb::{BuildEngine, Config, Engine, IndexSpec, Kind, Record};

/// Records of the other data that a swapped file holds.
const OTHERS: u64 = 500;
/// No write of a load ever has this number.
const OTHER: u64 = u64::MAX;

/// What to damage, and how.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// The node's folder; nothing outside is touched.
    pub(super) folder: PathBuf,
    /// Folder for files on their way in; inside the run's state.
    pub(super) scratch: PathBuf,
    /// Where the objects are, inside the node's folder.
    pub(super) objects: PathBuf,
    /// Which files.
    pub(super) what: Artifact,
    /// In which way.
    pub(super) how: How,
    /// How much.
    pub(super) fraction: f64,
    /// Chooses files and bytes.
    pub(super) seed: u64,
}

/// How to make a valid file of other data.
#[derive(Debug, Clone)]
pub(super) struct Other {
    /// The collection's name.
    pub(super) collection: String,
    /// Values come from here.
    pub(super) corpus: Corpus,
    /// The kind of index.
    pub(super) spec: IndexSpec,
}

impl Order {
    /// Does it and says what was seen. Blocks; inside a runtime.
    pub(super) fn execute(&self, other: &Other) -> Effect {
        match self.damage_all(other) {
            Ok(done) => seen(&self.folder, &done),
            Err(why) => Effect::failed(why),
        }
    }

    /// Does it to a copy of the first file, and looks at the file itself. Blocks.
    pub(super) fn execute_on_nothing(&self) -> Effect {
        let aside = || -> Result<String, String> {
            let file = self.files()?.into_iter().next().ok_or("there is no file")?;
            let before = std::fs::read(&file).map_err(|e| e.to_string())?;
            std::fs::create_dir_all(&self.scratch).map_err(|e| e.to_string())?;
            let copy = self.scratch.join("decoy");
            std::fs::write(&copy, &before).map_err(|e| e.to_string())?;
            damage(&self.scratch, &copy, &Damage::FlipBits, self.fraction, self.seed)
                .map_err(|e| e.to_string())?;
            let same = std::fs::read(&file).map_err(|e| e.to_string())? == before;
            Ok(format!("{}: {}", name(&self.folder, &file), if same { "no byte changed" } else { "changed" }))
        };
        aside().map_or_else(Effect::failed, Effect::not_observed)
    }

    fn damage_all(&self, other: &Other) -> Result<Vec<Damaged>, String> {
        let files = self.files()?;
        let whole = self.objects() || matches!(self.how, How::Delete | How::Swap | How::OtherKind);
        let fraction = if whole { 1.0 } else { self.fraction };
        let swaps = match self.how {
            How::Swap => self.substitutes(&files, other)?,
            How::OtherKind => self.substitutes(&files, &other.of_another_kind())?,
            _ => Vec::new(),
        };
        let mut done = Vec::with_capacity(files.len());
        for (n, file) in files.iter().enumerate() {
            let seed = self.seed.wrapping_add(n as u64);
            let how = match self.how {
                How::Flip => Damage::FlipBits,
                How::Truncate => Damage::Truncate,
                How::Zero => Damage::Zero,
                How::Delete => Damage::Delete,
                How::Swap | How::OtherKind => Damage::Swap(swaps[n].clone()),
                How::Shift | How::Forge => return Err("files are not shifted".into()),
            };
            done.push(damage(&self.folder, file, &how, fraction, seed).map_err(|e| e.to_string())?);
        }
        Ok(done)
    }

    /// The files that are hit; never none.
    fn files(&self) -> Result<Vec<PathBuf>, String> {
        match self.what {
            Artifact::Index => Ok(vec![self.folder.join("index.bin")]),
            Artifact::Log => Ok(vec![self.folder.join("wal.log")]),
            Artifact::Manifest => Ok(vec![self.folder.join("MANIFEST")]),
            Artifact::Segment => largest(&self.folder.join("segments")).map(|file| vec![file]),
            Artifact::Object | Artifact::Backup => self.some_objects(),
            what => Err(format!("{what} is not stored as a file of its own")),
        }
    }

    /// Whether files are objects of a store, of which the fraction says how many are hit.
    fn objects(&self) -> bool {
        matches!(self.what, Artifact::Object | Artifact::Backup)
    }

    fn some_objects(&self) -> Result<Vec<PathBuf>, String> {
        let mut all = self.all_objects()?;
        let count = ((all.len() as f64 * self.fraction).ceil() as usize).clamp(1, all.len());
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        for i in 0..count {
            let left = all.len() - i;
            all.swap(i, i + (rng.next_u64() % left as u64) as usize);
        }
        all.truncate(count);
        all.sort();
        Ok(all)
    }

    /// Object files in the order of their keys; never none.
    fn all_objects(&self) -> Result<Vec<PathBuf>, String> {
        let mut all = Vec::new();
        if self.what == Artifact::Backup {
            below(&self.folder.join(BACKUPS), &mut all)?;
        } else {
            let object = |path: &Path| path.file_name().and_then(|n| n.to_str()).and_then(key_of).is_some();
            all.extend(listed(&self.objects)?.into_iter().map(|(path, _)| path).filter(|p| object(p)));
        }
        all.sort();
        if all.is_empty() { Err(format!("no {} is stored", self.what)) } else { Ok(all) }
    }

    /// Valid files of other data for these ones' places.
    fn substitutes(&self, files: &[PathBuf], other: &Other) -> Result<Vec<PathBuf>, String> {
        if self.objects() {
            let all = self.all_objects()?;
            return (0..).zip(files).map(|(n, file)| self.another(n, file, &all)).collect();
        }
        let dir = self.scratch.join("other");
        if !dir.exists() {
            other.make(&dir)?;
        }
        let substitute = |file: &PathBuf| match self.what {
            Artifact::Segment => largest(&dir.join("segments")),
            _ => Ok(dir.join(file.file_name().unwrap_or_default())),
        };
        files.iter().map(substitute).collect()
    }

    /// A copy of the next object whose bytes differ: the object itself may be hit before its bytes are needed.
    fn another(&self, n: usize, file: &Path, all: &[PathBuf]) -> Result<PathBuf, String> {
        let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
        let mine = read(file)?;
        let at = all.iter().position(|o| o == file).unwrap_or(0);
        for next in all[at..].iter().chain(&all[..at]).skip(1) {
            let bytes = read(next)?;
            if bytes != mine {
                let copy = self.scratch.join(format!("swap-{n}"));
                std::fs::create_dir_all(&self.scratch).map_err(|e| e.to_string())?;
                std::fs::write(&copy, bytes).map_err(|e| format!("{}: {e}", copy.display()))?;
                return Ok(copy);
            }
        }
        Err(format!("there is no other {} than {}", self.what, name(&self.folder, file)))
    }
}

impl Other {
    /// The same data, under an index of another kind.
    fn of_another_kind(&self) -> Self {
        let count = usize::try_from(OTHERS).unwrap_or(usize::MAX);
        let native = match self.spec.kind {
            Kind::Hnsw { .. } => index::IndexSpec::ivf_flat(count),
            Kind::IvfFlat { .. } => index::IndexSpec::hnsw(),
        };
        let kind = match native.kind {
            index::Kind::Hnsw { m, ef_construction, ef } => Kind::Hnsw { m, ef_construction, ef },
            index::Kind::IvfFlat { nlist, nprobe } => Kind::IvfFlat { nlist, nprobe },
            index::Kind::IvfSq8 { .. } | index::Kind::IvfPq { .. } => {
                unreachable!("scenarios name `hnsw` and `ivf_flat` only, and the spec was made above")
            }
        };
        Self { spec: IndexSpec { kind, ..self.spec }, ..self.clone() }
    }

    /// A whole node's folder of other data.
    fn make(&self, dir: &Path) -> Result<(), String> {
        let record = |key| Record { key, ver: OTHER, vector: self.corpus.vector(key, OTHER) };
        let dim = u32::try_from(self.corpus.dim).map_err(|e| e.to_string())?;
        let config = Config::new(dir, self.collection.clone(), dim);
        let engine = Engine::open(config).map_err(|e| e.to_string())?;
        let fill = || {
            let import = engine.import_begin();
            engine.import_page(import, (0..OTHERS).map(|key| record(key).at(key + 1)).collect())?;
            engine.import_commit(import, None)?;
            engine.build_index(self.spec, BuildEngine::Cpu)?;
            tokio::runtime::Handle::current().block_on(engine.put(record(OTHERS)))
        };
        fill().map(drop).map_err(|e| e.to_string())
    }
}

fn listed(folder: &Path) -> Result<Vec<(PathBuf, u64)>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let entry = |e: std::fs::DirEntry| Some((e.path(), e.metadata().ok()?.len()));
    Ok(entries.flatten().filter_map(entry).collect())
}

/// Every file below a folder. Links are not followed.
fn below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            below(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn largest(folder: &Path) -> Result<PathBuf, String> {
    let all = listed(folder)?;
    let found = all.into_iter().max_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    found.map(|(path, _)| path).ok_or_else(|| format!("there is no file in {}", folder.display()))
}

fn name(folder: &Path, file: &Path) -> String {
    file.strip_prefix(folder).unwrap_or(file).display().to_string()
}

fn seen(folder: &Path, done: &[Damaged]) -> Effect {
    let Some(first) = done.first() else { return Effect::failed("no file was hit") };
    let bytes: u64 = done.iter().map(|d| d.bytes_changed).sum();
    let short = |sha: &str| sha.get(..12).unwrap_or(sha).to_owned();
    let now = first.after.as_deref().map_or("gone".to_owned(), |sha| format!("sha256 {}", short(sha)));
    let file = name(folder, &first.file);
    let text = match done.len() {
        1 => format!("{file}: {bytes} bytes changed; sha256 {} before, {now} now", short(&first.before)),
        n => format!("{n} files, {bytes} bytes changed; first {file}: {now}"),
    };
    let files: Vec<String> = done.iter().take(20).map(|d| name(folder, &d.file)).collect();
    Effect::observed(text)
        .with("files", files.join(", "))
        .with("files_changed", done.len())
        .with("bytes_changed", bytes)
}

#[cfg(test)]
mod tests;
