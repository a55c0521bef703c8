"""What two forms of the same collection must agree on, whatever the order of rows.

`rows`, `id_bytes` and `document_bytes` are plain sums; `vector_bits` is the sum of the f32 bit patterns as unsigned integers modulo 2^64, so a single
changed bit shows. The facts of `F` stand in `F.facts.json`.
"""

import json

import numpy


class Facts:
    def __init__(self):
        self.rows = 0
        self.id_bytes = 0
        self.document_bytes = 0
        self.vector_bits = 0

    def add(self, ids, vector_values, documents):
        """`vector_values` is one flat f32 array of all vectors of these records."""
        bits = numpy.ascontiguousarray(vector_values, dtype=numpy.float32).view(numpy.uint32)
        self.rows += len(ids)
        self.id_bytes += sum(len(id.encode()) for id in ids)
        self.document_bytes += sum(len(text.encode()) for text in documents if text is not None)
        self.vector_bits = (self.vector_bits + int(bits.sum(dtype=numpy.uint64))) % 2**64

    def write(self, path):
        with open(f"{path}.facts.json", "w", encoding="utf-8") as out:
            json.dump(vars(self), out)
