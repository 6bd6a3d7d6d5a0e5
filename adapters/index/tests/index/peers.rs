//! What is exported for FAISS is read by FAISS itself, and answers there as it does here; what is hard to build is searched
//! by hnswlib, which must find as much as in a graph of its own.
//!
//! Needs the Python environment of `gameday bench setup`; where there is none, it says so and checks nothing.

use crate::copies;
use crate::data::{Data, all};
use index::{IndexSpec, Kind, Metric};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

const SCRIPT: &str = r"
import sys, numpy as np, faiss
path, queries, dim, k = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
index = faiss.read_index(path)
if hasattr(index, 'use_precomputed_table'):
    index.use_precomputed_table = 0
for row in index.search(np.fromfile(queries, np.float32).reshape(-1, dim), k)[1]:
    print(' '.join(str(i) for i in row))
";

pub(crate) fn python() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("gameday/peers/bin/python")).filter(|python| python.is_file())
}

#[test]
fn faiss_reads_what_was_exported_and_answers_the_same() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: no Python environment with FAISS; `gameday bench setup` makes it");
        return;
    };
    let (dim, k) = (16, 10);
    let data = Data::clustered(3_000, dim, 100, 6);
    let folder = tempfile::tempdir().unwrap();
    let queries = folder.path().join("queries.f32");
    fs::write(&queries, data.queries.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
        .unwrap();
    for spec in all() {
        for metric in [Metric::L2, Metric::InnerProduct] {
            let kind = match spec.kind {
                Kind::IvfPq { .. } => Kind::IvfPq { nlist: 70, nprobe: 8, m: 4 },
                Kind::IvfSq8 { .. } => Kind::IvfSq8 { nlist: 70, nprobe: 8 },
                other => other,
            };
            let index = data.build(&IndexSpec { kind, metric, ..spec });
            let path = folder.path().join("index.faiss");
            fs::write(&path, index.to_faiss()).unwrap();
            let mut command = Command::new(&python);
            command.args(["-c", SCRIPT]).args([&path, &queries]).args([dim.to_string(), k.to_string()]);
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{kind:?}: {}", String::from_utf8_lossy(&output.stderr));
            let (mut hits, mut asked) = (0, 0);
            for (query, line) in data.queries.chunks_exact(dim).zip(said.lines()) {
                let theirs: Vec<u64> = line.split(' ').map(|id| id.parse().unwrap()).collect();
                let ours = index.search(query, k, &|_| true).unwrap();
                hits += ours.iter().filter(|found| theirs.contains(&found.id)).count();
                asked += k;
            }
            assert_eq!(asked, 100 * k, "FAISS answered every query");
            // Sums in another order, and codes that tie, may swap the last of ten; a graph is entered elsewhere.
            assert!(
                hits * 100 >= asked * 97,
                "{kind:?}, {metric:?}: {hits} of {asked} answers are FAISS's too"
            );
        }
    }
}

const LAW: &str = r"
import sys, numpy as np, hnswlib
path, base, queries, dim, k = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), 10
base, queries = (np.fromfile(p, np.float32).reshape(-1, dim) for p in (base, queries))
ours = hnswlib.Index('l2', dim)
ours.load_index(path)
own = hnswlib.Index('l2', dim)
own.init_index(len(base), M=16, ef_construction=200)
own.add_items(base, num_threads=1)
exact = [((base.astype(float) - q) ** 2).sum(1) for q in queries.astype(float)]
def recall(index, ef):
    index.set_ef(ef)
    hits = 0
    for q, d in zip(queries, exact):
        try:
            found = index.knn_query(q[None], k=k)[0][0].astype(int)
        except RuntimeError:
            return -1.0
        hits += (d[found] <= np.partition(d, k - 1)[k - 1] * (1 + 1e-6)).sum()
    return hits / (k * len(queries))
for ef in (16, 64, 100, 256, 1000):
    print(ef, recall(ours, ef), recall(own, ef))
";

#[test]
fn hnswlib_finds_as_much_as_in_its_own_graph_on_groups_of_equals() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: no Python environment with hnswlib; `gameday bench setup` makes it");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, data) in copies::hard() {
        for (file, values) in [("base", &data.rows), ("queries", &data.queries)] {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            fs::write(at(file), bytes).unwrap();
        }
        fs::write(at("index"), data.build(&copies::spec()).to_bytes()).unwrap();
        let mut command = Command::new(&python);
        command.args(["-c", LAW]).args([at("index"), at("base"), at("queries")]).arg(data.dim.to_string());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.lines().count(), 5, "{name}: {said}");
        for line in said.lines() {
            let [_, ours, own] =
                line.split(' ').map(|word| word.parse::<f64>().unwrap()).collect::<Vec<_>>()[..]
            else {
                panic!("{name}: {line}")
            };
            assert!(ours >= own - 0.01 && ours >= 0.0, "{name}: ef, ours, their own: {line}");
        }
    }
}
