"""One build, or the searches of some files, by a peer of gameday; a line of JSON on stdout.

    peer.py versions
    peer.py version MODULE PACKAGE
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

from libraries import BUILDERS, RAN, SEARCHERS, K


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


def files_of(path):
    """A file, or all files of a folder, in order."""
    if os.path.isfile(path):
        return [path]
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)


def sync(path):
    for name in files_of(path):
        handle = os.open(name, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def digest(path):
    if os.path.isfile(path):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256("".join(digest(name) for name in files_of(path)).encode()).hexdigest()


def build(peer, kind, folder, path, threads, nlist):
    about = meta(folder)
    metric = about.get("metric", "l2")
    base = rows(folder, "base.f32", about["dim"])
    make = BUILDERS[peer](kind, metric, base, threads, nlist)
    clock = Clock()
    save = make()
    built = time.perf_counter()
    save(path)
    sync(path)
    done = time.perf_counter()
    figures = clock.stop()
    figures["seconds"] = done - clock.wall
    figures["write_seconds"] = done - built
    figures["file_bytes"] = sum(os.path.getsize(name) for name in files_of(path))
    figures["file_digest"] = digest(path)
    figures["ran"] = RAN.get(peer)
    return figures


def as_near_as(tenth):
    return tenth * (1 + np.copysign(np.float32(1e-6), tenth))


class Truth:
    """The true neighbours of all queries, as `run/recall.rs` has them."""

    def __init__(self, folder, about, queries):
        self.metric, self.dim, self.queries = about.get("metric", "l2"), about["dim"], queries
        kept = about["truth"]["bytes"] // 4 // about["queries"]
        truth, near = rows(folder, "truth.i32", kept, np.int32), rows(folder, "near.f32", kept)
        self.tenth = as_near_as(near[:, K - 1 : K])
        self.allowed = np.where(near <= self.tenth, truth, -1)
        # Where more vectors than were kept are as near as the tenth, the others are measured.
        overflow = (near[:, -1] <= self.tenth[:, 0]) & (kept < about["vectors"])
        self.more = np.flatnonzero(overflow)
        self.base = rows(folder, "base.f32", self.dim) if len(self.more) else None

    def distances(self, found):
        near = self.base[np.clip(found, 0, len(self.base) - 1)].astype(np.float64)
        asked = self.queries[self.more][:, None, :].astype(np.float64)
        if self.metric == "ip":
            return -(near * asked).sum(2)
        far = ((near - asked) ** 2).sum(2)
        return np.where((near == 0).all(2), 1, far / 2) if self.metric == "cosine" else far

    def recall(self, found):
        """Hits among the true ten; what is as near as the tenth counts as one of them."""
        found = np.asarray(found).astype(np.int64)
        hits = (found[:, :, None] == self.allowed[:, None, :]).any(2)
        hits &= found >= 0
        if len(self.more):
            answers = found[self.more]
            sound = (answers >= 0) & (answers < len(self.base))
            near = self.distances(answers).astype(np.float32) <= self.tenth[self.more]
            hits[self.more] |= sound & near
        return float(np.minimum(hits.sum(1), K).mean() / K)


def search(searcher, kind, folder, passes, settings, paths):
    """Every file at every setting, in turn, so that whoever disturbs disturbs all alike; the best pass counts."""
    about = meta(folder)
    queries = rows(folder, "queries.f32", about["dim"])
    truth = Truth(folder, about, queries)
    files = [SEARCHERS[searcher](path, about["dim"], truth.metric) for path in paths]
    recalls, speeds = {}, {}
    for _ in range(passes):
        for setting in settings:
            for i, file in enumerate(files):
                run = file(queries, setting)
                began = time.perf_counter()
                found = run()
                speed = len(queries) / (time.perf_counter() - began)
                if (i, setting) not in recalls:
                    recalls[i, setting] = truth.recall(found)
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


def version_of(module, package):
    """Of a peer that may be missing; it is imported in a process of its own, which may die of it."""
    from importlib import import_module
    from importlib.metadata import version

    import_module(module)
    return version(package)


def main(words):
    # Whoever started this waits for it; where that one was killed, nobody does.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if words[0] == "versions":
        answer = versions()
    elif words[0] == "version":
        answer = version_of(*words[1:])
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
