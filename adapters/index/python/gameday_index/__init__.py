"""Fast builds of vector indexes that hnswlib and FAISS open.

>>> import gameday_index
>>> info = gameday_index.build(array, metric="cosine", path="docs.bin")
"""

import contextlib
import hashlib
import math
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Callable, Literal, Optional, Union

import numpy as np
import numpy.typing as npt

from . import _native

__all__ = ["Info", "build"]


@dataclass(frozen=True)
class Info:
    """What was built."""

    vectors: int
    """Number of vectors."""
    dim: int
    """Values in each vector."""
    seconds: float
    """How long the build took, without writing the file."""
    recall: Optional[float]
    """HNSW: the share of true neighbours that hnswlib's search with an ef of 100 found for 200 of the vectors."""
    note: Optional[str]
    """What is worth knowing about the build, such as why it took longer."""
    sha256: str
    """Checksum of the file."""
    path: str
    """The file."""


def build(
    array: npt.ArrayLike,
    *,
    path: Union[str, "os.PathLike[str]"],
    kind: Literal["hnsw", "ivf_flat", "ivf_sq8", "ivf_pq"] = "hnsw",
    metric: Literal["l2", "ip", "cosine"] = "l2",
    m: int = 16,
    ef_construction: int = 200,
    ef: int = 96,
    nlist: Optional[int] = None,
    nprobe: Optional[int] = None,
    ids: Optional[npt.ArrayLike] = None,
    seed: int = 0,
    to: Literal["hnswlib", "faiss"] = "hnswlib",
    progress: Optional[Callable[[float], object]] = None,
) -> Info:
    """Builds an index of the rows of `array`, on all processors, and writes it to the file `path`.

    Rows of float32 that lie one after another are used where they are; other numbers are converted, which takes a
    copy. Other threads run meanwhile; they must not change the array. Ctrl-C ends the build.

    The file is written under another name and renamed when it is on disk: `path` is what it was, or whole.

    Args:
        array: Vectors, of shape (n, dim).
        path: The file.
        kind: hnsw; lists of whole vectors (ivf_flat), of 8 bits a value (ivf_sq8), of m bytes a vector (ivf_pq).
        metric: As hnswlib names it. FAISS knows no cosine: there it is an inner product of vectors scaled to length
            one, and queries have to be scaled too.
        m: hnsw: links of a vector. ivf_pq: parts of a vector, must divide dim.
        ef_construction: hnsw: candidates when a vector is linked.
        ef: hnsw to FAISS: candidates of a search. A file of hnswlib has none: call its set_ef.
        nlist: ivf: number of lists; if None, four times the square root of n.
        nprobe: ivf: lists that a search reads; if None, an eighth of them.
        ids: Whole numbers from 0, of shape (n,); if None, 0 to n - 1.
        seed: Decides what is drawn. The same arguments give the same bytes, on every machine.
        to: Who opens the file: hnswlib (hnsw alone) or FAISS (all kinds).
        progress: Called with the fraction done, which rises to 1.0; the file is written after that. What it raises ends
            the build.

    Raises:
        TypeError: array or ids are not numbers.
        ValueError: An argument is out of its range, a shape is wrong, a value is NaN or infinite, an id occurs twice, or
            there are no vectors for lists.
        OSError: The file cannot be written.
    """
    path = os.fsdecode(path)
    if to not in ("hnswlib", "faiss"):
        raise ValueError(f"to is {to!r}: use hnswlib or faiss")
    if to == "hnswlib" and kind in ("ivf_flat", "ivf_sq8", "ivf_pq"):
        raise ValueError(f"hnswlib has no index of kind {kind}: use to='faiss'")
    rows = _rows(array)
    n, dim = rows.shape
    labels = _ids(ids, n, np.iinfo(np.int64 if to == "faiss" else np.uint64).max)
    if n == 0 and kind != "hnsw":
        raise ValueError("there are no vectors: FAISS searches no lists of nothing")
    if nlist is None:
        nlist = min(max(4 * math.isqrt(n), 1), 16_384)
    if nprobe is None:
        nprobe = min(max(nlist // 8, 4), nlist)
    numbers = {"m": m, "ef_construction": ef_construction, "ef": ef, "nlist": nlist, "nprobe": nprobe}
    for name, value in numbers.items():
        _fits(name, value, 32)
    _fits("seed", seed, 64)

    digest = hashlib.sha256()
    with _replacing(path) as file:

        def write(piece: bytes) -> None:
            file.write(piece)
            digest.update(piece)

        began = time.perf_counter()
        built = _native.build(rows, labels, kind, metric, m, ef_construction, ef, nlist, nprobe, seed, progress)
        seconds = time.perf_counter() - began
        built.write(to == "faiss", write)
    return Info(n, dim, seconds, built.recall, built.note, digest.hexdigest(), path)


def _fits(name: str, value: int, bits: int) -> None:
    if not 0 <= value < 2**bits:
        raise ValueError(f"{name} is {value}: use 0 to {2**bits - 1}")


def _rows(array: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The array itself if its rows are float32 and lie one after another, or a copy that is so."""
    rows = np.asarray(array)
    if rows.ndim != 2:
        raise ValueError(f"vectors are an array of shape (n, dim), not {rows.shape}")
    # That is: no complex numbers, texts or objects.
    rows = rows.astype(np.float32, casting="same_kind", copy=False)
    return np.require(rows, requirements=["C", "ALIGNED"])


def _ids(ids: Optional[npt.ArrayLike], n: int, most: int) -> npt.NDArray[np.uint64]:
    if ids is None:
        return np.arange(n, dtype=np.uint64)
    labels = np.asarray(ids)
    if labels.shape != (n,):
        raise ValueError(f"{n} vectors have ids of shape ({n},), not {labels.shape}")
    if n > 0 and labels.dtype.kind not in "iu":
        raise TypeError(f"ids are whole numbers, not {labels.dtype}")
    if n > 0 and not 0 <= int(labels.min()) <= int(labels.max()) <= most:
        raise ValueError(f"ids are {labels.min()} to {labels.max()}: use 0 to {most}")
    return np.require(labels, np.uint64, ["C", "ALIGNED"])


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when it is on disk; it is removed if anything is raised before."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise FileExistsError(f"{path} is no regular file")
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
    if os.name == "posix":
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
