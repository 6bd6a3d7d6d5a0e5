//! The data sets: base vectors, queries and their exact neighbours, in a cache.
//!
//! A folder `data/NAME` holds `base.f32`, `queries.f32` (rows of little-endian `f32`), `truth.i32` and `near.f32` (the
//! hundred nearest of each query, nearest first, with their squared distances), and `meta.json` with the digest of each,
//! written last: a folder without it is a torn one, and made anew. Files are checked against their digests on each use.
//!
//! The clustered sets come from a seed and are the same bytes on every machine; their digests are pinned in the code.
//! The two real ones are made from what `gameday bench setup --data` fetches (see `real`).

mod catalogue;
mod clustered;
mod files;
mod metric;
mod own;
mod real;
mod truth;

pub use catalogue::{ALL, Spec, find};
pub use files::{read_rows, sha256_of};
pub use metric::Metric;
pub use own::{HELD_OUT, LEAST_QUERIES, LEAST_ROWS, Own, OwnFiles};

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Trouble, result::Own as Described};
use files::{Written, write_i32, write_rows};

/// Neighbours kept of each query.
pub const KEPT: usize = 100;

/// A data set that lies in the cache, whole and checked.
#[derive(Debug, Clone)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Vectors.
    pub vectors: usize,
    /// Values in each.
    pub dim: usize,
    /// Queries.
    pub queries: usize,
    /// Sha256 over the digests of base and queries, and the metric where it is another one than L2.
    pub digest: String,
    /// How distances are measured.
    pub metric: Metric,
    /// What else is to be said of a user's own vectors.
    pub own: Option<Described>,
}

/// A data set that is asked for.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// One of ours.
    Known(&'static Spec),
    /// A user's own vectors.
    Own(Own),
}

impl Wanted {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Wanted::Known(spec) => spec.name,
            Wanted::Own(own) => &own.name,
        }
    }

    /// Values of a vector.
    pub fn dim(&self) -> usize {
        match self {
            Wanted::Known(spec) => spec.dim,
            Wanted::Own(own) => own.dim,
        }
    }

    /// Whether a run goes on without it where it was never fetched.
    pub fn is_real(&self) -> bool {
        matches!(self, Wanted::Known(spec) if spec.is_real())
    }
}

/// `meta.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Meta {
    /// Of this layout; raised when what is made changes.
    version: u32,
    #[serde(default)]
    metric: Metric,
    vectors: usize,
    dim: usize,
    queries: usize,
    base: Written,
    query: Written,
    truth: Written,
    near: Written,
}

const VERSION: u32 = 1;

/// A data set that is asked for: from the cache, or made now.
///
/// # Errors
/// A real data set whose source was never fetched; a file of the user's that cannot be taken; a disk that is full; a digest that
/// is not the pinned one.
pub fn prepare(
    cache: &Path,
    wanted: &Wanted,
    say: &mut dyn FnMut(&str),
    stopped: &dyn Fn() -> bool,
) -> Result<Set, Trouble> {
    match wanted {
        Wanted::Known(spec) => known(cache, spec, say, stopped),
        Wanted::Own(own) => own::prepare(cache, own, say, stopped),
    }
}

fn known(
    cache: &Path,
    spec: &Spec,
    say: &mut dyn FnMut(&str),
    stopped: &dyn Fn() -> bool,
) -> Result<Set, Trouble> {
    let folder = cache.join("data").join(spec.name);
    if let Some(set) = cached(&folder, spec)? {
        return Ok(set);
    }
    say(&format!("making data set {} ({}): {} x {}", spec.name, spec.about, spec.vectors, spec.dim));
    let (base, queries) = spec.rows(cache)?;
    let meta = write_set(&folder, (&base, &queries), spec.dim, Metric::L2, stopped)?;
    pinned(spec, &meta)?;
    note(&folder, &meta)?;
    Ok(Set::of(spec.name.to_owned(), folder, &meta))
}

/// Finds the exact neighbours and writes everything but the note that says it is whole.
fn write_set(
    folder: &Path,
    (base, queries): (&[f32], &[f32]),
    dim: usize,
    metric: Metric,
    stopped: &dyn Fn() -> bool,
) -> Result<Meta, Trouble> {
    let kept = KEPT.min(base.len() / dim);
    let truth = truth::exact(base, queries, (dim, metric), kept, stopped).ok_or_else(Trouble::stopped)?;
    let io = |e: std::io::Error| disk(folder, &e);
    fs::create_dir_all(folder).map_err(io)?;
    Ok(Meta {
        version: VERSION,
        metric,
        vectors: base.len() / dim,
        dim,
        queries: queries.len() / dim,
        base: write_rows(&folder.join("base.f32"), base).map_err(io)?,
        query: write_rows(&folder.join("queries.f32"), queries).map_err(io)?,
        truth: write_i32(&folder.join("truth.i32"), &truth.rows).map_err(io)?,
        near: write_rows(&folder.join("near.f32"), &truth.distances).map_err(io)?,
    })
}

/// Says that the set is whole; written last.
fn note(folder: &Path, meta: &Meta) -> Result<(), Trouble> {
    let text = serde_json::to_string_pretty(meta).expect("plain data with text keys");
    fs::write(folder.join("meta.json"), text).map_err(|e| disk(folder, &e))
}

/// Rows as the clustered sets have them, for benchmarks that need no files.
pub fn rows(n: usize, dim: usize) -> Vec<f32> {
    clustered::rows(n, dim, 16, 1)
}

/// What lies in the cache, if it is whole and of this version.
fn cached(folder: &Path, spec: &Spec) -> Result<Option<Set>, Trouble> {
    let there = whole(folder)?.filter(|meta| (meta.dim, meta.vectors) == (spec.dim, spec.vectors));
    let Some(meta) = there else { return Ok(None) };
    pinned(spec, &meta)?;
    Ok(Some(Set::of(spec.name.to_owned(), folder.to_owned(), &meta)))
}

/// What a folder says of itself, if all of it is there and of this version.
fn whole(folder: &Path) -> Result<Option<Meta>, Trouble> {
    let Ok(text) = fs::read_to_string(folder.join("meta.json")) else { return Ok(None) };
    let Ok(meta) = serde_json::from_str::<Meta>(&text) else { return Ok(None) };
    if meta.version != VERSION {
        return Ok(None);
    }
    let files = [("base.f32", &meta.base), ("queries.f32", &meta.query), ("truth.i32", &meta.truth)];
    for (name, written) in files.into_iter().chain([("near.f32", &meta.near)]) {
        let path = folder.join(name);
        match sha256_of(&path) {
            Ok(found) if found == *written => {}
            Ok(_) => {
                return Err(Trouble::environment(
                    format!("{} is not what was made: its digest differs", path.display()),
                    format!("remove the folder {}, it is made anew", folder.display()),
                ));
            }
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(meta))
}

/// A generated set must be the same on every machine.
fn pinned(spec: &Spec, meta: &Meta) -> Result<(), Trouble> {
    match spec.pinned {
        Some(pinned) if pinned != digest(meta) => Err(Trouble::environment(
            format!("data set {} has the digest {}, pinned is {pinned}", spec.name, digest(meta)),
            "report it, with the processor of this machine: arithmetic differs here",
        )),
        _ => Ok(()),
    }
}

/// Of the vectors, the queries, and how they are compared.
fn digest(meta: &Meta) -> String {
    let bytes = format!("{} {}", meta.base.sha256, meta.query.sha256);
    match meta.metric {
        // As it was before there were others: the digests of the sets are pinned.
        Metric::L2 => files::hex(bytes.as_bytes()),
        other => files::hex(format!("{bytes} {}", other.name()).as_bytes()),
    }
}

impl Set {
    fn of(name: String, folder: PathBuf, meta: &Meta) -> Set {
        Set {
            name,
            folder,
            vectors: meta.vectors,
            dim: meta.dim,
            queries: meta.queries,
            digest: digest(meta),
            metric: meta.metric,
            own: None,
        }
    }
}

fn disk(folder: &Path, e: &std::io::Error) -> Trouble {
    Trouble::environment(
        format!("{} cannot be written: {e}", folder.display()),
        "free the disk, or name another folder in GAMEDAY_CACHE",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Wanted {
        Wanted::Known(find("tiny").unwrap())
    }

    #[test]
    fn a_set_is_made_once_and_checked_on_each_use() {
        let cache = tempfile::tempdir().unwrap();
        let mut said = Vec::new();
        let mut prepare = || prepare(cache.path(), &tiny(), &mut |s| said.push(s.to_owned()), &|| false);
        let first = prepare().unwrap();
        let again = prepare().unwrap();
        assert_eq!((first.vectors, first.dim, first.queries), (2_000, 32, 200));
        assert_eq!(first.digest, again.digest);

        let base = first.folder.join("base.f32");
        let mut bytes = fs::read(&base).unwrap();
        bytes[17] ^= 1;
        fs::write(&base, &bytes).unwrap();
        let error = prepare().unwrap_err();
        assert!(error.what.contains("digest differs") && error.remedy.contains("made anew"), "{error}");
        // A torn folder is made anew.
        fs::remove_file(first.folder.join("meta.json")).unwrap();
        assert_eq!(prepare().unwrap().digest, first.digest);
        assert_eq!(said.len(), 2, "{said:?}");
    }

    #[test]
    fn a_real_set_that_was_never_fetched_names_the_remedy() {
        let cache = tempfile::tempdir().unwrap();
        for name in ["glove-100", "wordnet-384"] {
            let wanted = Wanted::Known(find(name).unwrap());
            let error = prepare(cache.path(), &wanted, &mut |_| {}, &|| false).unwrap_err();
            assert!(error.remedy.contains("bench setup --data"), "{error}: {}", error.remedy);
        }
    }

    #[test]
    fn other_bytes_than_the_pinned_ones_are_refused() {
        let cache = tempfile::tempdir().unwrap();
        let mut other = *find("tiny").unwrap();
        other.pinned = Some("0");
        let error = known(cache.path(), &other, &mut |_| {}, &|| false).unwrap_err();
        assert!(error.what.contains("pinned is 0"), "{error}");
        assert!(!cache.path().join("data/tiny/meta.json").exists());
    }

    #[test]
    fn it_can_be_stopped() {
        let cache = tempfile::tempdir().unwrap();
        let error = prepare(cache.path(), &tiny(), &mut |_| {}, &|| true).unwrap_err();
        assert_eq!(error, Trouble::stopped());
        assert!(!cache.path().join("data/tiny/meta.json").exists());
    }
}
