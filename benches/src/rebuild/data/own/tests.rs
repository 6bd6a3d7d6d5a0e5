use std::fs;

use super::*;
use crate::rebuild::{Whose, data::rows as clustered};

/// Rows as a `.fvecs`.
fn fvecs(path: &Path, dim: usize, values: &[f32]) {
    let mut bytes = Vec::new();
    for row in values.chunks_exact(dim) {
        bytes.extend(u32::try_from(dim).unwrap().to_le_bytes());
        row.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
    }
    fs::write(path, bytes).unwrap();
}

struct Desk(tempfile::TempDir);

impl Desk {
    fn files(&self, n: usize, queries: Option<usize>, metric: Metric) -> OwnFiles {
        let values = clustered(n + queries.unwrap_or(0), 16);
        let path = |name: &str| self.0.path().join(name);
        fvecs(&path("mine.fvecs"), 16, &values[..n * 16]);
        fvecs(&path("asked.fvecs"), 16, &values[n * 16..]);
        let queries = queries.map(|_| path("asked.fvecs"));
        OwnFiles { vectors: path("mine.fvecs"), queries, metric, options: Options::default() }
    }

    fn prepared(&self, files: &OwnFiles) -> (Set, usize) {
        let mut said = 0;
        let own = Own::look(files.clone()).unwrap();
        let set = prepare(self.0.path(), &own, &mut |_| said += 1, &|| false).unwrap();
        (set, said)
    }
}

fn desk() -> Desk {
    Desk(tempfile::tempdir().unwrap())
}

#[test]
fn rows_are_held_out_where_there_are_no_queries_and_are_in_no_index() {
    let desk = desk();
    let files = desk.files(2_000, None, Metric::L2);
    let (set, said) = desk.prepared(&files);
    assert_eq!((set.name.as_str(), set.vectors, set.queries, said), ("mine.fvecs", 1_800, 200, 1));
    assert_eq!(set.own, Some(Described { metric: Metric::L2, queries: None }));
    let (base, queries) = rows(&files).unwrap();
    let held: Vec<&[f32]> = queries.chunks(16).collect();
    assert!(base.chunks(16).all(|row| !held.contains(&row)));
    // Of the same contents nothing is made twice; of others everything is.
    let (again, said) = desk.prepared(&files);
    assert_eq!((again.digest == set.digest, said), (true, 0));
    let (other, said) = desk.prepared(&OwnFiles { metric: Metric::Ip, ..files });
    assert_eq!((other.digest == set.digest, said), (false, 1));
    let (more, said) = desk.prepared(&desk.files(2_010, None, Metric::L2));
    assert_eq!((more.digest == set.digest, said), (false, 1));
}

#[test]
fn queries_of_their_own_leave_all_rows_in_the_index() {
    let desk = desk();
    let (set, _) = desk.prepared(&desk.files(1_000, Some(20), Metric::Cosine));
    assert_eq!((set.vectors, set.queries, set.metric), (1_000, 20, Metric::Cosine));
    let base = files::read_rows(&set.folder.join("base.f32")).unwrap();
    assert!(base.chunks(16).all(|row| (norm(row) - 1.0).abs() < 1e-6));
}

#[test]
fn what_does_not_fit_is_refused_with_its_file_and_the_fix() {
    let desk = desk();
    let refused = |files: OwnFiles, words: [&str; 2]| {
        let error = Own::look(files).unwrap_err();
        assert_eq!(error.whose, Whose::Usage);
        assert!(error.what.contains(words[0]) && error.what.contains("fvecs"), "{error}");
        assert!(error.remedy.contains(words[1]), "{}", error.remedy);
    };
    refused(desk.files(1_100, None, Metric::L2), ["1100 vectors, of which a tenth", "1000 vectors or more"]);
    refused(desk.files(999, Some(20), Metric::L2), ["999 vectors: too few", "1000 vectors or more"]);
    refused(desk.files(1_000, Some(9), Metric::L2), ["9 queries", "leave --queries out"]);
    let files = desk.files(1_000, Some(20), Metric::L2);
    fvecs(&desk.0.path().join("asked.fvecs"), 8, &[0.5; 160]);
    refused(files.clone(), ["queries of 8 values, ", "the same model"]);
    fs::write(desk.0.path().join("mine.fvecs"), [1, 2, 3]).unwrap();
    refused(files, ["ends early", "copy it again"]);
}

#[test]
fn rows_without_direction_are_built_and_never_asked() {
    let desk = desk();
    let mut files = desk.files(2_000, None, Metric::Cosine);
    let mut values = clustered(2_000, 16);
    values[..1_000 * 16].fill(0.0);
    fvecs(&files.vectors, 16, &values);
    let (base, queries) = rows(&files).unwrap();
    assert_eq!((base.len(), queries.len()), (1_800 * 16, 200 * 16));
    assert!(queries.chunks(16).all(|query| norm(query) > 0.9));
    files.queries = Some(files.vectors.clone());
    let error = rows(&files).unwrap_err();
    assert!(error.what.contains("query 0 has length zero"), "{error}");
}
