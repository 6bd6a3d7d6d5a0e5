"""One build, or the searches of some files, by a peer of gameday; a line of JSON on stdout.

    peer.py versions
    peer.py build PEER KIND DATA FILE THREADS NLIST
    peer.py search SEARCHER KIND DATA PASSES SETTINGS FILE..

Importing and reading the vectors is not timed; building, writing and syncing the file is. gameday starts one process
for each build, so that peak memory and warm caches are the build's own.
"""

import ctypes
import hashlib
import json
import os
import signal
import sys
import time

import numpy as np

M, EF_CONSTRUCTION, K = 16, 200, 10


def rows(folder, name, dim, kind=np.float32):
    return np.fromfile(os.path.join(folder, name), kind).reshape(-1, dim)


def meta(folder):
    with open(os.path.join(folder, "meta.json")) as file:
        return json.load(file)


def machine_ticks():
    """Ticks that all processors worked, and that the hypervisor took."""
    with open("/proc/stat") as file:
        v = [int(x) for x in file.readline().split()[1:9]]
    return sum(v) - v[3] - v[4], v[7]


def memory(figure):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(figure))


def forget_peak():
    """From here on, the peak of memory is the build's."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


class Clock:
    """Wall, own and foreign processor time between start and stop."""

    def __init__(self):
        self.before = memory("VmRSS")
        forget_peak()
        self.busy, self.stolen = machine_ticks()
        self.own = sum(os.times()[:4])
        self.wall = time.perf_counter()

    def stop(self):
        wall = time.perf_counter() - self.wall
        own = sum(os.times()[:4]) - self.own
        busy, stolen = machine_ticks()
        tick = os.sysconf("SC_CLK_TCK")
        stolen = (stolen - self.stolen) / tick
        return {
            "seconds": wall,
            "cpu_seconds": own,
            "foreign_seconds": max(0.0, (busy - self.busy) / tick - own - stolen),
            "stolen_seconds": stolen,
            "peak_bytes": memory("VmHWM"),
            "before_bytes": self.before,
        }


def sync(path):
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def build(peer, kind, folder, path, threads, nlist):
    about = meta(folder)
    base = rows(folder, "base.f32", about["dim"])
    n, dim = base.shape
    if peer == "hnswlib":
        import hnswlib

        clock = Clock()
        index = hnswlib.Index(space="l2", dim=dim)
        index.init_index(max_elements=n, ef_construction=EF_CONSTRUCTION, M=M)
        index.set_num_threads(threads)
        index.add_items(base, np.arange(n))
        built = time.perf_counter()
        index.save_index(path)
    elif peer == "faiss":
        import faiss

        faiss.omp_set_num_threads(threads)
        clock = Clock()
        if kind == "hnsw":
            index = faiss.IndexHNSWFlat(dim, M)
            index.hnsw.efConstruction = EF_CONSTRUCTION
        else:
            coarse = faiss.IndexFlatL2(dim)
            if kind == "ivf_flat":
                index = faiss.IndexIVFFlat(coarse, dim, nlist)
            elif kind == "ivf_sq8":
                index = faiss.IndexIVFScalarQuantizer(coarse, dim, nlist, faiss.ScalarQuantizer.QT_8bit)
            else:
                # Parts of one length, of at least eight values.
                m = next((m for m in range(dim // 8, 0, -1) if dim % m == 0), 1)
                index = faiss.IndexIVFPQ(coarse, dim, nlist, m, 8)
            index.train(base)
        index.add(base)
        built = time.perf_counter()
        faiss.write_index(index, path)
    elif peer == "usearch":
        from usearch.index import Index

        clock = Clock()
        index = Index(ndim=dim, metric="l2sq", dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION)
        index.add(np.arange(n), base, threads=threads)
        built = time.perf_counter()
        index.save(path)
    else:
        sys.exit(f"{peer} is no peer")
    sync(path)
    done = time.perf_counter()
    figures = clock.stop()
    figures["seconds"] = done - clock.wall
    figures["write_seconds"] = done - built
    figures["file_bytes"] = os.path.getsize(path)
    with open(path, "rb") as file:
        figures["file_digest"] = hashlib.file_digest(file, "sha256").hexdigest()
    return figures


def loaded(searcher, path, dim):
    """A function that searches at a setting, on one thread."""
    if searcher == "hnswlib":
        import hnswlib

        index = hnswlib.Index(space="l2", dim=dim)
        index.load_index(path)
        index.set_num_threads(1)

        def search(queries, setting):
            index.set_ef(max(setting, K))
            return lambda: index.knn_query(queries, K)[0]

    elif searcher == "faiss":
        import faiss

        faiss.omp_set_num_threads(1)
        index = faiss.read_index(path)
        # A graph with ids of its own is wrapped; the settings are inside.
        inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index

        def search(queries, setting):
            if hasattr(inner, "hnsw"):
                inner.hnsw.efSearch = setting
            else:
                inner.nprobe = setting
            return lambda: index.search(queries, K)[1]

    elif searcher == "usearch":
        from usearch.index import Index

        index = Index.restore(path)

        def search(queries, setting):
            index.expansion_search = setting
            return lambda: index.search(queries, K, threads=1).keys

    else:
        sys.exit(f"{searcher} is no searcher")
    return search


def recall(found, truth, near):
    """Hits among the true ten; what is as near as the tenth counts as one of them."""
    allowed = np.where(near <= near[:, K - 1 : K] * (1 + 1e-6), truth, -1)
    found = np.asarray(found).astype(np.int64)
    hits = (found[:, :, None] == allowed[:, None, :]).any(2).sum(1)
    return float(np.minimum(hits, K).mean() / K)


def search(searcher, kind, folder, passes, settings, paths):
    """Every file at every setting, in turn, so that whoever disturbs disturbs all alike; the best pass counts."""
    about = meta(folder)
    dim = about["dim"]
    queries = rows(folder, "queries.f32", dim)
    kept = about["truth"]["bytes"] // 4 // about["queries"]
    truth, near = rows(folder, "truth.i32", kept, np.int32), rows(folder, "near.f32", kept)
    files = [loaded(searcher, path, dim) for path in paths]
    recalls, speeds = {}, {}
    for _ in range(passes):
        for setting in settings:
            for i, file in enumerate(files):
                run = file(queries, setting)
                began = time.perf_counter()
                found = run()
                speed = len(queries) / (time.perf_counter() - began)
                if (i, setting) not in recalls:
                    recalls[i, setting] = recall(found, truth, near)
                speeds[i, setting] = max(speeds.get((i, setting), 0.0), speed)
    return [
        [{"setting": s, "recall": recalls[i, s], "qps": speeds[i, s]} for s in settings]
        for i in range(len(paths))
    ]


def versions():
    from importlib.metadata import version

    import faiss  # noqa: F401  Imported to see that they can be.
    import hnswlib  # noqa: F401
    import usearch  # noqa: F401

    names = {"hnswlib": "hnswlib", "faiss": "faiss-cpu", "usearch": "usearch"}
    return {name: version(package) for name, package in names.items()}


def main(words):
    # Whoever started this waits for it; where that one was killed, nobody does.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if words[0] == "versions":
        answer = versions()
    elif words[0] == "build":
        peer, kind, folder, path, threads, nlist = words[1:]
        answer = build(peer, kind, folder, path, int(threads), int(nlist))
    elif words[0] == "search":
        searcher, kind, folder, passes, settings = words[1:6]
        settings = [int(s) for s in settings.split(",")]
        answer = search(searcher, kind, folder, int(passes), settings, words[6:])
    else:
        sys.exit(f"{words[0]} is no command")
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
