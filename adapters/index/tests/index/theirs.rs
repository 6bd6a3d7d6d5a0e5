//! Files that hnswlib and FAISS wrote are read, with the parameters they say themselves.
//!
//! Needs the Python environment of `gameday bench setup`; where there is none, it says so and checks nothing.

use crate::data::Data;
use crate::peers::python;
use index::{Index, IndexSpec, Kind, Metric, Sample, Vectors, spec_of};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

const SCRIPT: &str = r"
import sys, numpy as np, hnswlib, faiss
base, to, dim = sys.argv[1], sys.argv[2], int(sys.argv[3])
base = np.fromfile(base, np.float32).reshape(-1, dim)
ids = np.arange(len(base)) * 7 + 3
for space in ('l2', 'ip', 'cosine'):
    index = hnswlib.Index(space, dim)
    index.init_index(len(base) + 500, M=11, ef_construction=77)
    index.add_items(base, ids, num_threads=1)
    index.save_index(f'{to}/{space}.bin')
plain = faiss.IndexHNSWFlat(dim, 13)
plain.hnsw.efConstruction = 55
plain.add(base)
faiss.write_index(plain, f'{to}/plain.faiss')
mapped = faiss.IndexIDMap(faiss.IndexHNSWFlat(dim, 13, faiss.METRIC_INNER_PRODUCT))
mapped.add_with_ids(base, ids)
faiss.write_index(mapped, f'{to}/mapped.faiss')
";

/// Whether the index is of the data, and is searched as well as its own library does.
fn sound(name: &str, index: &Index, data: &Data, metric: Metric) {
    let mut go = |_| ControlFlow::Continue(());
    let numbers: Vec<u64> = (0..data.ids.len() as u64).collect();
    let ids = if name == "plain.faiss" { &numbers } else { &data.ids };
    let vectors = Vectors::new(data.dim, ids, &data.rows).unwrap();
    let sample = Sample::drawn(vectors, metric, 10, 200, 0, &mut go).unwrap();
    let found = sample.ask(|query, k| index.search_as_peers(query, k, 100).unwrap(), &mut go).unwrap();
    assert!(found.recall > 0.9 && found.short == 0, "{name}: {found:?}");
    let reach = index.reach().unwrap();
    // Their own graphs leave some out: one of a thousand or so, and of inner products one in ten.
    let most = if metric == Metric::InnerProduct { 5 } else { 100 };
    assert!(reach.unreached < data.ids.len() / most, "{name}: {reach:?}");
    assert_eq!(index.len(), data.ids.len());
}

#[test]
fn files_of_hnswlib_and_faiss_are_read() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: no Python environment with hnswlib; `gameday bench setup` makes it");
        return;
    };
    let data = Data::clustered(3_000, 16, 1, 6);
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base.f32");
    fs::write(&base, data.rows.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).args([&base, folder.path()]).arg(data.dim.to_string());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &Path| fs::read(folder.path().join(name)).unwrap();

    for (name, metric) in
        [("l2.bin", Metric::L2), ("ip.bin", Metric::InnerProduct), ("cosine.bin", Metric::Cosine)]
    {
        let bytes = read(name.as_ref());
        let spec = IndexSpec { metric, ..spec_of(&bytes).unwrap() };
        assert_eq!(spec.kind, Kind::Hnsw { m: 11, ef_construction: 77, ef: 100 }, "{name}");
        sound(name, &Index::from_bytes(&bytes, &spec).unwrap(), &data, metric);
    }
    for (name, metric, ef_construction) in
        [("plain.faiss", Metric::L2, 55), ("mapped.faiss", Metric::InnerProduct, 40)]
    {
        let index = Index::from_faiss(&read(name.as_ref()), metric).unwrap();
        assert_eq!(index.spec().kind, Kind::Hnsw { m: 13, ef_construction, ef: 16 }, "{name}");
        sound(name, &index, &data, metric);
    }
}

#[test]
fn a_file_says_itself_what_it_was_built_with() {
    let data = Data::clustered(300, 4, 1, 4);
    let of = |kind| {
        let bytes = data.build(&IndexSpec { kind, ..IndexSpec::hnsw() }).to_bytes();
        spec_of(&bytes).unwrap().kind
    };
    let hnsw = Kind::Hnsw { m: 5, ef_construction: 33, ef: 100 };
    assert_eq!(of(hnsw), hnsw);
    let flat = Kind::IvfFlat { nlist: 17, nprobe: 3 };
    let sq8 = Kind::IvfSq8 { nlist: 17, nprobe: 3 };
    let pq = Kind::IvfPq { nlist: 17, nprobe: 3, m: 2 };
    assert_eq!([flat, sq8, pq].map(of), [flat, sq8, pq]);
    for garbage in [&b""[..], b"IVFFLAT\0", &[0; 200], &[0xff; 200]] {
        assert!(spec_of(garbage).is_err());
    }
}
