"""Data sets that break builders of vector indexes, each with queries; all from fixed seeds.

`SETS` names them: what they are, the metric, and a function from a random generator and a size (1 is whole, a tenth is for
a quick look) to base and queries. Queries are near rows of the base, so that the true neighbours mean something.
"""

import numpy as np

QUERIES = 200


def near(base, noise, rng, n=QUERIES):
    """Rows of the base, each moved by so much in every direction."""
    return base[rng.integers(0, len(base), n)] + noise * rng.normal(size=(n, base.shape[1]))


def clustered(n, dim, rng, centres=50, spread=0.3):
    middle = rng.normal(size=(centres, dim))
    return middle[rng.integers(0, centres, n)] + spread * rng.normal(size=(n, dim))


def groups(count, size, dim, noise, away):
    """Groups of rows that are equal, or nearly so where there is noise."""

    def make(rng, scale):
        base = np.repeat(rng.normal(size=(max(int(count * scale), 4), dim)), size, axis=0)
        base = base + noise * rng.normal(size=base.shape)
        return base, near(base, away, rng)

    return make


def near_copies(noise, size=5, count=4_000):
    """Groups in clusters, at some noise."""

    def make(rng, scale):
        base = np.repeat(clustered(max(int(count * scale), 40), 64, rng), size, axis=0)
        base = base + noise * rng.normal(size=base.shape)
        return base, near(base, 0.1, rng)

    return make


def of(rows, away):
    """Rows by a function of the generator and a number; queries so far away from some of them."""

    def make(rng, scale):
        base = rows(rng, scale)
        return base, near(base, away, rng)

    return make


def half_equal(rng, scale):
    base = rng.normal(size=(int(20_000 * scale), 32))
    half = len(base) // 2
    base[:half] = base[0]
    return base, near(base[half:], 0.3, rng)


def one_huge_group(rng, scale):
    """Two thousand equal rows six times, among others."""
    equal = np.repeat(rng.normal(size=(6, 48)), int(2_000 * scale), axis=0)
    base = np.concatenate([equal, clustered(int(4_000 * scale), 48, rng)])
    return base, near(base, 0.2, rng)


def towns(rng, scale):
    base = rng.uniform(size=(2_000, 2))[rng.integers(0, 2_000, int(20_000 * scale))]
    base = base + 1e-4 * rng.normal(size=base.shape)
    return base, near(base, 1e-3, rng)


def lattice(sides):
    """All points of a grid; many distances are equal."""

    def make(rng, scale):
        axes = [np.arange(max(int(side * scale ** (1 / len(sides))), 2)) for side in sides]
        base = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(sides)).astype(float)
        return rng.permutation(base), near(base, 0.4, rng)

    return make


def bits(rng, scale):
    base = rng.integers(0, 2, (int(15_000 * scale), 64)).astype(float)
    return base, np.abs(base[rng.integers(0, len(base), QUERIES)] - (rng.uniform(size=(QUERIES, 64)) < 0.05))


def one_hot(categories, columns):
    """A category of so many in each of some columns."""

    def make(rng, scale):
        n = int(10_000 * scale)
        base = np.zeros((n, categories * columns))
        for column in range(columns):
            base[np.arange(n), column * categories + rng.integers(0, categories, n)] = 1
        return base, near(base, 0.05, rng)

    return make


def line(rng, scale):
    base = rng.uniform(size=(int(20_000 * scale), 1))
    return base, rng.uniform(size=(QUERIES, 1))


def curve(rng, scale):
    """One parameter, bent through 64 dimensions."""
    at = np.sort(rng.uniform(0, 40, int(10_000 * scale)))[:, None]
    base = np.sin(at * rng.uniform(0.1, 1.5, 64) + rng.uniform(0, 6, 64))
    return base, near(base, 0.01, rng)


def plane(rng, scale):
    base = rng.normal(size=(int(10_000 * scale), 2)) @ rng.normal(size=(2, 128))
    return base, near(base, 0.01, rng)


def roll(rng, scale):
    """Three parameters in 256 dimensions."""
    at = rng.uniform(-1, 1, (int(10_000 * scale), 3))
    base = np.tanh(at @ rng.normal(size=(3, 64))) @ rng.normal(size=(64, 256)) / 8
    return base, near(base, 0.02, rng)


def every_size(rng, scale):
    """Clusters of 1 to 2,000 rows whose widths differ by four orders of magnitude."""
    parts = []
    total = int(20_000 * scale)
    while sum(map(len, parts)) < total:
        size, width = int(10 ** rng.uniform(0, 3.3)), 10 ** rng.uniform(-4, 0)
        parts.append(rng.normal(size=24) + width * rng.normal(size=(size, 24)))
    base = rng.permutation(np.concatenate(parts)[:total])
    return base, near(base, 0.001, rng)


def fractal(rng, scale):
    """Clusters of clusters of clusters, each level a twentieth of the one above."""
    base = np.zeros((1, 16))
    for level in range(4):
        children = base[:, None] + 0.05**level * rng.normal(size=(len(base), 11, 16))
        base = children.reshape(-1, 16)
    base = rng.permutation(base)[: int(14_000 * scale)]
    return base, near(base, 1e-4, rng)


def power_norms(rng, scale):
    base = rng.normal(size=(int(10_000 * scale), 64))
    base *= (rng.pareto(1.5, len(base)) + 0.1)[:, None]
    return base, rng.normal(size=(QUERIES, 64))


def text(rng, scale):
    """Lines as bags of hashed words; most lines are repeated, some with another word at their end."""
    words = rng.normal(size=(3_000, 384))
    often = 1 / np.arange(1, 3_001)
    often /= often.sum()
    line = lambda: words[rng.choice(3_000, rng.integers(4, 16), p=often)].sum(0)
    lines = np.stack([line() for _ in range(int(4_000 * scale))])
    many = np.minimum(rng.zipf(1.6, len(lines)), 500)
    base = np.repeat(lines, many, axis=0)
    base = base[rng.permutation(len(base))[: int(12_000 * scale)]]
    another = rng.uniform(size=len(base)) < 0.1
    base[another] += words[rng.integers(0, 3_000, another.sum())]
    return base, near(base, 0.3, rng)


def wide(n, dim):
    return of(lambda rng, scale: clustered(int(n * scale), dim, rng, 100), 0.1)


def in_order(rng, scale):
    base = clustered(int(20_000 * scale), 32, rng)
    return base[np.argsort(base[:, 0])], near(base, 0.2, rng)


def far_rows(count, low, high):
    def make(rng, scale):
        base = rng.normal(size=(int(6_000 * scale), 40))
        base[-count:] *= 10 ** rng.uniform(low, high, (count, 1))
        return base, near(base[:-count], 0.3, rng)

    return make


def mixture(rng, scale):
    """A third in tight clusters, a third without structure, a third equal rows of fifty kinds."""
    n = int(6_000 * scale)
    tight = clustered(n, 32, rng, 60, 0.002)
    equal = rng.normal(size=(50, 32))[rng.integers(0, 50, n)]
    base = rng.permutation(np.concatenate([tight, rng.normal(size=(n, 32)), equal]))
    return base, near(base, 0.1, rng)


def sparse(rng, scale):
    """A few positive values of many, as counts of words are."""
    base = rng.exponential(size=(int(10_000 * scale), 512)) * (rng.uniform(size=(1, 512)) < 0.5)
    base *= rng.uniform(size=base.shape) < 0.03
    base[:, 0] += 1e-3
    return base, np.abs(near(base, 0.01, rng))


def integers(rng, scale):
    base = np.clip(np.rint(clustered(int(20_000 * scale), 128, rng) * 30 + 60), 0, 255)
    return base, np.clip(np.rint(near(base, 5, rng)), 0, 255)


def zeros(rng, scale):
    """A fifth of the rows is zero: no direction, under a metric of directions."""
    base = clustered(int(10_000 * scale), 48, rng)
    base[:: 5] = 0
    return base, near(base[1::5], 0.1, rng)


def islands(rng, scale):
    """Two clusters ten thousand times farther apart than they are wide."""
    base = rng.normal(size=(int(12_000 * scale), 32))
    base[: len(base) // 2] += 1e4
    return base, near(base, 0.3, rng)


def scaled(factor):
    def make(rng, scale):
        base = clustered(int(8_000 * scale), 32, rng)
        return base * factor, near(base, 0.2, rng) * factor

    return make


def shell(rng, scale):
    base = rng.normal(size=(int(15_000 * scale), 8))
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    return base, near(base, 0.02, rng)


SETS = {
    "equal pairs": ("l2", groups(8_000, 2, 32, 0, 0.3)),
    "equal fives": ("l2", groups(820, 5, 32, 0, 0.3)),
    "equal twenties": ("l2", groups(600, 20, 48, 0, 0.3)),
    "equal hundreds": ("l2", groups(150, 100, 64, 0, 0.3)),
    "equal two thousands": ("l2", one_huge_group),
    "half equal": ("l2", half_equal),
    "near fives, 0.1": ("l2", near_copies(1e-1)),
    "near fives, 0.01": ("l2", near_copies(1e-2)),
    "near fives, 0.001": ("l2", near_copies(1e-3)),
    "near fives, 0.0001": ("l2", near_copies(1e-4)),
    "near fives, 0.000001": ("l2", near_copies(1e-6)),
    "near fifties": ("l2", near_copies(1e-3, 50, 400)),
    "near thousands": ("l2", groups(16, 1_000, 32, 1e-3, 1e-3)),
    "towns": ("l2", towns),
    "lattice, 2": ("l2", lattice((141, 141))),
    "lattice, 5": ("l2", lattice((7, 7, 7, 7, 7))),
    "bits": ("l2", bits),
    "one-hot, 1 of 256": ("l2", one_hot(256, 1)),
    "one-hot, 3 of 40": ("l2", one_hot(40, 3)),
    "line": ("l2", line),
    "curve": ("l2", curve),
    "plane": ("l2", plane),
    "roll": ("l2", roll),
    "every size": ("l2", every_size),
    "fractal": ("l2", fractal),
    "power-law norms": ("ip", power_norms),
    "text": ("cosine", text),
    "384": ("l2", wide(10_000, 384)),
    "1,536": ("cosine", wide(6_000, 1_536)),
    "4,096": ("l2", wide(3_000, 4_096)),
    "in order": ("l2", in_order),
    "a far row": ("l2", far_rows(1, 6, 6)),
    "far rows": ("l2", far_rows(12, 1, 5)),
    "mixture": ("l2", mixture),
    "sparse": ("cosine", sparse),
    "integers": ("l2", integers),
    "zeros": ("cosine", zeros),
    "islands": ("l2", islands),
    "huge values": ("l2", scaled(1e15)),
    "tiny values": ("l2", scaled(1e-15)),
    "shell": ("l2", shell),
}


def make(name, scale=1.0):
    """Metric, base and queries of a set, as rows of 32-bit floats."""
    metric, rows = SETS[name]
    rng = np.random.default_rng([len(name), *name.encode()])
    base, queries = rows(rng, scale)
    return metric, np.ascontiguousarray(base, "<f4"), np.ascontiguousarray(queries, "<f4")
