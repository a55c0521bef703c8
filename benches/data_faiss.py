"""Makes a FAISS index file and its facts.

usage: python data_faiss.py FILE --rows N --dim D

An IndexIDMap2 over IndexFlatL2: ids are 64-bit numbers, there are no documents.
"""

import argparse

import faiss
import numpy

from facts import Facts

BATCH_ROWS = 10_000


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("file")
    arguments.add_argument("--rows", type=int, required=True)
    arguments.add_argument("--dim", type=int, required=True)
    options = arguments.parse_args()

    random = numpy.random.default_rng(7)
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(options.dim))
    facts = Facts()
    for first in range(0, options.rows, BATCH_ROWS):
        rows = min(BATCH_ROWS, options.rows - first)
        block = random.standard_normal((rows, options.dim), dtype=numpy.float32)
        ids = numpy.arange(first, first + rows, dtype=numpy.int64) * 7 + 11
        index.add_with_ids(block, ids)
        facts.add([str(one) for one in ids.tolist()], block.ravel(), [None] * rows)
    faiss.write_index(index, options.file)
    facts.write(options.file)


if __name__ == "__main__":
    main()
