"""Prints the facts of an output as JSON.

usage: python check.py OUTPUT

OUTPUT is a `.jsonl` file, a `.parquet` file, or a directory with `data/part-*.parquet`. Needs the columns `id`, `vector` and `document`.
"""

import glob
import json
import os
import sys

import numpy
import orjson
import pyarrow.parquet

from facts import Facts

BATCH_ROWS = 4096


def add_jsonl(facts, path):
    with open(path, "rb") as lines:
        for line in lines:
            record = orjson.loads(line)
            vector = numpy.array(record["vector"], dtype=numpy.float32)
            facts.add([record["id"]], vector, [record.get("document")])


def add_parquet(facts, path):
    file = pyarrow.parquet.ParquetFile(path)
    for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=["id", "vector", "document"]):
        vectors = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
        facts.add(batch.column("id").to_pylist(), vectors, batch.column("document").to_pylist())


def main():
    output = sys.argv[1]
    facts = Facts()
    if output.endswith(".jsonl"):
        add_jsonl(facts, output)
    elif os.path.isdir(output):
        for part in sorted(glob.glob(os.path.join(glob.escape(output), "data", "part-*.parquet"))):
            add_parquet(facts, part)
    else:
        add_parquet(facts, output)
    print(json.dumps(vars(facts)))


if __name__ == "__main__":
    main()
