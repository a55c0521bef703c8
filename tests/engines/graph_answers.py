"""Makes HNSW indexes with the libraries that users make them with, and writes what their own search answers.

usage: python graph_answers.py hnswlib|faiss|chroma DIR [--seed N] [--rows N]

DIR must not exist. Indexes are saved and loaded again before they are asked. DIR/cases.json has one object per case:
`{"path", "options", "collection", "unit", "asks": [{"k", "ef"}, ..], "queries"}`, and DIR/PATH.ASK.json the answers of each ask:
`{"ids": [[..], ..], "distances": [[..], ..]}`, ids as text. `unit` says that the library compares queries of unit length.
The same seed and rows give the same vectors; graphs are built by one thread.
"""

import argparse
import json
import os

import numpy

QUERIES = 200


def vectors(rng, rows, dim):
    """Clusters that overlap, so that searches have to look around."""
    centres = rng.standard_normal((40, dim))
    return (centres[rng.integers(0, 40, rows)] + 0.8 * rng.standard_normal((rows, dim))).astype(numpy.float32)


class Maker:
    def __init__(self, directory, seed, rows):
        self.directory = directory
        self.rng = numpy.random.default_rng(seed)
        self.rows = rows
        self.cases = []

    def path(self, name):
        return os.path.join(self.directory, name)

    def case(self, path, queries, asks, answer, options=None, collection=None, unit=False, name=None):
        name = name or path
        for number, (k, ef) in enumerate(asks):
            ids, distances = answer(k, ef)
            found = {"ids": [[str(id) for id in row] for row in ids], "distances": [[float(d) for d in row] for row in distances]}
            with open(self.path(f"{name}.{number}.json"), "w", encoding="utf-8") as out:
                json.dump(found, out)
        case = {"path": path, "name": name, "options": options or {}, "collection": collection, "unit": unit}
        asked = [{"k": k, "ef": ef} for k, ef in asks]
        self.cases.append({**case, "asks": asked, "queries": queries.astype(numpy.float64).tolist()})

    def finish(self):
        with open(self.path("cases.json"), "w", encoding="utf-8") as out:
            json.dump(self.cases, out)
        print(len(self.cases))


def make_hnswlib(make):
    import hnswlib

    for space, dim, m, gone in [("l2", 24, 12, 0), ("ip", 16, 6, 0), ("cosine", 33, 8, 0), ("l2", 20, 8, 300)]:
        index = hnswlib.Index(space=space, dim=dim)
        index.init_index(max_elements=make.rows + 7, M=m, ef_construction=60, random_seed=7)
        values = vectors(make.rng, make.rows, dim)
        index.add_items(values, numpy.arange(make.rows) * 3 + 5, num_threads=1)
        for row in make.rng.choice(make.rows, gone, replace=False):
            index.mark_deleted(int(row) * 3 + 5)
        path = f"{space}{gone}.bin"
        index.save_index(make.path(path))
        loaded = hnswlib.Index(space=space, dim=dim)
        loaded.load_index(make.path(path))
        queries = vectors(make.rng, QUERIES, dim)

        def answer(k, ef):
            loaded.set_ef(ef)
            return loaded.knn_query(queries, k=k, num_threads=1)

        make.case(path, queries, [(10, 10), (10, 50), (5, 200)], answer, {"space": space}, unit=space == "cosine")


def make_faiss(make):
    import faiss

    faiss.omp_set_num_threads(1)
    dim = 24
    values = vectors(make.rng, make.rows, dim)
    queries = vectors(make.rng, QUERIES, dim)
    mapped = faiss.IndexIDMap2(faiss.IndexHNSWFlat(dim, 8))
    mapped.add_with_ids(values, numpy.arange(make.rows, dtype=numpy.int64) * 7 + 11)
    l2 = faiss.IndexHNSWFlat(dim, 12)
    ip = faiss.IndexHNSWFlat(dim, 16, faiss.METRIC_INNER_PRODUCT)
    for index in [l2, ip]:
        index.hnsw.efConstruction = 50
        index.add(values)
    for name, index in [("l2", l2), ("ip", ip), ("mapped", mapped)]:
        path = f"{name}.faiss"
        faiss.write_index(index, make.path(path))
        loaded = faiss.read_index(make.path(path))
        inner = faiss.downcast_index(loaded.index) if name == "mapped" else loaded

        def answer(k, ef):
            inner.hnsw.efSearch = ef
            distances, ids = loaded.search(queries, k)
            return ids, distances

        make.case(path, queries, [(10, 16), (10, 64), (5, 200)], answer)


def make_chroma(make):
    import chromadb

    path = "chroma"
    asks = {"l2": (10, 40), "ip": (10, 64), "cosine": (8, 30)}
    client = chromadb.PersistentClient(make.path(path))
    sent = {}
    for space, (_, ef) in asks.items():
        settings = {"space": space, "ef_search": ef, "ef_construction": 60, "max_neighbors": 8, "sync_threshold": 100, "batch_size": 50}
        collection = client.create_collection(f"the_{space}", configuration={"hnsw": settings})
        values = vectors(make.rng, make.rows, 20)
        for first in range(0, make.rows, 100):
            ids = [f"id{row}" for row in range(first, first + 100)]
            collection.add(ids=ids, embeddings=values[first : first + 100])
        # Deleted ids stay in the graph, and a whole number of syncs leaves nothing in the queue.
        collection.delete(ids=[f"id{row}" for row in range(0, 1000, 10)])
        sent[space] = vectors(make.rng, QUERIES, 20)
    del collection, client
    chromadb.api.client.SharedSystemClient.clear_system_cache()
    client = chromadb.PersistentClient(make.path(path))
    for space, (k, ef) in asks.items():
        collection = client.get_collection(f"the_{space}")

        def answer(k, _):
            found = collection.query(query_embeddings=sent[space], n_results=k, include=["distances"])
            return found["ids"], found["distances"]

        make.case(path, sent[space], [(k, ef)], answer, collection=f"the_{space}", unit=space == "cosine", name=f"chroma-{space}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["hnswlib", "faiss", "chroma"])
    parser.add_argument("directory")
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--rows", type=int, default=3000)
    options = parser.parse_args()
    os.mkdir(options.directory)
    make = Maker(options.directory, options.seed, options.rows)
    {"hnswlib": make_hnswlib, "faiss": make_faiss, "chroma": make_chroma}[options.what](make)
    make.finish()


if __name__ == "__main__":
    main()
