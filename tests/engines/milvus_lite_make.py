"""Makes a Milvus Lite 3 directory with the real engine and writes what its API answers as the truth.

usage: python milvus_lite_make.py DIR TRUTH.jsonl [--seed N] [--rows N]

DIR must not exist. It is a copy that is taken while the database is open, so that the newest writes are only in the write-ahead logs. Every
collection goes through random inserts, upserts (whole and in part), deletes and inserts of deleted keys, with flushes in between.

| database | collection | what it is for |
|---|---|---|
| default | typed | integer keys, all scalar types, nulls, arrays, JSON, dynamic keys; partitions `_default`, `north`, `süd`; an alias |
| default | texts | text keys, sparse vectors |
| default | keyed | a partition key: partitions are buckets |
| default | empty | never had a row |
| second | typed | the same name in another database |

TRUTH.jsonl has one line per record: `{"database", "collection", "partition", "id", "vector": [f32..] | {"index": f32} | null, "fields"}`.
"""

import argparse
import json
import os
import random
import shutil
import struct
import sys

from pymilvus import DataType, MilvusClient

DIM = 6
WORDS = ["vector", "naïve", "日本語", "🙂🚀", 'quote " and \\', "tab\tand\nnewline", "", "0"]


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


class Writer:
    """Drives one collection and remembers which keys are live, so that later steps hit what they mean to hit."""

    def __init__(self, client, collection, rng, record, partitions=("_default",)):
        self.client, self.collection, self.rng, self.record, self.partitions = client, collection, rng, record, partitions
        self.live, self.dead = {}, []

    def place(self, partition):
        return {} if len(self.partitions) == 1 else {"partition_name": partition}

    def insert(self, keys):
        partition = self.rng.choice(self.partitions)
        self.client.insert(self.collection, [self.record(key) for key in keys], **self.place(partition))
        self.live.update({key: partition for key in keys})

    def upsert(self, keys):
        by_partition = {}
        for key in keys:
            by_partition.setdefault(self.live.get(key) or self.rng.choice(self.partitions), []).append(key)
        for partition, keys in by_partition.items():
            self.client.upsert(self.collection, [self.record(key) for key in keys], **self.place(partition))
            self.live.update({key: partition for key in keys})

    def delete(self, keys):
        self.client.delete(self.collection, ids=keys)
        for key in keys:
            self.live.pop(key, None)
        self.dead += keys

    def live_through(self, rows, new_key):
        number = 0
        while len(self.live) < rows:
            step = self.rng.random()
            if step < 0.5 or len(self.live) < 20:
                count = self.rng.randrange(1, 40)
                self.insert([new_key(n) for n in range(number, number + count)])
                number += count
            elif step < 0.65:
                self.upsert(self.rng.sample(sorted(self.live), 9) + [new_key(number)])
                number += 1
            elif step < 0.8:
                self.delete(self.rng.sample(sorted(self.live), 10))
            elif step < 0.9 and self.dead:
                again = [self.dead.pop() for _ in range(min(4, len(self.dead)))]
                self.insert([key for key in dict.fromkeys(again) if key not in self.live])
            else:
                self.client.flush(self.collection)


def typed_schema(client, partition_key=False):
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIM)
    schema.add_field("s", DataType.VARCHAR, max_length=500, is_partition_key=partition_key)
    if partition_key:
        return schema
    schema.add_field("b", DataType.BOOL)
    schema.add_field("i8", DataType.INT8)
    schema.add_field("i16", DataType.INT16, nullable=True)
    schema.add_field("i32", DataType.INT32)
    schema.add_field("i64", DataType.INT64, nullable=True)
    schema.add_field("f", DataType.FLOAT)
    schema.add_field("d", DataType.DOUBLE, nullable=True)
    schema.add_field("j", DataType.JSON, nullable=True)
    schema.add_field("ai", DataType.ARRAY, element_type=DataType.INT64, max_capacity=9)
    schema.add_field("as", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=9, max_length=99)
    return schema


def typed_record(rng):
    def record(key):
        fields = {
            "pk": key,
            "v": [f32(rng.gauss(0, 1)) for _ in range(DIM)],
            "s": rng.choice(WORDS),
            "b": rng.random() < 0.5,
            "i8": rng.randrange(-128, 128),
            "i16": rng.choice([None, -(2**15), 2**15 - 1]),
            "i32": rng.choice([-(2**31), 2**31 - 1]),
            "i64": rng.choice([None, -(2**63), 2**63 - 1, 2**53 + 1]),
            "f": f32(rng.choice([0.1, 1.0, -0.0, 1e-40, 3e38])),
            "d": rng.choice([None, 0.1, 1e300, 5e-324]),
            "j": rng.choice([None, {"k": key, "n": [1, "a", None, 1.5]}, [1, 2], {}]),
            "ai": [rng.randrange(-9, 9) for _ in range(rng.randrange(0, 4))],
            "as": [rng.choice(WORDS) for _ in range(rng.randrange(0, 3))],
        }
        if rng.random() < 0.5:
            fields.update({"dyn": rng.choice(WORDS), "dynlist": [1, 2.5, {"x": None}]})
        return fields

    return record


def texts_record(rng):
    return lambda key: {"pk": key, "v": {rng.randrange(1000): f32(rng.random() + 0.01) for _ in range(rng.randrange(1, 7))}}


def keyed_record(rng):
    return lambda key: {"pk": key, "v": [f32(rng.gauss(0, 1)) for _ in range(DIM)], "s": rng.choice(WORDS)}


def index(client, kind, metric, **params):
    params_of = client.prepare_index_params()
    params_of.add_index("v", index_type=kind, metric_type=metric, params=params)
    return params_of


def fill_default(client, rng, rows):
    hnsw = index(client, "HNSW", "COSINE", M=16, efConstruction=100)
    client.create_collection("typed", schema=typed_schema(client), index_params=hnsw)
    for name in ("north", "süd"):
        client.create_partition("typed", name)
    client.create_alias("typed", "typed_alias")
    Writer(client, "typed", rng, typed_record(rng), ("_default", "north", "süd")).live_through(rows, lambda n: n * 3 - 50)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("v", DataType.SPARSE_FLOAT_VECTOR)
    client.create_collection("texts", schema=schema, index_params=index(client, "SPARSE_INVERTED_INDEX", "IP"))
    Writer(client, "texts", rng, texts_record(rng)).live_through(rows // 2, lambda n: f"ключ-{n}")
    client.create_collection("keyed", schema=typed_schema(client, True), index_params=index(client, "FLAT", "L2"))
    Writer(client, "keyed", rng, keyed_record(rng)).live_through(rows // 4, lambda n: n)
    client.create_collection("empty", schema=typed_schema(client, True), index_params=index(client, "FLAT", "IP"))


def fill_second(client, rng, rows):
    client.create_collection("typed", schema=typed_schema(client, True), index_params=index(client, "FLAT", "L2"))
    Writer(client, "typed", rng, keyed_record(rng)).live_through(rows // 4, lambda n: n)


def plain(value):
    """Numbers of numpy and containers of protobuf as Python has them."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, (bool, int, float)):
        return value
    if hasattr(value, "item"):
        return value.item()
    return [plain(item) for item in value]


def query(client, collection, partition=None):
    """All records by key, of one partition or of all."""
    everything = 'pk != "-"' if collection == "texts" else "pk > -1000000"
    places = {} if partition is None else {"partition_names": [partition]}
    found = client.query(collection, filter=everything, output_fields=["*"], limit=16384, **places)
    return {record["pk"]: plain(dict(record)) for record in found}


def truth(client, database, collection):
    """What the whole collection answers. A query of one partition also shows rows that were written anew in another one within one
    memtable, so a partition counts only where its row is the collection's."""
    client.load_collection(collection)
    records = query(client, collection)
    places = {}
    if not any(field.get("is_partition_key") for field in client.describe_collection(collection)["fields"]):
        for partition in client.list_partitions(collection):
            found = query(client, collection, partition)
            places.update({key: partition for key, record in found.items() if records.get(key) == record})
    for key, record in records.items():
        yield {
            "database": database,
            "collection": collection,
            "partition": places.get(key),
            "id": record.pop("pk"),
            "vector": record.pop("v"),
            "fields": record,
        }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("directory")
    arguments.add_argument("truth")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rows", type=int, default=400)
    options = arguments.parse_args()
    if os.path.exists(options.directory):
        sys.exit(f"{options.directory} is there already; choose a new directory")
    rng = random.Random(options.seed)
    live = options.directory + ".live.db"
    client = MilvusClient(live)
    fill_default(client, rng, options.rows)
    client.create_database("second")
    client.use_database("second")
    fill_second(client, rng, options.rows)
    with open(options.truth, "w", encoding="utf-8") as out:
        for database, collections in (("default", ["typed", "texts", "keyed", "empty"]), ("second", ["typed"])):
            client.use_database(database)
            for collection in collections:
                for line in truth(client, database, collection):
                    out.write(json.dumps(line, ensure_ascii=False) + "\n")
    shutil.copytree(live, options.directory)
    client.close()


if __name__ == "__main__":
    main()
