"""Chroma directory -> Parquet as a person would script it: chromadb pages into pyarrow. usage: DIR OUT.parquet"""

import json
import sys

import chromadb
import numpy
import pyarrow
import pyarrow.parquet
from chromadb.config import Settings

PAGE_ROWS = 2000
SCHEMA = pyarrow.schema([
    ("id", pyarrow.string()),
    ("vector", pyarrow.list_(pyarrow.float32())),
    ("metadata", pyarrow.string()),
    ("document", pyarrow.string()),
])


def table(page):
    vectors = numpy.asarray(page["embeddings"], dtype=numpy.float32)
    rows, dim = vectors.shape
    offsets = numpy.arange(0, rows * dim + 1, dim, dtype=numpy.int32)
    lists = pyarrow.ListArray.from_arrays(offsets, vectors.ravel())
    metadata = [json.dumps(entry) for entry in page["metadatas"]]
    return pyarrow.table([page["ids"], lists, metadata, page["documents"]], schema=SCHEMA)


client = chromadb.PersistentClient(sys.argv[1], settings=Settings(anonymized_telemetry=False))
collection = client.get_collection("bench", embedding_function=None)
with pyarrow.parquet.ParquetWriter(sys.argv[2], SCHEMA, compression="zstd", use_dictionary=False) as writer:
    for offset in range(0, collection.count(), PAGE_ROWS):
        page = collection.get(limit=PAGE_ROWS, offset=offset, include=["embeddings", "metadatas", "documents"])
        writer.write_table(table(page))
