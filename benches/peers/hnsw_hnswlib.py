"""HNSW by hnswlib: builds, then searches at each ef; prints build seconds and (ef, median seconds of three, recall) as JSON.

usage: python hnsw_hnswlib.py FOLDER DIM K THREADS M EF_CONSTRUCTION EF..
"""

import json
import statistics
import sys
import time

import hnswlib
import numpy

folder, dim, k, threads, m, ef_construction, *efs = sys.argv[1], *map(int, sys.argv[2:])
base = numpy.fromfile(f"{folder}/base.f32", dtype="<f4").reshape(-1, dim)
queries = numpy.fromfile(f"{folder}/queries.f32", dtype="<f4").reshape(-1, dim)
truth = numpy.fromfile(f"{folder}/truth.i32", dtype="<i4").reshape(-1, k)
index = hnswlib.Index(space="ip", dim=dim)
start = time.perf_counter()
index.init_index(len(base), M=m, ef_construction=ef_construction, random_seed=1)
index.add_items(base, num_threads=threads)
build_seconds = time.perf_counter() - start
points = []
for ef in efs:
    index.set_ef(ef)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        rows, _ = index.knn_query(queries, k=k, num_threads=threads)
        seconds.append(time.perf_counter() - start)
    hits = sum(len(numpy.intersect1d(a, b)) for a, b in zip(rows.astype(int), truth))
    points.append({"ef": ef, "seconds": statistics.median(seconds), "recall": hits / truth.size})
print(json.dumps({"build_seconds": build_seconds, "points": points}))
