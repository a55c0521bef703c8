"""What the native dumps of the benchmarks hold: integer ids 0.., seeded f32 vectors, six metadata fields, a text; and their facts.

Blocks of rows come from here, so that every dump of one size holds the same records.
"""

import argparse
import random

import numpy

from data_jsonl import document, metadata
from facts import Facts

BLOCK_ROWS = 2000


def options(doc):
    arguments = argparse.ArgumentParser(description=doc.splitlines()[0])
    arguments.add_argument("out")
    arguments.add_argument("--rows", type=int, required=True)
    arguments.add_argument("--dim", type=int, required=True)
    return arguments.parse_args()


class Records:
    """Blocks of (ids, vectors, metadata, texts); counts facts on the way. `with_text` is false for dumps without a document field."""

    def __init__(self, rows, dim, with_text):
        self.rows, self.dim, self.with_text = rows, dim, with_text
        self.facts = Facts()

    def __iter__(self):
        rng = random.Random(7)
        vectors = numpy.random.default_rng(7)
        for first in range(0, self.rows, BLOCK_ROWS):
            ids = list(range(first, min(first + BLOCK_ROWS, self.rows)))
            block = vectors.standard_normal((len(ids), self.dim), dtype=numpy.float32) / numpy.float32(self.dim**0.5)
            entries = [metadata(rng, row) for row in ids]
            texts = [document(rng) for _ in ids]
            self.facts.add([str(id) for id in ids], block.ravel(), texts if self.with_text else [])
            yield ids, block, entries, texts
