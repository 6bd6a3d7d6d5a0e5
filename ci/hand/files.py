"""Reads what the stores of world `local` have on disk, by the description of their files and by nothing else.

Each reader answers with a `Held`: what verifies under each key, which files do not verify, and what is there that no
store puts there. It never asks a running store.
"""
import dataclasses
import hashlib
import json
import pathlib
import sqlite3
import struct
import zlib

STRANGE = 1 << 52
TABLES = ("entity_rows", "definitions", "dependencies", "compatibility", "registered_models", "roles")
BUCKETS = ("gameday", "gameday-backups", "gameday-checkpoints")


@dataclasses.dataclass
class Held:
    """`keys`: key to write number, or to None where the value is that of no write."""
    keys: dict = dataclasses.field(default_factory=dict)
    damaged: dict = dataclasses.field(default_factory=dict)
    strangers: set = dataclasses.field(default_factory=set)


def entries(body, count, dim):
    """Records of the vector node: kind, key, lsn, write number, and the values of one that is there."""
    at = 0
    for _ in range(count):
        kind, key, lsn, ver = struct.unpack_from("<BQQQ", body, at)
        at += 25
        vector = body[at:at + 4 * dim] if kind else None
        at += 4 * dim if kind else 0
        yield key, lsn, ver, vector
    if at != len(body):
        raise ValueError("bytes after the last record")


def segment(path, meta, dim):
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != meta["sha256"] or data[:8] != b"GDSEG01\n":
        raise ValueError("it fails its checksum")
    return list(entries(data[20:], struct.unpack_from("<Q", data, 12)[0], dim))


def log(path, manifest):
    data = path.read_bytes()
    timeline, base = struct.unpack_from("<QQ", data, 8)
    last, length = struct.unpack_from("<QQ", data, 32)
    sound = data[:8] == b"GDWAL01\n" and all(
        zlib.crc32(data[a:b]) == struct.unpack_from("<I", data, b)[0] for a, b in ((0, 24), (32, 48)))
    if not sound or (timeline, base) != (manifest["timeline"], manifest["flushed_lsn"]):
        raise ValueError("its header fails its checksum, or is that of another log")
    found, at, seen = [], 64, base
    while at < len(data):
        size, first, count, crc, head = struct.unpack_from("<IQIII", data, at)
        body = data[at + 24:at + 24 + size]
        if zlib.crc32(data[at:at + 20]) != head or zlib.crc32(body) != crc or first != seen + 1:
            raise ValueError(f"a frame fails its checksum at byte {at}")
        found += entries(body, count, manifest["dim"])
        at, seen = at + 24 + size, seen + count
    if seen < last or at < length:
        raise ValueError(f"it ends at write {seen}, but {last} was acknowledged")
    return found


def manifest_of(folder):
    line, rest = (folder / "MANIFEST").read_text().split("\n", 1)
    if rest != f"sha256:{hashlib.sha256(line.encode()).hexdigest()}\n":
        raise ValueError("it fails its checksum")
    return json.loads(line)


def vector(folder, corpus):
    held, found = Held(), []
    try:
        manifest = manifest_of(folder)
    except (OSError, ValueError) as why:
        held.damaged["MANIFEST"] = str(why)
        return held
    parts = [(meta["file"], lambda path, meta=meta: segment(path, meta, corpus.dim)) for meta in manifest["segments"]]
    for name, read in [*parts, ("wal.log", lambda path: log(path, manifest))]:
        try:
            found += read(folder / name)
        except (OSError, ValueError, struct.error) as why:
            held.damaged[name] = str(why)
    try:
        index = manifest["index"]
        if index and hashlib.sha256((folder / "index.bin").read_bytes()).hexdigest() != index["sha256"]:
            held.damaged["index.bin"] = "it fails its checksum"
    except OSError as why:
        held.damaged["index.bin"] = str(why)
    newest = {}
    for record in found:
        newest[record[0]] = max(newest.get(record[0], record), record, key=lambda r: r[1])
    for key, _, ver, value in newest.values():
        if value is not None:
            held.keys[key] = ver if value == corpus.vector(key, ver) else None
    return held


def features(folder, corpus):
    held = Held()
    db = sqlite3.connect(folder / "features.db")
    try:
        known = {*TABLES, "meta", "changes", "sqlite_sequence"}
        for name, table in db.execute("SELECT name, tbl_name FROM sqlite_master"):
            if not (name in known or table in known and name.startswith("sqlite_autoindex_")):
                held.strangers.add(name)
        for key, ver, event, *values, digest in db.execute("SELECT * FROM entity_rows"):
            if all(v is None for v in values) and key >= 0:
                continue  # a deletion
            right = 0 <= key < STRANGE and 0 <= ver and (event, tuple(values)) == corpus.features(key, ver)
            if key < 0 or corpus.entities <= key < corpus.entities + len(corpus.catalogue):
                held.strangers.add(str(key))
            else:
                held.keys[key] = ver if right else None
        places = {(t, name): (corpus.entities + n, body) for n, (t, name, body) in enumerate(corpus.catalogue)}
        for table in TABLES[1:]:
            for name, ver, _, body, _ in db.execute(f"SELECT * FROM {table}"):
                place = places.get((table, name))
                if place and body is not None:
                    held.keys[place[0]] = ver if body == place[1] else None
                elif body is not None:
                    held.strangers.add(str(name))
    except sqlite3.Error as why:
        held.damaged["features.db"] = str(why)
    finally:
        db.close()
    return held


def changelog(path):
    data = path.read_bytes()
    sound = data[:8] == b"GDCHG01\n" and all(
        zlib.crc32(data[a:b]) == struct.unpack_from("<I", data, b)[0] for a, b in ((0, 16), (32, 48)))
    at = 64
    while sound and at < len(data):
        size, _, crc, head = struct.unpack_from("<IQII", data, at)
        sound = zlib.crc32(data[at:at + 16]) == head and zlib.crc32(data[at + 20:at + 20 + size]) == crc
        at += 20 + size
    if not sound or at < struct.unpack_from("<Q", data, 40)[0]:
        raise ValueError("it fails its checksum, or ends before its mark")


def object_into(held, name, body, corpus):
    """An object of the drill's bucket: its first line says which write it is, and the bytes must be that write's."""
    if len(name) != 20 or not name.isdigit():
        held.strangers.add(name)
        return
    key, words = int(name), body.split(b" ", 5)
    said = len(words) > 5 and words[:4] == [b"gameday", b"object", b"%d" % key, b"write"] and words[4].isdigit()
    ver = int(words[4]) if said and len(words[4]) < 20 else None
    held.keys[key] = ver if ver is not None and body == corpus.object(key, ver) else None


def objects(folder, corpus):
    held = Held()
    try:
        changelog(folder / ".changes" / "log")
    except (OSError, ValueError, struct.error) as why:
        held.damaged["log"] = str(why)
    held.strangers |= {p.name for p in folder.iterdir() if not p.name.startswith(".")} - set(BUCKETS)
    for path in (folder / BUCKETS[0]).rglob("*"):
        if path.is_file():
            object_into(held, str(path.relative_to(folder / BUCKETS[0])), path.read_bytes(), corpus)
    return held


def steps(folder, _corpus):
    """Steps of a job: what is stored for one is right if its checksum says so."""
    held, root = Held(), folder / BUCKETS[2]
    for path in (root / "checkpoints").glob("*"):
        if len(path.name) != 20 or not path.name.isdigit():
            held.strangers.add(path.name)
            continue
        digest = root / "digests" / path.name
        right = digest.exists() and digest.read_bytes() == hashlib.sha256(path.read_bytes()).hexdigest().encode()
        held.keys[int(path.name)] = int(path.name) if right else None
    return held


def read(state, store, corpus):
    role = "object" if store == "gpu" else store
    reader = {"vector": vector, "feature": features, "object": objects, "gpu": steps}[store]
    return reader(pathlib.Path(state) / f"east-{role}", corpus)
