//! Whether parts of a backup are of one moment, from their bytes alone; and the archives that they travel in.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::vector_backup::Copies;
use crate::milvus::Digest;

/// The metadata.
pub(super) const METADATA: &str = "etcd";
/// Everything on the disk of a Milvus that is not a cache.
pub(super) const PARTS: [&str; 3] = [METADATA, "rocksmq", "rocksmq_meta_kv"];
/// Before the number of each segment in the metadata: `datacoord-meta/s/{collection}/{partition}/{segment}`.
const SEGMENT_KEY: &[u8] = b"datacoord-meta/s/";

/// Numbers of the collection's segments that the bytes of the metadata name, given up ones among them.
pub(super) fn named(metadata: &[u8], collection: i64) -> BTreeSet<i64> {
    let mut all = BTreeSet::new();
    let (key, prefix) = (SEGMENT_KEY, format!("{collection}/"));
    for at in finds(metadata, key) {
        let rest = &metadata[at + key.len()..];
        let Some(rest) = rest.strip_prefix(prefix.as_bytes()) else { continue };
        let text: Vec<u8> =
            rest.iter().take(48).copied().take_while(|b| b.is_ascii_digit() || *b == b'/').collect();
        let text = String::from_utf8(text).unwrap_or_default();
        all.extend(text.split('/').nth(1).and_then(|number| number.parse::<i64>().ok()));
    }
    all
}

fn finds<'a>(all: &'a [u8], what: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = what.first().copied().unwrap_or_default();
    let starts = all.iter().enumerate().filter(move |(_, byte)| **byte == first).map(|(at, _)| at);
    starts.filter(move |at| all[*at..].starts_with(what))
}

/// Whether parts and objects are of the same moment.
///
/// # Errors
/// With what is wrong, in words.
pub(super) fn agree(copies: &Copies, parts: &BTreeMap<String, Bytes>) -> Result<(), String> {
    for part in PARTS {
        let (wanted, found) = (copies.parts.get(part), parts.get(part).map(|bytes| Digest::of(bytes)));
        if wanted.is_none() || wanted == found.as_ref() {
            continue;
        }
        let Some(bytes) = parts.get(part) else { return Err(format!("{part} is missing")) };
        // The archive of another moment is as good an archive as this one.
        let whole = bytes.len() > 512 && bytes.get(257..262) == Some(b"ustar");
        if !whole || part != METADATA {
            return Err(format!("{part} is damaged, or of another moment than the objects"));
        }
        let (known, wanted) = (named(bytes, copies.collection), copies.segments.len());
        let knows = copies.segments.keys().filter(|id| known.contains(id)).count();
        let more = known.len() - knows;
        return Err(format!(
            "metadata and objects are of different moments: the metadata knows {knows} of the {wanted} segments that \
             the objects belong to, and {more} others"
        ));
    }
    if let Some(part) = PARTS.iter().find(|part| !copies.parts.contains_key(**part)) {
        return Err(format!("it holds objects only, and no {part}"));
    }
    let known = parts.get(METADATA).map(|bytes| named(bytes, copies.collection)).unwrap_or_default();
    for id in copies.segments.keys() {
        if !known.contains(id) {
            return Err(format!(
                "metadata and objects are of different moments: no metadata of segment {id}"
            ));
        }
        let folder = id.to_string();
        if !copies.manifest.objects.keys().any(|key| key.split('/').any(|word| word == folder)) {
            return Err(format!("metadata and objects are of different moments: no object of segment {id}"));
        }
    }
    Ok(())
}

/// An archive of one small file, or of one folder, whose name ends with a slash.
pub(super) fn tar(name: &str, body: &[u8]) -> Bytes {
    let folder = name.ends_with('/');
    let mut head = [0u8; 512];
    let mut put = |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name.get(..name.len().min(99)).unwrap_or_default());
    put(100, if folder { "0000700" } else { "0000600" });
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", body.len()));
    put(136, "00000000000");
    // Counted as blanks in the sum.
    put(148, "        ");
    put(156, if folder { "5" } else { "0" });
    put(257, "ustar\u{0}00");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut all = head.to_vec();
    all.extend_from_slice(body);
    all.resize(all.len().next_multiple_of(512) + 1024, 0);
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::milvus::Manifest;
    use proptest::prelude::*;

    fn metadata(segments: &[i64]) -> Bytes {
        let mut all = tar("etcd/", b"").to_vec();
        for id in segments {
            all.extend_from_slice(format!("\u{1}by-dev/meta/datacoord-meta/s/7/70/{id}\u{2}").as_bytes());
        }
        all.extend_from_slice(b"datacoord-meta/s/8/80/9999 of another collection");
        all.into()
    }

    fn backup(segments: &[i64]) -> (Copies, BTreeMap<String, Bytes>) {
        let parts = BTreeMap::from([
            (METADATA.to_owned(), metadata(segments)),
            ("rocksmq".to_owned(), tar("rocksmq/", b"")),
            ("rocksmq_meta_kv".to_owned(), tar("rocksmq_meta_kv/", b"")),
        ]);
        let object = |id: &i64| (format!("files/insert_log/7/70/{id}/101/1"), Digest::of(b"rows"));
        let copies = Copies {
            collection: 7,
            segments: segments.iter().map(|id| (*id, 10)).collect(),
            manifest: Manifest { objects: segments.iter().map(object).collect() },
            parts: parts.iter().map(|(part, bytes)| (part.clone(), Digest::of(bytes))).collect(),
        };
        (copies, parts)
    }

    #[test]
    fn parts_of_one_moment_agree_and_others_are_told() {
        let (copies, parts) = backup(&[441, 442]);
        assert_eq!(agree(&copies, &parts), Ok(()));
        let with = |part: &str, bytes: Bytes| {
            let mut parts = parts.clone();
            parts.insert(part.to_owned(), bytes);
            agree(&copies, &parts).unwrap_err()
        };
        let older = with(METADATA, metadata(&[441]));
        assert!(older.contains("different moments") && older.contains("knows 1 of the 2"), "{older}");
        let newer = with(METADATA, metadata(&[441, 442, 443]));
        assert!(newer.contains("knows 2 of the 2") && newer.contains("1 others"), "{newer}");
        assert!(with(METADATA, Bytes::from_static(b"rot")).contains("damaged"));
        assert!(with("rocksmq", tar("rocksmq/x", b"y")).contains("rocksmq is damaged, or of another moment"));
        let (mut fewer, parts) = backup(&[441, 442]);
        fewer.manifest.objects.retain(|key, _| !key.contains("442"));
        assert!(agree(&fewer, &parts).unwrap_err().contains("no object of segment 442"));
        let (mut plain, parts) = backup(&[441]);
        plain.parts.remove("rocksmq");
        assert!(agree(&plain, &parts).unwrap_err().contains("no rocksmq"));
    }

    #[test]
    fn an_archive_of_our_own_is_one() {
        let dir = tempfile::tempdir().unwrap();
        for (name, body) in [("some-folder/", &b""[..]), ("a.file", b"its body")] {
            let path = dir.path().join("x.tar");
            std::fs::write(&path, tar(name, body)).unwrap();
            let mut tar = std::process::Command::new("tar");
            assert!(tar.arg("-C").arg(dir.path()).arg("-xf").arg(&path).status().unwrap().success());
        }
        assert!(dir.path().join("some-folder").is_dir());
        assert_eq!(std::fs::read(dir.path().join("a.file")).unwrap(), b"its body");
    }

    proptest! {
        #[test]
        fn no_bytes_stop_the_look_at_metadata(bytes in proptest::collection::vec(any::<u8>(), 0..400), at: prop::sample::Index) {
            let mut bytes = bytes;
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, b"datacoord-meta/s/7/".iter().copied());
            named(&bytes, 7);
        }
    }
}
