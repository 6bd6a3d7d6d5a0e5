"""A matrix product of a peer, timed on demand: for every line on stdin one product, and its seconds on stdout.

    sgemm.py ROWS CENTRES DIM THREADS

The first line says whose product it is: MKL's, where its package is installed beside NumPy, or else that of NumPy's own
library. Rows are multiplied with all centres (x times c transposed, FP32), into memory that is there already; nothing is
selected among the products.
"""

import ctypes
import glob
import os
import sys
import time

rows, centres, dim, threads = map(int, sys.argv[1:])
for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ[f"{library}_NUM_THREADS"] = str(threads)

import numpy as np  # noqa: E402  Reads the number of threads when it is loaded.

rng = np.random.default_rng(1)
x = rng.random((rows, dim), np.float32)
c = rng.random((centres, dim), np.float32)
out = np.zeros((rows, centres), np.float32)

ROW_MAJOR, NO_TRANS, TRANS = 101, 111, 112
found = glob.glob(os.path.join(sys.prefix, "lib", "libmkl_rt.so*"))
if found:
    sgemm = ctypes.CDLL(found[0]).cblas_sgemm
    floats = ctypes.POINTER(ctypes.c_float)
    at = lambda array: array.ctypes.data_as(floats)  # noqa: E731

    def product():
        one, none = ctypes.c_float(1.0), ctypes.c_float(0.0)
        sgemm(ROW_MAJOR, NO_TRANS, TRANS, rows, centres, dim, one, at(x), dim, at(c), dim, none, at(out), centres)

    print("MKL", flush=True)
else:

    def product():
        np.matmul(x, c.T, out=out)

    print("NumPy's OpenBLAS", flush=True)

product()
probe = float(x[rows // 2] @ c[centres // 2])
assert abs(out[rows // 2, centres // 2] - probe) < 1e-3 * abs(probe), "the product is wrong"
for _ in sys.stdin:
    began = time.perf_counter()
    product()
    print(time.perf_counter() - began, flush=True)
