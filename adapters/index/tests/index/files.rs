//! What a file promises: the same bytes each time, the same answers after loading, damage always refused.

use crate::data::{Data, all, both};
use index::{Checksum, Index, IndexSpec, Kind, LoadError, load, save};
use std::fs;

#[test]
fn the_same_vectors_give_the_same_bytes_and_another_seed_others() {
    let data = Data::clustered(2_000, 20, 1, 1);
    for spec in all() {
        let bytes = data.build(&spec).to_bytes();
        assert!(bytes == data.build(&spec).to_bytes());
        assert!(bytes != data.build(&spec.with_seed(1)).to_bytes());
    }
}

/// The bytes are part of the contract: an index rebuilt by another version or on another machine must not differ.
/// If this fails on purpose, say in the change that indexes must be rebuilt.
#[test]
fn the_bytes_are_the_same_on_every_machine() {
    let data = Data::clustered(2_000, 20, 1, 1);
    let sum = |spec: &IndexSpec| Checksum::of(&data.build(spec).to_bytes()).to_string();
    let [hnsw, ivf] = both().map(|spec| sum(&spec));
    // Enough lists for the rounds to be done by integers.
    let many = sum(&IndexSpec { kind: Kind::IvfFlat { nlist: 100, nprobe: 4 }, ..both()[1] });
    assert_eq!(hnsw, "473754196aa0e8e9c22b92264b0a22ec537571819508e635092d50cbb97f37d4");
    let [_, _, sq8, pq] = all().map(|spec| sum(&spec));
    assert_eq!(sq8, "40a7fc53631edb43fcaeb51dfcf5e37fdf3f7dd9cf674f7244852c458f030c16");
    assert_eq!(pq, "e89ef4a8de568d64819da743d26b0975372a9f113e22533fde301ddf07208c5c");
    assert_eq!(many, "430419499280ca86358014451430c6c8b37f97b455393b83b3cd5e44d59e4990");
    assert_eq!(ivf, "9bc5cb49bc80a767d49ca8463f17f80dc7b9db828a29a304f79cded253abf640");
}

#[test]
fn loading_gives_back_what_was_saved() {
    let data = Data::clustered(1_000, 12, 20, 2);
    let folder = tempfile::tempdir().unwrap();
    for spec in all() {
        let index = data.build(&spec);
        let path = folder.path().join("vectors.index");
        let checksum = save(&index, &path).unwrap();
        assert_eq!(checksum, Checksum::of(&fs::read(&path).unwrap()));
        let loaded = load(&path, checksum, &spec).unwrap();
        assert!(loaded.to_bytes() == index.to_bytes());
        for query in data.queries.chunks_exact(12) {
            assert_eq!(loaded.search(query, 10, &|_| true), index.search(query, 10, &|_| true));
        }
    }
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["vectors.index"], "no temporary file stays behind");
}

#[test]
fn another_byte_is_another_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.index");
    let checksum = save(&Data::clustered(100, 4, 1, 3).build(&IndexSpec::hnsw()), &path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[5_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = load(&path, checksum, &IndexSpec::hnsw()).unwrap_err();
    let LoadError::Checksum { expected, found } = error else { panic!("{error}") };
    assert_eq!((expected, found), (checksum, Checksum::of(&bytes)));
    fs::remove_file(&path).unwrap();
    assert!(matches!(load(&path, checksum, &IndexSpec::hnsw()), Err(LoadError::Io { .. })));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_replaced_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let index = Data::clustered(100, 4, 1, 3).build(&IndexSpec::hnsw());
    let said = save(&index, &path).unwrap_err().to_string();
    assert!(said.contains("socket") && said.contains("no regular file"), "{said}");
    assert!(!fs::symlink_metadata(&path).unwrap().is_file(), "as for a device, such as /dev/null");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn whatever_is_written_replaces_the_file_when_all_of_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docs.faiss");
    fs::write(&path, "old").unwrap();
    let full = index::save_with(&path, &mut |to| {
        to.write_all(&[7; 100_000])?;
        Err(std::io::ErrorKind::StorageFull.into())
    });
    assert!(full.unwrap_err().to_string().contains("docs.faiss"));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let sum = index::save_with(&path, &mut |to| to.write_all(b"new")).unwrap();
    assert_eq!((fs::read(&path).unwrap(), sum), (b"new".to_vec(), Checksum::of(b"new")));
    assert_eq!(Checksum::of_file(&path).unwrap(), sum);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays behind");
}

#[test]
fn a_failed_save_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let index = Data::clustered(10, 4, 1, 3).build(&IndexSpec::hnsw());
    let path = folder.path().join("taken");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "kept").unwrap();
    assert!(save(&index, &path).unwrap_err().to_string().contains("taken"));
    assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays behind");
}

#[test]
fn a_file_of_another_spec_is_refused_by_name() {
    let data = Data::clustered(300, 4, 1, 4);
    let [hnsw, ivf] = both();
    let refused = |built: &IndexSpec, kind| {
        let spec = IndexSpec { kind, ..*built };
        Index::from_bytes(&data.build(built).to_bytes(), &spec).unwrap_err().to_string()
    };
    let text = refused(&hnsw, Kind::Hnsw { m: 8, ef_construction: 100, ef: 96 });
    assert!(text.contains("m = 16, expected was 8"), "{text}");
    let text = refused(&hnsw, Kind::Hnsw { m: 16, ef_construction: 200, ef: 96 });
    assert!(text.contains("ef_construction = 100, expected was 200"), "{text}");
    let text = refused(&ivf, Kind::IvfFlat { nlist: 17, nprobe: 4 });
    assert!(text.contains("nlist = 16, expected was 17"), "{text}");
    let pq = all()[3];
    let text = refused(&pq, Kind::IvfPq { nlist: 16, nprobe: 4, m: 2 });
    assert!(text.contains("m = 1, expected was 2"), "{text}");
    assert!(refused(&pq, ivf.kind).contains("no intact index file"));
    assert!(refused(&hnsw, ivf.kind).contains("no intact index file"));
    assert!(refused(&ivf, hnsw.kind).contains("index file"));
    assert!(refused(&ivf, Kind::IvfFlat { nlist: 16, nprobe: 17 }).contains("nprobe"));
}

#[test]
fn what_only_searches_use_is_taken_from_the_spec() {
    let data = Data::clustered(2_000, 16, 50, 5);
    let narrow = [Kind::Hnsw { m: 16, ef_construction: 100, ef: 1 }, Kind::IvfFlat { nlist: 16, nprobe: 1 }];
    for (spec, kind) in both().into_iter().zip(narrow) {
        let wide = data.build(&spec);
        let narrow = Index::from_bytes(&wide.to_bytes(), &IndexSpec { kind, ..spec }).unwrap();
        assert!(data.recall(&narrow, 10, &|_| true) < data.recall(&wide, 10, &|_| true));
    }
}
