"""Exact neighbours by faiss-cpu's flat index, as the truth of tests.

usage: python knn_faiss.py FOLDER DIM K

Reads FOLDER/base.f32 and FOLDER/queries.f32 (row-major, little endian); prints one JSON object: by metric (dot, l2, l1) the rows and
the distances of the K nearest, by query.
"""

import json
import sys

import faiss
import numpy

folder, dim, k = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
base = numpy.fromfile(f"{folder}/base.f32", dtype="<f4").reshape(-1, dim)
queries = numpy.fromfile(f"{folder}/queries.f32", dtype="<f4").reshape(-1, dim)
METRICS = {"dot": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2, "l1": faiss.METRIC_L1}
answers = {}
for name, metric in METRICS.items():
    index = faiss.IndexFlat(dim, metric)
    index.add(base)
    distances, rows = index.search(queries, k)
    answers[name] = {"rows": rows.tolist(), "distances": distances.astype(float).tolist()}
print(json.dumps(answers))
