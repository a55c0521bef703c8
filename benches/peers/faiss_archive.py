"""FAISS index file -> Parquet as a person would script it: read_index, reconstruct_n, pyarrow. usage: FILE OUT.parquet"""

import sys

import faiss

import pages

PAGE_ROWS = 20_000


def read(path):
    index = faiss.read_index(path)
    ids = faiss.vector_to_array(index.id_map)
    flat = faiss.downcast_index(index.index)
    for first in range(0, index.ntotal, PAGE_ROWS):
        rows = min(PAGE_ROWS, index.ntotal - first)
        yield ids[first:first + rows].tolist(), flat.reconstruct_n(first, rows), None, None


pages.write(sys.argv[2], read(sys.argv[1]))
