#!/usr/bin/env python3
"""Joins the parts of this bundle into one index. Needs faiss and numpy.

    python3 load.py [--out DIRECTORY] [--hnsw]

DIRECTORY (default: loaded beside this script) must not exist; it gets index.faiss and records.jsonl. Row n of the index
belongs to line n of records.jsonl. Without --hnsw the index is flat; with it, it is a graph over the same vectors.
"""

import argparse
import glob
import os
import shutil
import sys

import faiss

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = @PARTS@
ROWS = @ROWS@
HNSW_M = @M@
HNSW_EF_CONSTRUCTION = @EF@


def parts():
    found = sorted(glob.glob(os.path.join(HERE, "data", "index-*.faiss")))
    if len(found) != PARTS:
        sys.exit(f"error: data/ holds {len(found)} indexes, this bundle has {PARTS}; copy the bundle again")
    return found


def contents(path):
    """Labels (None without a map) and vectors of one part, with its metric."""
    index = faiss.read_index(path)
    labels, flat = None, index
    if isinstance(index, (faiss.IndexIDMap, faiss.IndexIDMap2)):
        labels, flat = faiss.vector_to_array(index.id_map), faiss.downcast_index(index.index)
    # Copied while the outer index, which owns the flat one, is alive.
    return labels, flat.reconstruct_n(0, flat.ntotal), index.metric_type


def empty(dim, metric, hnsw):
    if not hnsw:
        return faiss.IndexFlat(dim, metric)
    graph = faiss.IndexHNSWFlat(dim, HNSW_M, metric)
    graph.hnsw.efConstruction = HNSW_EF_CONSTRUCTION
    return graph


def join(hnsw):
    whole, inner = None, None
    for path in parts():
        labels, vectors, metric = contents(path)
        if whole is None:
            # The map does not own the index within it: both names live until the file is written.
            inner = empty(vectors.shape[1], metric, hnsw)
            whole = inner if labels is None else faiss.IndexIDMap2(inner)
        if labels is None:
            whole.add(vectors)
        else:
            whole.add_with_ids(vectors, labels)
    return whole, inner


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", default=os.path.join(HERE, "loaded"))
    arguments.add_argument("--hnsw", action="store_true")
    given = arguments.parse_args()
    if PARTS == 0:
        print("no record of this collection has the vector: there is nothing to index")
        return
    index, _inner = join(given.hnsw)
    if index.ntotal != ROWS:
        sys.exit(f"error: the index has {index.ntotal} vectors, this bundle has {ROWS}; copy the bundle again")
    os.makedirs(given.out)
    with open(os.path.join(given.out, "records.jsonl"), "wb") as records:
        for path in parts():
            name = os.path.basename(path).replace("index-", "records-").replace(".faiss", ".jsonl")
            with open(os.path.join(HERE, "data", name), "rb") as part:
                shutil.copyfileobj(part, records)
    faiss.write_index(index, os.path.join(given.out, "index.faiss"))
    print(f"{index.ntotal} vectors of {index.d} dimensions in {os.path.join(given.out, 'index.faiss')}")


main()
