"""Makes a FAISS index file with the library, and its facts. usage: python data_faiss.py FILE --rows N --dim D

An IndexIDMap2 over IndexFlatL2; FAISS keeps vectors and ids, nothing else.
"""

import faiss
import numpy

import native


def main():
    options = native.options(__doc__)
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(options.dim))
    records = native.Records(options.rows, options.dim, with_text=False)
    for ids, block, _, _ in records:
        index.add_with_ids(block, numpy.array(ids, dtype=numpy.int64))
    faiss.write_index(index, options.out)
    records.facts.write(options.out)


if __name__ == "__main__":
    main()
