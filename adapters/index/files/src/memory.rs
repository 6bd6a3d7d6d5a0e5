//! How much memory a build needs, told before it begins; and how much there is.
//!
//! Everything that grows with the vectors is counted, at the moment when most of it is there:
//!
//! | kind | what is in memory |
//! |---|---|
//! | HNSW | the vectors in the order of the graph (and once more scaled or widened, where the metric wants it), links of layer 0 and those they are made from, what the leaves found |
//! | `IVF_FLAT` | the vectors in the order of the lists, or the training set while there is none |
//! | `IVF_SQ8`, `IVF_PQ` | codes, or the training set while there are none |
//!
//! Vectors that are mapped are not counted: their pages come and go. Vectors that were converted are.

use index::{IndexSpec, Kind, Metric};
use std::fs;
use std::path::{Path, PathBuf};

/// Leaves a row is in, at most, and neighbours found in each.
const LEAVES: u64 = 16;
const NEAR: u64 = 4;
/// Training vectors of a centroid, and of a part.
const TRAINING: u64 = 256;
const PARTS: u64 = 256;
/// What does not grow: threads, buffers, the program.
const BASE: u64 = 32 << 20;

/// The bytes that a build of `n` vectors of `dim` values needs, roughly; `mapped` says whether the vectors are.
pub fn need(spec: &IndexSpec, n: usize, dim: usize, mapped: bool) -> u64 {
    let (n, dim) = (n as u64, dim as u64);
    let vectors = n.saturating_mul(4 * dim);
    let given = if mapped { 0 } else { vectors };
    let scaled = if spec.metric == Metric::Cosine { vectors } else { 0 };
    let ids = 16 * n;
    let kept = match spec.kind {
        Kind::Hnsw { m, ef_construction, .. } => {
            let widened = if spec.metric == Metric::InnerProduct { 2 * (vectors + 4 * n) } else { 0 };
            vectors + widened + graph(n, m.into(), ef_construction.into())
        }
        Kind::IvfFlat { nlist, .. } => vectors.max(training(n, dim, nlist)) + lists(n),
        Kind::IvfSq8 { nlist, .. } => (n * dim).max(training(n, dim, nlist)) + lists(n),
        Kind::IvfPq { nlist, m, .. } => {
            let (m, parts) = (u64::from(m), n.min(PARTS * TRAINING));
            // A part of all rows for each thread, and the parts of the training set.
            let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
            let in_work = threads.min(m) * (dim / m.max(1)) * (4 * n + 2 * parts);
            (2 * n * m + in_work).max(training(n, dim, nlist)) + lists(n)
        }
    };
    [given, scaled, ids, kept].into_iter().fold(BASE, u64::saturating_add)
}

/// Links of layer 0 while they are made mutual: those there are, who leads to whom, and the new ones beside room for the
/// graph's. Before that, what was found in the leaves, in both directions.
fn graph(n: u64, m: u64, ef_construction: u64) -> u64 {
    let blocks = n * 4 * (1 + 2 * m);
    let leaves = (ef_construction * 12).div_ceil(200).clamp(4, LEAVES);
    let found = n * leaves * (4 + 2 * NEAR + 2 * 4 * NEAR);
    (4 * blocks).max(2 * blocks + found)
}

/// The training set of the centroids, in 16 bits a value: a quarter of the lists' own is hardly ever more.
fn training(n: u64, dim: u64, nlist: u32) -> u64 {
    let set = n.min(u64::from(nlist) * TRAINING);
    let width = if nlist < 64 { 4 } else { 1 };
    set * (width * dim + 8)
}

/// Which list each row is in, and the rows of each.
fn lists(n: u64) -> u64 {
    16 * n
}

/// The memory that this process may still take, as far as the system tells: what is available, or what is left to its group.
pub fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| figure(&text, "MemAvailable:"));
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let group = group.and_then(|text| left_to(Path::new("/sys/fs/cgroup"), &text));
    machine.into_iter().chain(group).min()
}

/// A figure of `/proc/meminfo`, in bytes.
fn figure(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// The least that is left to a control group (of the second version) and to those above it.
fn left_to(root: &Path, groups: &str) -> Option<u64> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folders: Vec<PathBuf> = Path::new(path).ancestors().map(|path| root.join(path)).collect();
    folders.iter().filter_map(|folder| left(folder)).min()
}

/// The limit of a group, less what it holds and cannot give back: files in its memory can be read again.
fn left(group: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let most: u64 = read("memory.max")?.trim().parse().ok()?;
    let held: u64 = read("memory.current")?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let of = |name: &str| -> u64 {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    let files = of("inactive_file") + of("active_file");
    Some(most.saturating_sub(held.saturating_sub(files)))
}

/// Bytes as a person reads them.
pub fn human(bytes: impl Into<u128>) -> String {
    let bytes = bytes.into();
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_understood() {
        let text = "MemTotal:       24689764 kB\nMemAvailable:    1000 kB\n";
        assert_eq!(figure(text, "MemAvailable:"), Some(1_024_000));
        assert_eq!(figure("MemFree: 1 kB", "MemAvailable:"), None);
        assert!(available().is_none_or(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn the_narrowest_group_counts_and_files_in_memory_do_not() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        let write = |folder: &Path, name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write(&inner, "memory.max", "max\n");
        write(&inner, "memory.current", "500\n");
        assert_eq!(left_to(root.path(), "0::/outer/inner\n"), None);
        let outer = root.path().join("outer");
        write(&outer, "memory.max", "10000\n");
        write(&outer, "memory.current", "4000\n");
        write(&outer, "memory.stat", "anon 1000\ninactive_file 2500\nactive_file 500\n");
        assert_eq!(left_to(root.path(), "1:cpu:/x\n0::/outer/inner\n"), Some(9_000));
        write(&inner, "memory.max", "700\n");
        assert_eq!(left_to(root.path(), "0::/outer/inner\n"), Some(200));
        assert_eq!(left_to(root.path(), "1:cpu:/outer\n"), None);
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(human(5u64), "5 bytes");
        assert_eq!(human(13_207_024_435u64), "12.3 GiB");
        assert_eq!(human(1_572_864u64), "1.5 MiB");
    }
}
