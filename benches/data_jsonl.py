"""Makes a seeded JSONL file and the facts that every output made from it must agree with.

usage: python data_jsonl.py OUT.jsonl --rows N --dim D

A line is `{"id", "vector", "metadata", "document"}` as `json.dumps` of a numpy f32 row's `.tolist()` spells it: each float in the long decimal
form of the f64 it widens to, `, ` between values. Metadata has six fields of mixed types, a document about 300 characters.
"""

import argparse
import random

import numpy
import orjson

from facts import Facts

CHUNK_ROWS = 1000
WORDS = "archive bucket cosine dense export field graph index journal kernel label metric norm offset payload query row shard".split()


def document(rng):
    text = " ".join(rng.choices(WORDS, k=46))
    return text[:300]


def metadata(rng, row):
    return {
        "source": f"file-{row % 997}.txt",
        "page": row % 500,
        "score": rng.random(),
        "public": row % 3 == 0,
        "language": rng.choice(["en", "de", "fr", "ja"]),
        "chunk": None if row % 11 == 0 else row // 7,
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("out")
    arguments.add_argument("--rows", type=int, required=True)
    arguments.add_argument("--dim", type=int, required=True)
    options = arguments.parse_args()

    rng = random.Random(7)
    vectors = numpy.random.default_rng(7)
    facts = Facts()
    with open(options.out, "wb") as out:
        for first in range(0, options.rows, CHUNK_ROWS):
            count = min(CHUNK_ROWS, options.rows - first)
            block = vectors.standard_normal((count, options.dim), dtype=numpy.float32) / numpy.float32(options.dim**0.5)
            for row, vector in enumerate(block, first):
                record = {"id": f"doc-{row:08}", "vector": vector.tolist(), "metadata": metadata(rng, row), "document": document(rng)}
                facts.add([record["id"]], vector, [record["document"]])
                out.write(orjson.dumps(record).replace(b",", b", ") + b"\n")
    facts.write(options.out)


if __name__ == "__main__":
    main()
