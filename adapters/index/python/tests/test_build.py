"""What Python's users rely on. Needs the installed wheel, numpy, hnswlib and faiss: ci/wheel."""

import contextlib
import errno
import hashlib
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import faiss
import gameday_index
import hnswlib
import numpy as np

K = 10


def clustered(n, dim, queries=100):
    """Overlapping clusters of about 100 vectors; queries come from the same."""
    rng = np.random.default_rng(1)
    centres = 2 * rng.standard_normal((max(n // 100, 1), dim))

    def draw(count):
        return (centres[rng.integers(len(centres), size=count)] + rng.standard_normal((count, dim))).astype(np.float32)

    return draw(n), draw(queries)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def exact(rows, queries, metric):
    """The K nearest rows of each query."""
    rows, queries = rows.astype(float), queries.astype(float)
    if metric == "cosine":
        rows, queries = unit(rows), unit(queries)
    distances = -queries @ rows.T
    if metric == "l2":
        distances = 2 * distances + (rows**2).sum(1)
    return np.argsort(distances, axis=1)[:, :K]


def recall(found, truth):
    return np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), truth.tolist())])


def by_hnswlib(path, metric, queries, k=K):
    index = hnswlib.Index(metric, queries.shape[1])
    index.load_index(str(path))
    index.set_ef(100)
    return index.knn_query(queries, k=k)[0].astype(np.int64)


def by_faiss(path, metric, queries, k=K):
    index = faiss.read_index(str(path))
    return index.search(unit(queries) if metric == "cosine" else queries, k)[1]


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / "docs.bin"

    def build(self, array, **arguments):
        return gameday_index.build(array, path=self.path, **arguments)

    def left(self):
        return sorted(os.listdir(self.folder))

    @contextlib.contextmanager
    def refused(self, error, text=""):
        """That is raised, and there is no file."""
        with self.assertRaisesRegex(error, text):
            yield
        self.assertEqual(self.left(), [])


class Opened(Case):
    """Files are opened by those that they are for."""

    rows, queries = clustered(6_000, 32)
    ids = np.arange(6_000) * 7 + 3

    def check(self, found, metric, least=0.95):
        truth = self.ids[exact(self.rows, self.queries, metric)]
        self.assertGreaterEqual(recall(found, truth), least)

    def test_hnsw_by_both(self):
        for metric in ("l2", "ip", "cosine"):
            with self.subTest(metric=metric):
                info = self.build(self.rows, metric=metric, ids=self.ids)
                self.check(by_hnswlib(self.path, metric, self.queries), metric)
                self.assertGreaterEqual(info.recall, 0.95)
                self.build(self.rows, metric=metric, ids=self.ids, to="faiss")
                self.check(by_faiss(self.path, metric, self.queries), metric)

    def test_lists_by_faiss(self):
        for kind in ("ivf_flat", "ivf_sq8", "ivf_pq"):
            for metric in ("l2", "ip", "cosine"):
                with self.subTest(kind=kind, metric=metric):
                    info = self.build(self.rows, kind=kind, metric=metric, m=32, nlist=64, nprobe=64, ids=self.ids, to="faiss")
                    # Even with a part for each value, codes of ivf_pq swap neighbours that are about as far.
                    self.check(by_faiss(self.path, metric, self.queries), metric, 0.9 if kind == "ivf_pq" else 0.95)
                    self.assertIsNone(info.recall)

    def test_the_usual_numbers_of_lists(self):
        self.build(self.rows, kind="ivf_flat", ids=self.ids, to="faiss")
        index = faiss.read_index(str(self.path))
        self.assertEqual((index.nlist, index.nprobe), (308, 38))

    def test_one_row(self):
        row, ids = self.rows[:1], self.ids[:1]
        for kind in ("hnsw", "ivf_flat", "ivf_sq8", "ivf_pq"):
            with self.subTest(kind=kind):
                info = self.build(row, kind=kind, to="faiss", ids=ids)
                self.assertEqual((info.vectors, info.dim), (1, 32))
                self.assertEqual(by_faiss(self.path, "l2", row, k=1).tolist(), [[3]])
        self.build(row, ids=ids)
        self.assertEqual(by_hnswlib(self.path, "l2", row, k=1).tolist(), [[3]])

    def test_no_rows(self):
        none = self.rows[:0]
        info = self.build(none, ids=[], to="faiss")
        self.assertEqual((info.vectors, info.dim, info.recall), (0, 32, None))
        self.assertEqual(by_faiss(self.path, "l2", self.queries[:1], k=1).tolist(), [[-1]])
        self.build(none)
        index = hnswlib.Index("l2", 32)
        index.load_index(str(self.path), max_elements=1)
        self.assertEqual(index.get_current_count(), 0)
        self.path.unlink()
        with self.refused(ValueError, "there are no vectors"):
            self.build(none, kind="ivf_flat", to="faiss")

    def test_info(self):
        info = self.build(self.rows)
        self.assertEqual((info.vectors, info.dim, info.path), (6_000, 32, str(self.path)))
        self.assertEqual(info.sha256, hashlib.sha256(self.path.read_bytes()).hexdigest())
        self.assertGreater(info.seconds, 0)
        self.assertEqual(self.left(), ["docs.bin"])
        mode = self.folder / "mode"
        mode.touch()
        self.assertEqual(self.path.stat().st_mode, mode.stat().st_mode)

    def test_a_name_without_a_folder(self):
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            gameday_index.build(self.rows[:10], path="docs.bin")
        finally:
            os.chdir(before)
        self.assertEqual(self.left(), ["docs.bin"])


class Arrays(Case):
    """What may be given, and what may not."""

    rows = np.arange(300, dtype=np.float32).reshape(100, 3) % 17

    def test_rows_in_order_are_not_copied(self):
        self.assertIs(gameday_index._rows(self.rows), self.rows)

    def test_other_numbers_and_orders_make_the_same_file(self):
        unaligned = np.frombuffer(b"x" + self.rows.tobytes(), np.float32, offset=1).reshape(100, 3)
        readonly = self.rows.copy()
        readonly.flags.writeable = False
        wide = np.zeros((100, 8), np.float32)
        wide[:, 2:5] = self.rows
        expected = self.build(self.rows).sha256
        for array in [
            *(self.rows.astype(dtype) for dtype in (np.float64, np.float16, np.int64, np.uint8, ">f4")),
            np.asfortranarray(self.rows),
            wide[:, 2:5],
            unaligned,
            readonly,
            self.rows.tolist(),
        ]:
            self.assertEqual(self.build(array).sha256, expected)

    def test_no_numbers(self):
        for array in (self.rows.astype(complex), self.rows.astype(str), self.rows.astype(object)):
            with self.refused(TypeError, "same_kind"):
                self.build(array)

    def test_no_rows_of_values(self):
        for array, text in [
            (self.rows[0], r"\(n, dim\), not \(3,\)"),
            (self.rows.reshape(10, 10, 3), r"not \(10, 10, 3\)"),
            (np.zeros((5, 0), np.float32), "a vector of 0 values"),
            (np.zeros((1, 65_537), np.float32), "a vector of 65537 values"),
        ]:
            with self.refused(ValueError, text):
                self.build(array)

    def test_values_without_distances(self):
        for value in (np.nan, np.inf, 1e30):
            array = self.rows.copy()
            array[7, 1] = value
            with self.refused(ValueError, r"row 7 \(id 7\)"):
                self.build(array)

    def test_ids(self):
        for ids in (np.arange(100, dtype=np.int32), list(range(100)), np.arange(200)[::2] // 2):
            self.assertEqual(self.build(self.rows, ids=ids).sha256, self.build(self.rows).sha256)
        most = np.arange(100, dtype=np.uint64) + (2**64 - 100)
        self.build(self.rows, ids=most)
        self.assertGreaterEqual(int(by_hnswlib(self.path, "l2", self.rows[:1], k=1).astype(np.uint64)[0, 0]), 2**64 - 100)
        self.path.unlink()
        with self.refused(ValueError, "use 0 to 9223372036854775807"):
            self.build(self.rows, ids=most, to="faiss")
        with self.refused(ValueError, "ids are -1 to 98"):
            self.build(self.rows, ids=np.arange(-1, 99))
        with self.refused(ValueError, "id 5 occurs twice"):
            self.build(self.rows, ids=[5] * 100)
        with self.refused(ValueError, r"\(100,\), not \(99,\)"):
            self.build(self.rows, ids=range(99))
        with self.refused(TypeError, "not float64"):
            self.build(self.rows, ids=np.zeros(100))

    def test_other_arguments(self):
        for arguments, text in [
            ({"kind": "tree"}, "kind is 'tree': use hnsw"),
            ({"metric": "dot"}, "metric is 'dot': use l2"),
            ({"to": "disk"}, "to is 'disk': use hnswlib"),
            ({"kind": "ivf_flat"}, "use to='faiss'"),
            ({"kind": "ivf_pq", "to": "faiss"}, "choose an `m` that divides 3"),
            ({"kind": "ivf_flat", "to": "faiss", "nlist": 4, "nprobe": 5}, "`nprobe` is 5: use 1 to 4"),
            ({"m": 1}, "`m` is 1: use 2 to 256"),
            ({"m": -1}, "m is -1: use 0 to 4294967295"),
            ({"seed": 2**64}, "seed is 18446744073709551616"),
        ]:
            with self.refused(ValueError, text):
                self.build(self.rows, **arguments)
        with self.refused(TypeError, "'float'"):
            self.build(self.rows, m=1.5)


class Places(Case):
    """Where the file is to be."""

    rows, _ = clustered(500, 8)

    def test_a_missing_folder(self):
        with self.refused(FileNotFoundError, "none/docs.bin"):
            gameday_index.build(self.rows, path=self.folder / "none" / "docs.bin")

    def test_what_is_no_file(self):
        self.path.mkdir()
        with self.assertRaises(FileExistsError):
            self.build(self.rows)
        self.assertEqual(self.left(), ["docs.bin"])

    def test_a_disk_that_is_too_small(self):
        self.path.write_bytes(b"before")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, limits[1]))
        try:
            with self.assertRaises(OSError) as caught:
                self.build(self.rows)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.assertEqual(caught.exception.errno, errno.EFBIG)
        self.assertEqual((self.left(), self.path.read_bytes()), (["docs.bin"], b"before"))

    def test_a_file_is_replaced_by_a_whole_one(self):
        self.path.write_bytes(b"before")

        def progress(done):
            self.assertEqual(self.path.read_bytes(), b"before")

        with self.assertRaises(ValueError):
            self.build(self.rows, m=1)
        self.assertEqual((self.left(), self.path.read_bytes()), (["docs.bin"], b"before"))
        info = self.build(self.rows, progress=progress)
        self.assertEqual(hashlib.sha256(self.path.read_bytes()).hexdigest(), info.sha256)
        self.assertEqual(self.left(), ["docs.bin"])


# A build that its parent interrupts when it is under way.
CHILD = """
import signal, sys
import gameday_index, numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)
array = np.random.default_rng(1).standard_normal((200_000, 64), dtype=np.float32)
heard = []
def progress(done):
    heard.append(done)
    if len(heard) == 1:
        print("under way", flush=True)
try:
    gameday_index.build(array, path=sys.argv[1], progress=progress)
except KeyboardInterrupt:
    sys.exit(7 if heard[-1] < 1 else "not before the end")
"""


class Meanwhile(Case):
    """What happens while an index is built."""

    def test_progress_rises_to_one(self):
        heard = []
        self.build(clustered(20_000, 32)[0], progress=heard.append)
        self.assertGreater(len(heard), 2)
        self.assertTrue(all(a < b for a, b in zip(heard, heard[1:])), heard)
        self.assertTrue(heard[0] > 0 and heard[-1] == 1.0, heard)

    def test_what_progress_raises_ends_the_build(self):
        def enough(done):
            raise LookupError("enough")

        with self.refused(LookupError, "enough"):
            self.build(clustered(20_000, 32)[0], progress=enough)

    def test_other_threads_run(self):
        ticks, over = [], threading.Event()

        def tick():
            while not over.wait(0.005):
                ticks.append(time.perf_counter())

        thread = threading.Thread(target=tick)
        thread.start()
        began = time.perf_counter()
        info = self.build(clustered(20_000, 64)[0])
        ended = time.perf_counter()
        over.set()
        thread.join()
        during = sum(began < at < ended for at in ticks)
        self.assertGreater(during, 20 * info.seconds, f"in {info.seconds} s")

    def test_ctrl_c_ends_it(self):
        self.path.write_bytes(b"before")
        with subprocess.Popen([sys.executable, "-c", CHILD, self.path], stdout=subprocess.PIPE) as child:
            self.assertEqual(child.stdout.readline(), b"under way\n")
            self.assertEqual(len(self.left()), 2)
            child.send_signal(signal.SIGINT)
        self.assertEqual(child.returncode, 7)
        self.assertEqual((self.left(), self.path.read_bytes()), (["docs.bin"], b"before"))


if __name__ == "__main__":
    unittest.main()
