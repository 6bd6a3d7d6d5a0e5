"""The gauntlet: data that breaks builders of vector indexes, and the law that ours holds on it.

    law.py GAMEDAY [--scale S] [--only NAME ..] [--rounds N] [--threads N] [--json FILE]

Each set is built by `GAMEDAY index build`, by hnswlib and by FAISS, with the same parameters and threads, and searched by
the searchers of hnswlib and FAISS: on our files, and on their own. Law: at every ef of the ladder the recall on our file is
at least that on their own build less 0.01, and nobody who asked for ten neighbours gets fewer. What is as near as the tenth
counts as one of the ten. Build times are medians of the rounds, in turns; ours is that of the whole command, with its start,
its reading and its own check of what it built.

Prints a table, and ends with 1 where the law is broken.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import faiss
import hnswlib
import numpy as np
import sets

M, EF_CONSTRUCTION, K = 16, 200, 10
LADDER = (16, 64, 100, 256, 1_000)
LESS = 0.01
NEAR = 1e-6


def exact(metric, base, queries):
    """All distances, in double precision."""
    base, queries = base.astype(float), queries.astype(float)
    if metric == "l2":
        return np.stack([((base - query) ** 2).sum(1) for query in queries])
    return 1 - queries @ base.T


def unit(rows):
    lengths = np.linalg.norm(rows.astype(float), axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.ascontiguousarray(rows / lengths, "<f4")


class Truth:
    def __init__(self, metric, base, queries):
        self.far = exact(metric, base, queries)
        tenth = np.partition(self.far, K - 1, axis=1)[:, K - 1]
        self.allowed = tenth + NEAR * np.abs(tenth)

    def recall(self, answers):
        """The share of true neighbours, and how many got fewer than they asked for."""
        hits = short = 0
        for far, allowed, found in zip(self.far, self.allowed, answers):
            found = np.unique(found[found >= 0]) if found is not None else np.empty(0, int)
            short += len(found) < K
            hits += int((far[found] <= allowed).sum())
        return hits / (K * len(self.far)), short


def by_hnswlib(index, queries, truth):
    def one(query):
        try:
            return index.knn_query(query[None], K)[0][0].astype(np.int64)
        except RuntimeError:  # Fewer than it was asked for.
            return None

    index.set_num_threads(1)
    for ef in LADDER:
        index.set_ef(ef)
        yield truth.recall([one(query) for query in queries])


def by_faiss(index, queries, truth):
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index
    for ef in LADDER:
        inner.hnsw.efSearch = ef
        yield truth.recall(index.search(queries, K)[1])


def space(metric, dim):
    return hnswlib.Index("l2" if metric == "l2" else "ip", dim)


class Set:
    def __init__(self, name, folder, words):
        self.name, self.gameday, self.threads = name, words.gameday, words.threads
        self.metric, self.given, queries = sets.make(name, words.scale)
        self.base, self.queries = self.given, queries
        if self.metric == "cosine":
            self.base, self.queries = unit(self.given), unit(queries)
        self.path = os.path.join(folder, "base.npy")
        self.out = os.path.join(folder, "index")
        np.save(self.path, self.given)

    def ours(self):
        for layout in ("hnswlib", "faiss"):
            began = time.perf_counter()
            command = [self.gameday, "index", "build", self.path, "--metric", self.metric, "--to", layout]
            command += ["--m", str(M), "--ef-construction", str(EF_CONSTRUCTION), "--out", f"{self.out}.{layout}"]
            done = subprocess.run([*command, "--quiet", "--json"], capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{self.name}: {' '.join(command)} ended with {done.returncode}: {done.stderr}")
            if layout == "hnswlib":
                seconds, said = time.perf_counter() - began, json.loads(done.stdout)
        return seconds, said

    def hnswlib(self):
        began = time.perf_counter()
        index = space(self.metric, self.base.shape[1])
        index.init_index(len(self.base), M=M, ef_construction=EF_CONSTRUCTION)
        index.add_items(self.base, num_threads=self.threads)
        index.save_index(f"{self.out}.peer")
        return time.perf_counter() - began, index

    def faiss(self):
        faiss.omp_set_num_threads(self.threads)
        began = time.perf_counter()
        metric = faiss.METRIC_L2 if self.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        index = faiss.IndexHNSWFlat(self.base.shape[1], M, metric)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        index.add(self.base)
        faiss.write_index(index, f"{self.out}.peer")
        seconds = time.perf_counter() - began
        faiss.omp_set_num_threads(1)
        return seconds, index

    def run(self, rounds):
        seconds = {"gameday": [], "hnswlib": [], "faiss": []}
        for _ in range(rounds):
            took, said = self.ours()
            seconds["gameday"].append(took)
            took, hnswlib_own = self.hnswlib()
            seconds["hnswlib"].append(took)
            took, faiss_own = self.faiss()
            seconds["faiss"].append(took)
        truth = Truth(self.metric, self.base, self.queries)
        mine = space(self.metric, self.base.shape[1])
        mine.load_index(f"{self.out}.hnswlib")
        mine_too = faiss.read_index(f"{self.out}.faiss")
        recall = {
            "hnswlib": pairs(by_hnswlib, mine, hnswlib_own, self.queries, truth),
            "faiss": pairs(by_faiss, mine_too, faiss_own, self.queries, truth),
        }
        return {
            "set": self.name,
            "rows": len(self.base),
            "dim": self.base.shape[1],
            "metric": self.metric,
            "seconds": {who: statistics.median(took) for who, took in seconds.items()},
            "faster": {
                peer: statistics.median(b / a for a, b in zip(seconds["gameday"], seconds[peer]))
                for peer in ("hnswlib", "faiss")
            },
            "recall": recall,
            "remarks": said["remarks"],
        }


def pairs(search, mine, own, queries, truth):
    """At each ef: the recall on our file, on the peer's own, and how many searches of ours came back short."""
    both = zip(LADDER, search(mine, queries, truth), search(own, queries, truth))
    return [{"ef": ef, "ours": a[0], "own": b[0], "short": a[1], "own_short": b[1]} for ef, a, b in both]


def broken(row):
    """What breaks the law, in words."""
    for peer, ladder in row["recall"].items():
        for at in ladder:
            if at["ours"] < at["own"] - LESS:
                yield f"{peer} at ef {at['ef']}: {at['ours']:.3f}, on its own {at['own']:.3f}"
            if at["short"] > at["own_short"]:
                yield f"{peer} at ef {at['ef']}: {at['short']} searches came back short, on its own {at['own_short']}"
    # Such as that vectors were inserted one by one.
    yield from row["remarks"]


def line(row):
    at = {peer: {step["ef"]: step for step in ladder} for peer, ladder in row["recall"].items()}
    cells = [f"{at[peer][ef]['ours']:.3f} / {at[peer][ef]['own']:.3f}" for peer in at for ef in (16, 100)]
    took, faster = row["seconds"], row["faster"]
    size = f"{row['rows']:,} x {row['dim']:,}"
    times = f"{took['gameday']:.2f} | {faster['hnswlib']:.1f} | {faster['faiss']:.1f}"
    return f"| {row['set']} | {size} | {' | '.join(cells)} | {times} |"


HEAD = """\
| set | rows | hnswlib, ef 16 | ef 100 | FAISS, ef 16 | ef 100 | seconds | x hnswlib | x FAISS |
|---|---|---|---|---|---|---|---|---|"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gameday")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", nargs="+", default=list(sets.SETS))
    parser.add_argument("--rounds", type=int, default=1)
    # On one thread hnswlib and FAISS build the same graph each time; ours is the same on any number.
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the peers' builds")
    parser.add_argument("--json")
    words = parser.parse_args()
    unknown = [name for name in words.only if name not in sets.SETS]
    if unknown:
        parser.error(f"no set is called {unknown[0]!r}; there are: {', '.join(sets.SETS)}")
    print(HEAD, flush=True)
    rows, bad = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for name in words.only:
            row = Set(name, folder, words).run(words.rounds)
            rows.append(row)
            print(line(row), flush=True)
            for why in broken(row):
                bad += 1
                print(f"FAIL     {name}: {why}", flush=True)
    if words.json:
        with open(words.json, "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    speeds = {peer: sorted(row["faster"][peer] for row in rows) for peer in ("hnswlib", "faiss")}
    for peer, faster in speeds.items():
        print(f"times as fast as {peer}: median {statistics.median(faster):.1f}, worst {faster[0]:.1f}")
    print(f"{len(rows)} sets, {bad} breaches of the law")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
