"""The libraries that gameday is compared with: how each builds, writes, reads and searches."""

import os

import numpy as np

M, EF_CONSTRUCTION, K = 16, 200, 10

# Each peer: a function that imports it, and answers one that builds, and in turn answers one that writes. Under cosine the rows
# are of length one already.


def hnswlib_builder(kind, metric, base, threads, nlist):
    import hnswlib

    def make():
        n, dim = base.shape
        index = hnswlib.Index(space=metric, dim=dim)
        index.init_index(max_elements=n, ef_construction=EF_CONSTRUCTION, M=M)
        index.set_num_threads(threads)
        index.add_items(base, np.arange(n))
        return index.save_index

    return make


def faiss_builder(kind, metric, base, threads, nlist):
    import faiss

    faiss.omp_set_num_threads(threads)

    def make():
        dim = base.shape[1]
        # It has no cosine: the product of rows of length one is the same.
        measure = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        if kind == "hnsw":
            index = faiss.IndexHNSWFlat(dim, M, measure)
            index.hnsw.efConstruction = EF_CONSTRUCTION
        else:
            coarse = faiss.IndexFlatL2(dim) if metric == "l2" else faiss.IndexFlatIP(dim)
            if kind == "ivf_flat":
                index = faiss.IndexIVFFlat(coarse, dim, nlist, measure)
            elif kind == "ivf_sq8":
                eight = faiss.ScalarQuantizer.QT_8bit
                index = faiss.IndexIVFScalarQuantizer(coarse, dim, nlist, eight, measure)
            else:
                # Parts of one length, of at least eight values.
                m = next((m for m in range(dim // 8, 0, -1) if dim % m == 0), 1)
                index = faiss.IndexIVFPQ(coarse, dim, nlist, m, 8, measure)
            index.train(base)
        index.add(base)
        return lambda path: faiss.write_index(index, path)

    return make


def usearch_builder(kind, metric, base, threads, nlist):
    from usearch.index import Index

    def make():
        n, dim = base.shape
        measure = {"l2": "l2sq", "cosine": "cos", "ip": "ip"}[metric]
        index = Index(ndim=dim, metric=measure, dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION)
        index.add(np.arange(n), base, threads=threads)
        return index.save

    return make


def svs_distance(svs, metric):
    return {"l2": svs.DistanceType.L2, "cosine": svs.DistanceType.Cosine, "ip": svs.DistanceType.MIP}[metric]


def svs_builder(kind, metric, base, threads, nlist):
    import svs

    def make():
        # As many links of a node as the lowest layer of the other graphs has; alpha is the library's own.
        parameters = svs.VamanaBuildParameters(graph_max_degree=2 * M, window_size=EF_CONSTRUCTION)
        index = svs.Vamana.build(parameters, base, svs_distance(svs, metric), num_threads=threads)

        def save(path):
            os.mkdir(path)
            index.save(*(os.path.join(path, part) for part in ("config", "graph", "data")))

        return save

    return make


def pynndescent_builder(kind, metric, base, threads, nlist):
    import pickle

    from pynndescent import NNDescent

    def make():
        # What it compiles is in its time, as what our OpenCL engine compiles is in ours.
        measure = {"l2": "euclidean", "cosine": "cosine", "ip": "inner_product"}[metric]
        index = NNDescent(base, metric=measure, n_jobs=threads, random_state=0)
        index.prepare()

        def save(path):
            with open(path, "wb") as file:
                pickle.dump(index, file)

        return save

    return make


BUILDERS = {
    "hnswlib": hnswlib_builder,
    "faiss": faiss_builder,
    "usearch": usearch_builder,
    "svs": svs_builder,
    "pynndescent": pynndescent_builder,
}


# What is no HNSW says so in the table.
RAN = {
    "svs": f"a Vamana graph of {2 * M} links, window {EF_CONSTRUCTION}",
    "pynndescent": "nearest-neighbour descent, 30 neighbours; its compilation is in its time",
}

# Each searcher: a function that loads a file, and answers one that, at a setting, answers one that searches on one thread.


def hnswlib_searcher(path, dim, metric):
    import hnswlib

    index = hnswlib.Index(space=metric, dim=dim)
    index.load_index(path)
    index.set_num_threads(1)

    def search(queries, setting):
        index.set_ef(max(setting, K))
        return lambda: index.knn_query(queries, K)[0]

    return search


def faiss_searcher(path, dim, metric):
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

    return search


def usearch_searcher(path, dim, metric):
    from usearch.index import Index

    index = Index.restore(path)

    def search(queries, setting):
        index.expansion_search = setting
        return lambda: index.search(queries, K, threads=1).keys

    return search


def svs_searcher(path, dim, metric):
    import svs

    config, graph, data = (os.path.join(path, part) for part in ("config", "graph", "data"))
    loader = svs.VectorDataLoader(data, svs.DataType.float32)
    index = svs.Vamana(config, svs.GraphLoader(graph), loader, svs_distance(svs, metric), num_threads=1)

    def search(queries, setting):
        index.search_window_size = max(setting, K)
        return lambda: index.search(queries, K)[0]

    return search


def pynndescent_searcher(path, dim, metric):
    import pickle

    import numba

    with open(path, "rb") as file:
        index = pickle.load(file)
    numba.set_num_threads(1)
    # What it compiles for its searches is no speed of a search.
    index.query(np.zeros((1, dim), np.float32) + 0.5, K)

    def search(queries, setting):
        # Its setting is epsilon, in thousandths: how much farther than the farthest found it still looks.
        return lambda: index.query(queries, K, epsilon=setting / 1000)[0]

    return search


SEARCHERS = {
    "hnswlib": hnswlib_searcher,
    "faiss": faiss_searcher,
    "usearch": usearch_searcher,
    "svs": svs_searcher,
    "pynndescent": pynndescent_searcher,
}
