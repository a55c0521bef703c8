"""FAISS index file -> Parquet as a person would script it: read_index, reconstruct_n, pyarrow. usage: FILE OUT.parquet"""

import sys

import faiss
import numpy
import pyarrow
import pyarrow.parquet

PAGE_ROWS = 20_000
SCHEMA = pyarrow.schema([
    ("id", pyarrow.string()),
    ("vector", pyarrow.list_(pyarrow.float32())),
    ("document", pyarrow.string()),
    ("metadata", pyarrow.string()),
])


def table(ids, vectors):
    rows, dim = vectors.shape
    offsets = numpy.arange(0, rows * dim + 1, dim, dtype=numpy.int32)
    lists = pyarrow.ListArray.from_arrays(offsets, vectors.ravel())
    nothing = pyarrow.nulls(rows, pyarrow.string())
    return pyarrow.table([[str(one) for one in ids.tolist()], lists, nothing, nothing], schema=SCHEMA)


index = faiss.read_index(sys.argv[1])
ids = faiss.vector_to_array(index.id_map)
flat = faiss.downcast_index(index.index)
with pyarrow.parquet.ParquetWriter(sys.argv[2], SCHEMA, compression="zstd", use_dictionary=False) as writer:
    for first in range(0, index.ntotal, PAGE_ROWS):
        rows = min(PAGE_ROWS, index.ntotal - first)
        writer.write_table(table(ids[first:first + rows], flat.reconstruct_n(first, rows)))
