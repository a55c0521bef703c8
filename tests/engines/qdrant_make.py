"""Makes a shard directory with Qdrant's own segment engine and writes what it scrolls as the truth.

usage: python qdrant_make.py DIR TRUTH.jsonl [--seed N] [--rows N] [--unnamed] [--unflushed]

DIR must not exist. The shard goes through random upserts, re-upserts, updates and deletes of single vectors, sets, overwrites,
deletes and clears of payloads, deletes of points and re-adds of deleted ones; in the middle it is optimised, so that what
lies there is an indexed segment with dead rows in it and an appendable one. Ids are integers up to 2^64-1 and UUIDs.

| vector | kind |
|---|---|
| cos | f32, cosine (normalised when stored) |
| dot | f32, dot, on disk |
| half | f16, euclid |
| byte | u8, manhattan |
| multi | f32 multivector, cosine |
| multi16 | f16 multivector, dot |
| words, ranks | sparse |

--unnamed   one unnamed cosine vector instead
--unflushed the directory is copied before the last third of the operations is flushed: they stand in the log only

TRUTH.jsonl has one line per point: `{"id", "vector", "payload"}`; `vector` is a list for the unnamed vector, else an object. Floats
are the exact values of the stored f32. The number of points is printed.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import uuid

import qdrant_edge as qdrant

PAGE_POINTS = 1000
TYPES = qdrant.VectorStorageDatatype
DENSE = {"cos": 24, "dot": 12, "half": 10, "byte": 16}
MULTI = {"multi": 6, "multi16": 4}
SPARSE = ["words", "ranks"]


def config(unnamed):
    cosine, dot = qdrant.Distance.Cosine, qdrant.Distance.Dot
    euclid, manhattan = qdrant.Distance.Euclid, qdrant.Distance.Manhattan
    rows = qdrant.MultiVectorConfig(qdrant.MultiVectorComparator.MaxSim)
    params = qdrant.EdgeVectorParams
    named = {
        "cos": params(size=DENSE["cos"], distance=cosine),
        "dot": params(size=DENSE["dot"], distance=dot, on_disk=True),
        "half": params(size=DENSE["half"], distance=euclid, datatype=TYPES.Float16),
        "byte": params(size=DENSE["byte"], distance=manhattan, datatype=TYPES.Uint8),
        "multi": params(size=MULTI["multi"], distance=cosine, multivector_config=rows),
        "multi16": params(size=MULTI["multi16"], distance=dot, datatype=TYPES.Float16, multivector_config=rows),
    }
    return qdrant.EdgeConfig(
        vectors=params(size=DENSE["cos"], distance=cosine) if unnamed else named,
        sparse_vectors=None if unnamed else {name: qdrant.EdgeSparseVectorParams() for name in SPARSE},
        optimizers=qdrant.EdgeOptimizersConfig(indexing_threshold=20, default_segment_number=1),
    )


class Workload:
    """Random operations on a pool of ids."""

    def __init__(self, shard, seed, rows, unnamed):
        self.shard, self.unnamed = shard, unnamed
        self.random = random.Random(seed)
        self.ids = [self.new_id(number) for number in range(rows)]
        self.live = set()

    def new_id(self, number):
        kind = self.random.randrange(4)
        if kind == 0:
            return str(uuid.UUID(int=self.random.getrandbits(128)))
        return number if kind < 3 else self.random.getrandbits(64)

    def floats(self, count):
        return [self.random.choice([0.0, 1.0, -0.5]) if self.random.random() < 0.1 else self.random.gauss(0, 1)
                for _ in range(count)]

    def value(self, name):
        if name == "byte":
            return [float(self.random.randrange(256)) for _ in range(DENSE[name])]
        if name in DENSE:
            return self.floats(DENSE[name])
        if name in MULTI:
            return [self.floats(MULTI[name]) for _ in range(self.random.randrange(1, 5))]
        top = self.random.choice([50, 3000, 1 << 20, (1 << 32) - 1])
        indices = sorted({self.random.randrange(top + 1) for _ in range(self.random.randrange(1, 30))})
        return qdrant.SparseVector(indices, self.floats(len(indices)))

    def vectors(self, least):
        if self.unnamed:
            return self.floats(DENSE["cos"])
        names = [*DENSE, *MULTI, *SPARSE]
        return {name: self.value(name) for name in self.random.sample(names, self.random.randrange(least, len(names) + 1))}

    def payload(self):
        values = [1, -7, (1 << 64) - 1, -(1 << 63), 0.25, 1e300, True, None, "", "text ü \"q\"\n", ["a", 1, 2.5, None],
                  {"deep": {"er": [True, {}]}}, "lorem ipsum " * self.random.randrange(400)]
        keys = self.random.sample(["z", "a", "m", "key with spaces", "ü"], self.random.randrange(5))
        return {key: self.random.choice(values) for key in keys}

    def some(self, pool, most):
        pool = sorted(pool, key=str)
        return self.random.sample(pool, min(len(pool), self.random.randrange(1, most)))

    def upsert(self, pool):
        points = [qdrant.Point(id, self.vectors(0), self.random.choice([None, {}, self.payload(), self.payload()]))
                  for id in self.some(pool, 80)]
        self.live.update(point.id if isinstance(point.id, int) else str(point.id) for point in points)
        return qdrant.UpdateOperation.upsert_points(points)

    def operation(self):
        make = qdrant.UpdateOperation
        if len(self.live) < 20:
            return self.upsert(self.ids)
        choice = self.random.randrange(10)
        if choice < 3:
            return self.upsert(self.ids)
        if choice == 3:
            return self.upsert(self.live)
        if choice == 4:
            gone = self.some(self.live, 30)
            self.live.difference_update(gone)
            return make.delete_points(gone)
        if choice == 5 and not self.unnamed:
            return make.update_vectors([qdrant.PointVectors(id, self.vectors(1)) for id in self.some(self.live, 20)])
        if choice == 6 and not self.unnamed:
            return make.delete_vectors(self.some(self.live, 20), self.random.sample(["cos", "byte", "multi", "words"], 2))
        if choice == 7:
            return make.set_payload(self.some(self.live, 30), {"set": self.random.randrange(9), **self.payload()})
        if choice == 8:
            return make.overwrite_payload(self.some(self.live, 20), self.payload())
        return self.random.choice([
            lambda: make.delete_payload(self.some(self.live, 30), ["z", "set", "unknown"]),
            lambda: make.clear_payload(self.some(self.live, 10)),
        ])()

    def run(self, operations):
        for _ in range(operations):
            self.shard.update(self.operation())


def plain(value):
    if isinstance(value, qdrant.SparseVector):
        return {"indices": list(value.indices), "values": list(value.values)}
    if isinstance(value, dict):
        return {name: plain(vector) for name, vector in value.items()}
    return value


def scroll_all(shard):
    offset = None
    while True:
        request = qdrant.ScrollRequest(offset=offset, limit=PAGE_POINTS, with_payload=True, with_vector=True)
        records, offset = shard.scroll(request)
        yield from records
        if offset is None:
            return


def write_truth(shard, path):
    count = 0
    with open(path, "w", encoding="utf-8") as out:
        for record in scroll_all(shard):
            id = record.id if isinstance(record.id, int) else str(record.id)
            line = {"id": id, "vector": plain(record.vector), "payload": record.payload}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    exact = shard.count(qdrant.CountRequest(exact=True))
    if count != exact:
        sys.exit(f"the engine counts {exact} points and scrolled {count}")
    return count


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("dir")
    arguments.add_argument("truth")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rows", type=int, default=600)
    arguments.add_argument("--unnamed", action="store_true")
    arguments.add_argument("--unflushed", action="store_true")
    options = arguments.parse_args()

    os.mkdir(options.dir)
    working = options.dir + ".working" if options.unflushed else options.dir
    if options.unflushed:
        os.mkdir(working)
    shard = qdrant.EdgeShard.create(working, config(options.unnamed))
    workload = Workload(shard, options.seed, options.rows, options.unnamed)
    workload.run(60)
    shard.flush()
    shard.optimize()
    workload.run(30)
    shard.flush()
    if options.unflushed:
        workload.run(30)
        subprocess.run(["cp", "-r", "--sparse=always", os.path.join(working, "."), options.dir], check=True)
    count = write_truth(shard, options.truth)
    shard.close()
    if options.unflushed:
        shutil.rmtree(working)
    print(count)


if __name__ == "__main__":
    main()
