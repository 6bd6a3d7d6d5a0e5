"""The data of a drill, made again from its seed: written from the description of the corpus, sharing no code with it.

A value is a function of seed, key and write number, drawn from ChaCha with eight rounds. The seed of a stream is four
little-endian words of 64 bits: the drill's seed, the stream's number, and two of its own.
"""
import functools
import hashlib
import json
import struct

CENTRE, VECTOR, OBJECT, MIXING, FEATURE = 1, 2, 4, 6, 7
CLUSTERS, LATENT, ASIDE = 64, 12, 4000
LOADED = 1 << 40
FEATURES, SOURCES, MODELS = 8, 3, 3
ROLES = (("admin", ["define", "read", "write"]), ("ingest", ["write"]), ("serving", ["read"]), ("training", ["read"]))
M32 = 0xFFFFFFFF


def block(key, counter):
    """One block of ChaCha8: sixteen words."""
    start = (0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *key, counter & M32, counter >> 32, 0, 0)
    x = list(start)
    for _ in range(4):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            p, q, r, s = x[a], x[b], x[c], x[d]
            for first, second in ((16, 12), (8, 7)):
                p = (p + q) & M32
                s ^= p
                s = (s << first | s >> 32 - first) & M32
                r = (r + s) & M32
                q ^= r
                q = (q << second | q >> 32 - second) & M32
            x[a], x[b], x[c], x[d] = p, q, r, s
    return [(word + first) & M32 for word, first in zip(x, start)]


class Chance:
    """Words of one stream, in order."""

    def __init__(self, *words):
        self.key = struct.unpack("<8I", struct.pack("<4Q", *words))
        self.words, self.at, self.counter = [], 0, 0

    def u32(self):
        if self.at == len(self.words):
            self.words, self.at = block(self.key, self.counter), 0
            self.counter += 1
        self.at += 1
        return self.words[self.at - 1]

    def u64(self):
        return self.u32() | self.u32() << 32

    def small(self, most):
        """A whole number from -most to most."""
        return self.u32() % (2 * most + 1) - most

    def bytes(self, count):
        return b"".join(struct.pack("<I", self.u32()) for _ in range(-(-count // 4)))[:count]


class Corpus:
    def __init__(self, scenario):
        data, roles = scenario["data"], scenario["stack"]["roles"]
        self.seed, self.dim = scenario["seed"], data["vectors"]["dim"]
        self.vectors, self.objects = data["vectors"]["count"], data["objects"]["count"]
        self.size = data["objects"]["size"]
        self.entities = data["features"]["entities"] if "feature" in roles else 0

    @functools.cache
    def shared(self, stream, number, most, count):
        chance = Chance(self.seed, stream, number, 0)
        return [chance.small(most) if most else chance.u32() for _ in range(count)]

    def vector(self, key, ver):
        """The bytes of a vector."""
        chance = Chance(self.seed, VECTOR, key, ver)
        seeded = ver == 0 and key < LOADED
        cluster = key % CLUSTERS if seeded else chance.u64() % (CLUSTERS // 2) * 2 + 1
        latent = [chance.small(200) + chance.small(200) for _ in range(LATENT)]
        centre, mixing = self.shared(CENTRE, cluster, 1000, self.dim), self.shared(MIXING, 0, 0, self.dim)
        values = []
        for i in range(self.dim):
            mix = mixing[i]
            one = (1 - (mix >> 16 & 2)) * latent[(mix & 0xFF) % LATENT]
            two = (1 - (mix >> 18 & 2)) * latent[(mix >> 8 & 0xFF) % LATENT]
            aside = ASIDE if i == 0 and cluster % 2 else 0
            values.append((centre[i] + one + two + chance.small(20) + aside) / 1024)
        return struct.pack(f"<{self.dim}f", *values)

    def object(self, key, ver):
        even = max(-(-self.vectors // 2), 1)
        refers = ((key * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> 20) % even * 2
        head = f"gameday object {key} write {ver} refers to vector {refers}\n".encode()
        return head + Chance(self.seed, OBJECT, key, ver).bytes(max(self.size - len(head), 0))

    def features(self, key, ver):
        """When it was true, and the values."""
        chance = Chance(self.seed, FEATURE, key, ver)
        values = []
        for f in range(1, FEATURES + 1):
            noise = sum(chance.small(100 * f) for _ in range(3))
            values.append((1000 * f + noise) / 1024)
        return 1_700_000_000_000_000 + ver * 1000, tuple(values)

    @functools.cached_property
    def catalogue(self):
        """Of each record: table, name, body."""
        text = functools.partial(json.dumps, separators=(",", ":"))
        all_of = []
        for f in range(FEATURES):
            body = {"version": 1, "entity": "user", "dtype": "float64", "source": f"events_{f % SOURCES}",
                    "critical": f < FEATURES // 2}
            all_of.append(("definitions", f"feature_{f}", text(body)))
        pairs = [(f"feature_{f}", f"events_{f % SOURCES}") for f in range(FEATURES)]
        pairs += [(f"model_{m}", f"feature_{f}") for m in range(MODELS) for f in range(FEATURES)]
        for of, on in pairs:
            all_of.append(("dependencies", f"{of} on {on}", text({"of": of, "on": on, "version": 1})))
        for m in range(MODELS):
            body = {"model": f"model_{m}", "model_version": 1, "definitions": 1}
            all_of.append(("compatibility", f"model_{m} 1", text(body)))
        for m in range(MODELS):
            digest = hashlib.sha256(self.object(m, 0)).hexdigest()
            body = {"version": 1, "stage": "production", "object": m, "sha256": digest}
            all_of.append(("registered_models", f"model_{m}", text(body)))
        return all_of + [("roles", name, text({"grants": grants})) for name, grants in ROLES]
