"""Pages of records into Parquet with pyarrow, as a person would script it."""

import json

import numpy
import pyarrow
import pyarrow.parquet

SCHEMA = pyarrow.schema([
    ("id", pyarrow.string()),
    ("vector", pyarrow.list_(pyarrow.float32())),
    ("metadata", pyarrow.string()),
    ("document", pyarrow.string()),
])


def lists(vectors):
    rows, dim = vectors.shape
    offsets = numpy.arange(0, rows * dim + 1, dim, dtype=numpy.int32)
    return pyarrow.ListArray.from_arrays(offsets, vectors.ravel())


def write(path, pages):
    """`pages` yields (ids, vectors as anything numpy takes, metadata as dicts or None, documents or None)."""
    with pyarrow.parquet.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=False) as writer:
        for ids, vectors, metadata, documents in pages:
            nothing = [None] * len(ids)
            columns = [
                [str(id) for id in ids],
                lists(numpy.asarray(vectors, dtype=numpy.float32)),
                [json.dumps(entry) for entry in metadata] if metadata else nothing,
                documents or nothing,
            ]
            writer.write_table(pyarrow.table(columns, schema=SCHEMA))
