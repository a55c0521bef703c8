"""Opens a bundle of indexes or arrays with the library that it is for, part by part and joined by its own load.py.

    bundle_open.py faiss|arrays BUNDLE OUT

Prints one JSON object: the rows as the bits of their numbers, the labels (faiss), the lines of records, in order; and for
faiss the metric and the nearest row of each row. Fails if what load.py joins is not what the parts hold.
"""

import glob
import json
import os
import subprocess
import sys

import numpy as np


def bits(rows):
    width = rows.dtype.itemsize
    return np.ascontiguousarray(rows).view(f"u{width}").tolist()


def run_load(bundle, out, *options):
    subprocess.run([sys.executable, os.path.join(bundle, "load.py"), "--out", out, *options], check=True, stdout=sys.stderr)


def lines(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def contents(index):
    """Labels (None without a map) and vectors, copied while the outer index is alive."""
    import faiss

    labels, flat = None, index
    if isinstance(index, (faiss.IndexIDMap, faiss.IndexIDMap2)):
        labels, flat = faiss.vector_to_array(index.id_map).tolist(), faiss.downcast_index(index.index)
    assert type(flat).__name__ in ("IndexFlat", "IndexFlatL2", "IndexFlatIP"), type(flat)
    return labels, flat.reconstruct_n(0, flat.ntotal)


def open_faiss(bundle, out):
    import faiss

    rows, labels = [], []
    for path in sorted(glob.glob(os.path.join(bundle, "data", "index-*.faiss"))):
        own, vectors = contents(faiss.read_index(path))
        rows.append(vectors)
        labels.extend(own or [])
    run_load(bundle, out)
    whole = faiss.read_index(os.path.join(out, "index.faiss"))
    joined_labels, joined = contents(whole)
    rows = np.concatenate(rows)
    assert np.array_equal(rows.view("u4"), joined.view("u4"))
    assert (joined_labels or []) == labels
    run_load(bundle, out + "-hnsw", "--hnsw")
    graph = faiss.read_index(os.path.join(out + "-hnsw", "index.faiss"))
    assert graph.ntotal == whole.ntotal and graph.metric_type == whole.metric_type
    _, nearest = whole.search(rows, 1)
    return {
        "rows": bits(rows),
        "labels": labels,
        "metric": int(whole.metric_type),
        "nearest": nearest[:, 0].tolist(),
        "records": lines(os.path.join(out, "records.jsonl")),
    }


def open_arrays(bundle, out):
    run_load(bundle, out)
    rows = np.load(os.path.join(out, "vectors.npy"))
    npy = sorted(glob.glob(os.path.join(bundle, "data", "vectors-*.npy")))
    if npy:
        parts = np.concatenate([np.load(path) for path in npy])
        assert parts.dtype == rows.dtype and np.array_equal(bits(parts), bits(rows))
    return {"rows": bits(rows), "dtype": str(rows.dtype), "records": lines(os.path.join(out, "records.jsonl"))}


kind, bundle, out = sys.argv[1:4]
print(json.dumps({"faiss": open_faiss, "arrays": open_arrays}[kind](bundle, out)))
