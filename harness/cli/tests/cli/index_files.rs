//! `gameday index`: files of vectors, built, verified and converted; what goes wrong leaves nothing behind.

use std::{
    fs,
    process::{Command, Output},
    time::{Duration, Instant},
};

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;

use crate::desk::{Answer, Desk};

/// Values that look drawn, the same each time.
fn values(rows: usize, dim: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..rows * dim).map(|_| draw()).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
    header.resize(117, b' ');
    header.push(b'\n');
    [b"\x93NUMPY\x01\x00", &118u16.to_le_bytes()[..], &header, data].concat()
}

/// A desk with `v.npy` on it.
fn desk(rows: usize, dim: usize) -> Desk {
    let desk = Desk::new();
    let data = npy("<f4", &format!("({rows}, {dim})"), &bytes(&values(rows, dim)));
    fs::write(desk.path("v.npy"), data).expect("a file can be written");
    desk
}

fn good(answer: &Answer) -> &str {
    assert_eq!(answer.code, 0, "{}{}", answer.stdout, answer.stderr);
    &answer.stdout
}

/// What lies on the desk beside the fixtures.
fn left(desk: &Desk) -> Vec<String> {
    let entries = fs::read_dir(desk.path("")).expect("the desk is there").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".toml")).collect();
    names.sort();
    names
}

#[test]
fn a_graph_is_built_verified_and_converted() {
    let desk = desk(3_000, 16);
    let built = desk.gameday("index build v.npy --metric cosine --out docs.bin");
    let said = good(&built);
    assert!(said.contains("hnsw of 3000 x 16, cosine: ") && said.contains("recall@10 "), "{said}");
    assert_eq!(left(&desk), ["docs.bin", "docs.bin.json", "v.npy"]);
    let notes: Value = serde_json::from_str(&desk.read("docs.bin.json")).unwrap();
    assert_eq!((&notes["kind"], &notes["m"], &notes["vectors"]), (&"hnsw".into(), &16.into(), &3_000.into()));
    assert!(said.contains(notes["sha256"].as_str().unwrap()), "{said}");

    let verified = desk.gameday("index verify docs.bin --data v.npy");
    let said = good(&verified);
    let signs: Vec<&str> = said.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(signs, ["ok"; 5], "{said}");
    fs::write(desk.path("q.npy"), npy("<f4", "(3, 16)", &bytes(&values(3, 16)))).unwrap();
    let asked = desk.gameday("index verify docs.bin --queries q.npy --json");
    let asked: Value = serde_json::from_str(good(&asked)).unwrap();
    assert_eq!((&asked["ok"], &asked["checks"][3]["ok"]), (&true.into(), &Value::Null));
    assert!(asked["checks"][4]["words"].as_str().unwrap().contains("in 3 searches"), "{asked}");

    good(&desk.gameday("index convert docs.bin --to faiss --out docs.faiss"));
    assert!(fs::read(desk.path("docs.faiss")).unwrap().starts_with(b"IxMp"));
    let converted: Value = serde_json::from_str(&desk.read("docs.faiss.json")).unwrap();
    assert_eq!((&converted["layout"], &converted["recall"]), (&"faiss".into(), &notes["recall"]));
    good(&desk.gameday("index build v.npy --metric cosine --to faiss --out direct.faiss"));
    let read_back = desk.gameday("index verify docs.faiss --data v.npy");
    assert_eq!(good(&read_back).matches("ok  ").count(), 5, "{}", read_back.stdout);
    good(&desk.gameday("index convert docs.faiss --to hnswlib --out back.bin"));
    assert!(fs::read(desk.path("back.bin")).unwrap() == fs::read(desk.path("docs.bin")).unwrap());
    assert!(fs::read(desk.path("direct.faiss")).unwrap() == fs::read(desk.path("docs.faiss")).unwrap());
}

#[test]
fn lists_of_every_kind_are_built() {
    let desk = desk(2_000, 8);
    for (kind, more) in [("ivf_flat", ""), ("ivf_sq8", "--nlist 20 --nprobe 20"), ("ivf_pq", "--pq-m 4")] {
        let line = format!("index build v.npy --kind {kind} --metric l2 {more}");
        let built = desk.gameday(&format!("{line} --to gameday --out lists --json"));
        let built: Value = serde_json::from_str(good(&built)).unwrap();
        let recall = built["notes"]["recall"].as_f64().unwrap();
        assert!(recall > if kind == "ivf_pq" { 0.2 } else { 0.5 }, "{kind}: {recall}");
        assert!(built["recall_by"].as_str().unwrap().contains("nprobe"), "{built}");
        let verified = desk.gameday("index verify lists --data v.npy --min-recall 0.2");
        assert!(good(&verified).contains("the data"), "{}", verified.stdout);
        good(&desk.gameday("index convert lists --to faiss --out lists.faiss"));
        good(&desk.gameday(&format!("{line} --out direct.faiss")));
        assert!(fs::read(desk.path("direct.faiss")).unwrap() == fs::read(desk.path("lists.faiss")).unwrap());
        let lists = desk.gameday("index verify direct.faiss");
        assert!(lists.code == 1 && lists.stdout.contains("another kind of FAISS's"), "{}", lists.stdout);
    }
}

#[test]
fn every_format_gives_the_same_index() {
    let desk = desk(500, 8);
    let data = values(500, 8);
    fs::write(desk.path("v.f32"), bytes(&data)).unwrap();
    let row = |row: &[f32]| [&8i32.to_le_bytes()[..], &bytes(row)].concat();
    fs::write(desk.path("v.fvecs"), data.chunks(8).flat_map(row).collect::<Vec<u8>>()).unwrap();
    let header = "{\"emb\":{\"dtype\":\"F32\",\"shape\":[500,8],\"data_offsets\":[0,16000]}}";
    let tensors = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes(&data)].concat();
    fs::write(desk.path("v.safetensors"), tensors).unwrap();
    for (at, file) in ["v.npy", "v.f32 --dim 8", "v.fvecs", "v.safetensors --tensor emb"].iter().enumerate() {
        good(&desk.gameday(&format!("index build {file} --metric ip --out {at}.bin")));
        assert!(fs::read(desk.path(&format!("{at}.bin"))).unwrap() == fs::read(desk.path("0.bin")).unwrap());
    }
}

#[test]
fn ids_are_in_the_index() {
    let desk = desk(50, 4);
    let ids: Vec<u8> = (0..50u64).flat_map(|id| (1_000 - id).to_le_bytes()).collect();
    fs::write(desk.path("ids.npy"), npy("<u8", "(50,)", &ids)).unwrap();
    good(&desk.gameday("index build v.npy --ids ids.npy --metric l2 --out docs.bin"));
    good(&desk.gameday("index verify docs.bin --data v.npy --ids ids.npy"));
    let other = desk.gameday("index verify docs.bin --data v.npy");
    assert_eq!(other.code, 1);
    assert!(other.stdout.contains("FAIL  vectors    id "), "{}", other.stdout);
}

#[test]
fn damage_and_other_vectors_are_found() {
    let desk = desk(1_000, 8);
    good(&desk.gameday("index build v.npy --metric l2 --out docs.bin"));
    let whole = fs::read(desk.path("docs.bin")).unwrap();
    let refused = |bytes: &[u8], data: &str, words: &[&str]| {
        fs::write(desk.path("docs.bin"), bytes).unwrap();
        let answer = desk.gameday(&format!("index verify docs.bin {data}"));
        assert_eq!(answer.code, 1, "{}{}", answer.stdout, answer.stderr);
        assert!(words.iter().all(|word| answer.stdout.contains(word)), "{}", answer.stdout);
        let converted = desk.gameday("index convert docs.bin --to faiss --out no.faiss");
        assert!(data.contains("--data") || converted.code == 2, "{}", converted.stderr);
    };
    refused(&whole[..whole.len() - 1], "", &["FAIL  structure  ", "ends early", "FAIL  checksum"]);
    // A value of a vector: links and header make sense still.
    let mut changed = whole.clone();
    changed[96 + 4 + 128 + 2] ^= 1;
    refused(&changed, "", &["ok    structure", "FAIL  checksum"]);
    refused(&changed, "--data v.npy", &["FAIL  vectors    the vector of id", "FAIL  checksum"]);
    // A node whose links all lead to itself leads nowhere.
    let node = 4 + 128 + 32 + 8;
    let mut cut = whole.clone();
    for at in 0..1_000usize {
        let links = 96 + at * node + 4;
        (0..32).for_each(|link| cut[links + 4 * link..][..4].copy_from_slice(&(at as u32).to_le_bytes()));
    }
    refused(&cut, "", &["ok    structure", "FAIL  reach      999 vectors", "FAIL  recall"]);
    refused(b"", "", &["FAIL  structure"]);
    let other = npy("<f4", "(1000, 8)", &bytes(&values(1_001, 8)[8..]));
    fs::write(desk.path("other.npy"), other).unwrap();
    refused(&whole, "--data other.npy", &["FAIL  vectors    the vector of id", "ok    checksum"]);
    fs::write(desk.path("docs.bin"), &whole).unwrap();
    fs::remove_file(desk.path("docs.bin.json")).unwrap();
    assert_eq!(desk.gameday("index verify docs.bin").code, 2, "nobody says the metric");
    let plain = desk.gameday("index verify docs.bin --metric l2");
    assert!(good(&plain).contains("-     checksum   there is no docs.bin.json"), "{}", plain.stdout);
}

#[test]
fn a_file_of_hnswlib_with_room_for_more_is_read() {
    let desk = desk(300, 4);
    good(&desk.gameday("index build v.npy --metric l2 --m 7 --ef-construction 33 --out docs.bin"));
    let mut bytes = fs::read(desk.path("docs.bin")).unwrap();
    bytes[8..16].copy_from_slice(&5_000u64.to_le_bytes());
    fs::write(desk.path("theirs.bin"), bytes).unwrap();
    let said = desk.gameday("index verify theirs.bin --metric l2 --data v.npy");
    assert!(good(&said).contains("m 7, ef_construction 33"), "{}", said.stdout);
    good(&desk.gameday("index convert theirs.bin --metric l2 --to hnswlib --out ours.bin"));
    assert!(fs::read(desk.path("ours.bin")).unwrap() == fs::read(desk.path("docs.bin")).unwrap());
}

#[test]
fn what_cannot_be_built_is_refused_with_a_remedy_and_nothing_is_written() {
    let desk = desk(100, 6);
    fs::write(desk.path("ints.npy"), npy("<i4", "(2, 2)", &[0; 16])).unwrap();
    fs::write(desk.path("short.npy"), npy("<f4", "(4000000000, 128)", &[0; 16])).unwrap();
    fs::create_dir(desk.path("folder")).unwrap();
    let before = left(&desk);
    for (line, what, remedy) in [
        ("ints.npy --metric l2 --out o", "values of type <i4", "astype"),
        ("short.npy --metric l2 --out o", "ends early", "write it anew"),
        ("none.npy --metric l2 --out o", "cannot read none.npy", "can be read"),
        ("folder --metric l2 --out o", "no regular file", "name the file"),
        ("v.npy --metric l2 --out folder", "no regular file", "--out"),
        ("v.npy --metric l2 --out none/o", "no such folder", "--out"),
        ("v.npy --metric l2 --out v.npy", "to read from", "--out"),
        ("v.npy --metric l2 --out o --nlist 5", "--nlist has no meaning for hnsw", "--kind"),
        ("v.npy --metric l2 --out o --m 1", "`m` is 1", "--help"),
        ("v.npy --metric l2 --out o --to gameday", "hnswlib's", "--to hnswlib"),
        ("v.npy --metric l2 --out o --kind ivf_flat --to hnswlib", "graphs only", "--to faiss"),
        ("v.npy --metric l2 --out o --kind ivf_pq", "how many parts", "--pq-m"),
        ("v.npy --metric l2 --out o --kind ivf_pq --pq-m 4", "divides 6", "--help"),
        ("v.npy --metric l2 --out o --ids v.npy", "ids of type <f4", "astype"),
    ] {
        let answer = desk.gameday(&format!("index build {line}"));
        assert_eq!(answer.code, 2, "{line}: {}{}", answer.stdout, answer.stderr);
        let (said, then) = answer.stderr.split_once("\n  remedy: ").unwrap_or_default();
        assert!(said.contains(what) && then.contains(remedy), "{line}: {}", answer.stderr);
        assert_eq!(left(&desk), before, "{line}");
    }
}

#[test]
fn recall_below_the_wanted_one_keeps_the_file_that_was_there() {
    let desk = desk(2_000, 24);
    fs::write(desk.path("lists"), "old").unwrap();
    let line = "index build v.npy --kind ivf_flat --nlist 100 --nprobe 1 --metric l2 --out lists";
    let poor = desk.gameday(&format!("{line} --min-recall 0.99"));
    assert_eq!(poor.code, 1, "{}{}", poor.stdout, poor.stderr);
    assert!(poor.stdout.contains("below 0.99: nothing was written"), "{}", poor.stdout);
    assert_eq!((desk.read("lists").as_str(), left(&desk)), ("old", vec!["lists".into(), "v.npy".into()]));
    good(&desk.gameday(&format!("{line} --min-recall 0.01")));
    assert_eq!(left(&desk), ["lists", "lists.json", "v.npy"]);
}

fn shell(desk: &Desk, script: &str) -> Output {
    let program = cargo_bin("gameday");
    let script = script.replace("gameday", &program.to_string_lossy());
    Command::new("sh").args(["-c", &script]).current_dir(desk.path("")).output().expect("there is a shell")
}

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    let desk = desk(5_000, 32);
    fs::write(desk.path("docs.bin"), "old").unwrap();
    // No file may become longer than 500 KB; the signal about it is not heard, as of a disk there is none.
    let script = "trap '' XFSZ; ulimit -f 1000; exec gameday index build v.npy --metric l2 --out docs.bin";
    let output = shell(&desk, script);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("docs.bin") && said.contains("free the disk"), "{said}");
    assert_eq!(
        (desk.read("docs.bin").as_str(), left(&desk)),
        ("old", vec!["docs.bin".into(), "v.npy".into()])
    );
}

#[test]
fn a_build_that_memory_cannot_hold_is_refused_before_it_begins() {
    let desk = Desk::new();
    // A hole in a file: a TiB that takes no room.
    let file = fs::File::create(desk.path("huge.f32")).unwrap();
    if file.set_len(1 << 40).is_err() {
        return;
    }
    let began = Instant::now();
    let answer = desk.gameday("index build huge.f32 --dim 65536 --metric l2 --out docs.bin");
    assert_eq!(answer.code, 3, "{}{}", answer.stdout, answer.stderr);
    let said = &answer.stderr;
    assert!(
        said.contains("GiB are available") && said.contains("ivf_sq8") && said.contains("--force"),
        "{said}"
    );
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(left(&desk), ["huge.f32"]);
}

/// Whether a process handles SIGINT.
fn listens(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 2 != 0)
}

#[test]
fn a_build_that_is_stopped_leaves_nothing() {
    let desk = desk(200_000, 64);
    let mut child = Command::new(cargo_bin("gameday"))
        .args(["index", "build", "v.npy", "--metric", "l2", "--out", "docs.bin"])
        .current_dir(desk.path(""))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It listens before it reads, and builds for seconds.
    while !listens(child.id()) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be stopped");
        std::thread::sleep(Duration::from_millis(10));
    }
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let code = child.wait().unwrap().code();
    assert_eq!((code, left(&desk)), (Some(4), vec!["v.npy".to_owned()]));
}
