"""Makes clustered unit vectors for `search.py`: FOLDER/base.f32 and FOLDER/queries.f32, row-major.

usage: python data_vectors.py FOLDER --rows N --dim D [--queries Q]

Each vector is one of rows/100 centres plus noise as long as the centre, at unit length; queries are new ones from the same centres.
"""

import argparse
import os

import numpy

CHUNK = 20_000


def write(path, count, centres, random):
    with open(path, "wb") as out:
        for start in range(0, count, CHUNK):
            rows = min(CHUNK, count - start)
            chosen = centres[random.integers(0, len(centres), rows)]
            vectors = chosen + random.standard_normal(chosen.shape, dtype=numpy.float32)
            vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)
            out.write(vectors.astype("<f4").tobytes())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--queries", type=int, default=1000)
    options = parser.parse_args()
    random = numpy.random.default_rng(7)
    centres = random.standard_normal((max(options.rows // 100, 10), options.dim), dtype=numpy.float32)
    os.makedirs(options.folder, exist_ok=True)
    write(os.path.join(options.folder, "queries.f32"), options.queries, centres, random)
    write(os.path.join(options.folder, "base.f32"), options.rows, centres, random)


if __name__ == "__main__":
    main()
