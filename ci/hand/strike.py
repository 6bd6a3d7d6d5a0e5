"""What an outside hand does to the files of running stores: each kind is a function, and each stroke says what it hit.

A stroke hits a key, a file that holds many keys, or adds a stranger. One store gets either a stroke at a file, which
would hide every other, or strokes at keys of its own.
"""
import dataclasses
import hashlib
import os
import pathlib
import random
import shutil
import sqlite3
import struct

import files

LOADED = 1 << 40


@dataclasses.dataclass
class Stroke:
    store: str
    kind: str
    what: str
    target: object

    def __str__(self):
        return f"{self.store}: {self.kind} ({self.what} {self.target})"


class Hand:
    """One drill's hand. `ledger` is what the journal says at the moment of the strokes."""

    def __init__(self, state, corpus, seed):
        self.state, self.corpus, self.chance = pathlib.Path(state), corpus, random.Random(seed)
        self.taken, self.ledger = set(), None

    def folder(self, store):
        return self.state / f"east-{'object' if store == 'gpu' else store}"

    def remember(self):
        """Keeps copies of today's files, to put them back when they are old."""
        self.old = self.state.parent / "hand-old"
        self.old.mkdir()
        for name in ("east-vector/MANIFEST", "east-vector/wal.log", "east-object/.changes/log"):
            if (self.state / name).exists():
                shutil.copy(self.state / name, self.old / pathlib.Path(name).name)
        if (self.state / "east-feature").exists():
            with sqlite3.connect(self.state / "east-feature/features.db") as db, \
                    sqlite3.connect(self.old / "features.db") as copy:
                db.backup(copy)

    def key(self, store, wanted=lambda key: True):
        """A key that is there, that load leaves alone if one such is there, and that no other stroke hit."""
        def there(key, states):
            return len(states) == 1 and None not in states and wanted(key) and (store, key) not in self.taken
        keys = sorted(k for k, states in self.ledger.allowed[store].items() if there(k, states))
        quiet = [k for k in keys if self.is_quiet(store, k)] or keys
        key = self.chance.choice(quiet if self.chance.random() < 0.95 else keys)
        self.taken.add((store, key))
        return key, next(iter(self.ledger.allowed[store][key]))

    def is_quiet(self, store, key):
        """Load inserts records that it never touches again, and overwrites some of those that were there."""
        if store == "vector":
            return key >= LOADED or key % 2 == 0
        return key >= LOADED or store == "gpu" or store == "feature" and not self.is_entity(key)

    # Objects: each is a file.

    def path(self, key):
        return self.folder("object") / "gameday" / f"{key:020}"

    def object_bit(self):
        key, _ = self.key("object")
        flip(self.path(key), self.chance)
        return key

    def object_cut(self):
        key, _ = self.key("object")
        os.truncate(self.path(key), self.chance.randrange(self.corpus.size))
        return key

    def object_removed(self):
        key, _ = self.key("object")
        self.path(key).unlink()
        return key

    def object_replaced(self):
        """Another object's bytes, by a file renamed over it."""
        key, _ = self.key("object")
        rename_over(self.path(key), self.corpus.object(key + 1, 0))
        return key

    def object_of_another_write(self):
        """A sound object, of a write that never was the last."""
        key, ver = self.key("object")
        rename_over(self.path(key), self.corpus.object(key, ver + 1_000_000))
        return key

    def objects_swapped(self):
        (one, _), (two, _) = self.key("object"), self.key("object")
        a, b = self.path(one).read_bytes(), self.path(two).read_bytes()
        rename_over(self.path(one), b)
        rename_over(self.path(two), a)
        return one

    def object_added(self):
        key = LOADED * 2 + self.chance.randrange(1 << 30)
        self.path(key).write_bytes(self.corpus.object(key, 7))
        return key

    def object_foreign(self):
        name = f"x/stranger-{self.chance.randrange(1 << 30)}.bin"
        path = self.folder("object") / "gameday" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"hello")
        return name

    def bucket_added(self):
        name = f"stranger-{self.chance.randrange(1 << 30)}"
        (self.folder("object") / name).mkdir()
        return name

    # Features: rows of a database, changed by another of its users.

    def sql(self, *statements):
        db = sqlite3.connect(self.folder("feature") / "features.db", timeout=5)
        with db:
            for statement in statements:
                assert db.execute(*statement).rowcount == 1, statement
        db.close()

    def row(self, wanted=lambda key: True):
        """A row of the database: table, name of the key's column, key there, and key of the ledger."""
        key, _ = self.key("feature", wanted)
        place = key - self.corpus.entities
        if 0 <= place < len(self.corpus.catalogue):
            table, name, _ = self.corpus.catalogue[place]
            return table, "name", name, key
        return "entity_rows", "key", key, key

    def row_value(self):
        table, column, name, key = self.row()
        value = "body = replace(body, ':', ': ')" if column == "name" else "f3 = f3 * (1 + 2.3e-16)"
        self.sql((f"UPDATE {table} SET {value} WHERE {column} = ?", (name,)))
        return key

    def row_with_digest(self):
        """Values of nobody's, with the digest that the store would have given them."""
        _, _, name, key = self.row(self.is_entity)
        ver, (event, values) = 0, self.corpus.features(key + 1, 0)
        head = b"row\0" + struct.pack("<QQqB", name, ver, event, 1) + struct.pack("<8d", *values)
        columns = ", ".join(f"f{n} = ?" for n in range(8))
        self.sql((f"UPDATE entity_rows SET ver = ?, event_us = ?, {columns}, digest = ? WHERE key = ?",
                  (ver, event, *values, hashlib.sha256(head).digest(), name)))
        return key

    def is_entity(self, key):
        return not 0 <= key - self.corpus.entities < len(self.corpus.catalogue)

    def row_null(self):
        _, _, name, key = self.row(self.is_entity)
        self.sql(("UPDATE entity_rows SET f5 = NULL WHERE key = ?", (name,)))
        return key

    def row_removed(self):
        table, column, name, key = self.row()
        self.sql((f"DELETE FROM {table} WHERE {column} = ?", (name,)))
        return key

    def row_renumbered(self):
        """Moved to a key that nobody wrote; the row that was there is gone."""
        _, _, name, key = self.row(self.is_entity)
        self.sql(("UPDATE entity_rows SET key = ? WHERE key = ?", (LOADED * 3 + self.chance.randrange(1 << 30), name)))
        return key

    def add_row(self, key, **changed):
        event, values = self.corpus.features(abs(key), 9)
        values = [changed.get(f"f{n}", value) for n, value in enumerate(values)]
        marks = ", ".join("?" * 12)
        self.sql((f"INSERT INTO entity_rows VALUES ({marks})", (key, 9, event, *values, b"\0" * 32)))
        return key

    def row_added(self):
        return self.add_row(LOADED * 2 + self.chance.randrange(1 << 30))

    def row_negative(self):
        return str(self.add_row(-1 - self.chance.randrange(1 << 30)))

    def row_added_with_null(self):
        return self.add_row(LOADED * 4 + self.chance.randrange(1 << 30), f2=None)

    def role_added(self):
        name = f"stranger-{self.chance.randrange(1 << 30)}"
        self.sql(("INSERT INTO roles VALUES (?, 1, 0, '{\"grants\":[\"define\"]}', ?)", (name, b"\0" * 32)))
        return name

    def made(self, statement):
        name = f"stranger_{self.chance.randrange(1 << 30)}"
        db = sqlite3.connect(self.folder("feature") / "features.db", timeout=5)
        db.execute(statement.format(name))
        db.close()
        return name

    def view_added(self):
        return self.made("CREATE VIEW {} AS SELECT key, 0.0 AS f0 FROM entity_rows")

    def table_added(self):
        return self.made("CREATE TABLE {} (a)")

    def trigger_added(self):
        return self.made("CREATE TRIGGER {} AFTER UPDATE ON roles BEGIN DELETE FROM roles WHERE name = 'x'; END")

    def older_database(self):
        """Yesterday's file renamed over the one that runs, its log of today removed."""
        for end in ("-wal", "-shm", ""):
            (self.folder("feature") / f"features.db{end}").unlink()
        rename_over(self.folder("feature") / "features.db", (self.old / "features.db").read_bytes())
        return "features.db"

    # Vectors: files that are read when the node starts.

    def vector_file(self):
        names = ["MANIFEST", "wal.log", "index.bin"]
        return self.chance.choice([*names, *(m["file"] for m in files.manifest_of(self.folder("vector"))["segments"])])

    def vector_bit(self):
        name = self.vector_file()
        flip(self.folder("vector") / name, self.chance)
        return name

    def vector_cut(self):
        path = self.folder("vector") / (name := self.vector_file())
        os.truncate(path, self.chance.randrange(path.stat().st_size))
        return name

    def vector_removed(self):
        name = self.vector_file()
        (self.folder("vector") / name).unlink()
        return name

    def vector_older(self):
        """An older log, in place of today's."""
        rename_over(self.folder("vector") / "wal.log", (self.old / "wal.log").read_bytes())
        return "wal.log"

    def rewritten(self, change):
        """A segment and its manifest written anew with every checksum right, one record changed."""
        folder = self.folder("vector")
        manifest = files.manifest_of(folder)
        logged = {r[0] for r in files.log(folder / "wal.log", manifest)}
        meta = manifest["segments"][0]
        dim = self.corpus.dim
        records = files.segment(folder / meta["file"], meta, dim)
        inside = {r[0] for r in records} - logged
        key, _ = self.key("vector", lambda key: key in inside)
        records = change(records, key)
        body = b"".join(struct.pack("<BQQQ", v is not None, k, lsn, ver) + (v or b"") for k, lsn, ver, v in records)
        data = b"GDSEG01\n" + struct.pack("<IQ", dim, len(records)) + body
        rename_over(folder / meta["file"], data)
        meta.update(sha256=hashlib.sha256(data).hexdigest(), entries=len(records))
        line = files.json.dumps(manifest, separators=(",", ":"))
        rename_over(folder / "MANIFEST", f"{line}\nsha256:{hashlib.sha256(line.encode()).hexdigest()}\n".encode())
        return key

    def vector_forged(self):
        other = self.corpus.vector(1, 77)
        return self.rewritten(lambda all_of, key: [(k, n, r, other if k == key else v) for k, n, r, v in all_of])

    def vector_dropped(self):
        return self.rewritten(lambda all_of, key: [r for r in all_of if r[0] != key])

    def vector_added(self):
        added = LOADED * 2 + self.chance.randrange(1 << 30)
        lsn = files.manifest_of(self.folder("vector"))["flushed_lsn"]
        self.rewritten(lambda all_of, _: [*all_of, (added, lsn, 9, self.corpus.vector(added, 9))])
        return added

    # A job's checkpoints: an object for each step, its checksum in another.

    def step(self):
        key, _ = self.key("gpu")
        root = self.folder("gpu") / "gameday-checkpoints"
        return key, root / "checkpoints" / f"{key:020}", root / "digests" / f"{key:020}"

    def checksum_removed(self):
        key, _, digest = self.step()
        digest.unlink()
        return key

    def checksum_changed(self):
        key, _, digest = self.step()
        flip(digest, self.chance)
        return key

    def checkpoint_bit(self):
        key, body, _ = self.step()
        flip(body, self.chance)
        return key

    def checkpoint_removed(self):
        key, body, _ = self.step()
        body.unlink()
        return key

    def log_bit(self):
        flip(self.folder("object") / ".changes/log", self.chance)
        return "log"

    def log_older(self):
        rename_over(self.folder("object") / ".changes/log", (self.old / "log").read_bytes()[:-1])
        return "log"

    def log_removed(self):
        (self.folder("object") / ".changes/log").unlink()
        return "log"


def flip(path, chance):
    """One bit of a file, in place: the process that has it open has the same file."""
    with open(path, "r+b") as file:
        at = chance.randrange(os.fstat(file.fileno()).st_size)
        file.seek(at)
        byte = file.read(1)[0] ^ 1 << chance.randrange(8)
        file.seek(at)
        file.write(bytes([byte]))


def rename_over(path, data):
    fresh = path.with_name(f".{path.name}.hand")
    fresh.write_bytes(data)
    fresh.rename(path)


KEYS = {
    "object": ["object_bit", "object_cut", "object_removed", "object_replaced", "object_of_another_write",
               "objects_swapped", "object_added"],
    "feature": ["row_value", "row_with_digest", "row_null", "row_removed", "row_renumbered", "row_added",
                "row_added_with_null"],
    "vector": ["vector_forged", "vector_dropped", "vector_added"],
    "gpu": ["checksum_removed", "checksum_changed", "checkpoint_bit", "checkpoint_removed"],
}
STRANGERS = {
    "object": ["object_foreign", "bucket_added"],
    "feature": ["row_negative", "role_added", "view_added", "table_added", "trigger_added"],
}
FILES = {
    "vector": ["vector_bit", "vector_cut", "vector_removed", "vector_older"],
    "object": ["log_bit", "log_older", "log_removed"],
    "feature": ["older_database"],
}


def chosen(chance, stores, count, kinds=(KEYS, STRANGERS, FILES)):
    """So many strokes for one drill: store, kind, and what it hits."""
    by_keys, by_strangers, by_files = kinds
    # A job's checkpoints lie in the object store: without its log there are none.
    whole = [s for s in stores if s in by_files and "gpu" not in stores and chance.random() < (0.6 if s == "vector" else 0.15)]
    strokes = [(s, chance.choice(by_files[s]), "file") for s in whole]
    by_key = [s for s in stores if s not in whole]
    while len(strokes) < count and by_key:
        store = chance.choice(by_key)
        if store in by_strangers and chance.random() < 0.3:
            strokes.append((store, chance.choice(by_strangers[store]), "stranger"))
        else:
            strokes.append((store, chance.choice(by_keys[store]), "key"))
    return strokes if len(strokes) == count else chosen(chance, stores, count, kinds)
