"""Exact neighbours by faiss-cpu: writes them to FOLDER/OUT (i32, row-major) and prints the median seconds of three runs as JSON.

usage: python knn_faiss.py FOLDER DIM K THREADS OUT
"""

import json
import statistics
import sys
import time

import faiss
import numpy

folder, dim, k, threads, out = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
faiss.omp_set_num_threads(threads)
base = numpy.fromfile(f"{folder}/base.f32", dtype="<f4").reshape(-1, dim)
queries = numpy.fromfile(f"{folder}/queries.f32", dtype="<f4").reshape(-1, dim)
index = faiss.IndexFlatIP(dim)
index.add(base)
seconds = []
for _ in range(3):
    start = time.perf_counter()
    _, rows = index.search(queries, k)
    seconds.append(time.perf_counter() - start)
rows.astype("<i4").tofile(f"{folder}/{out}")
print(json.dumps({"seconds": statistics.median(seconds)}))
