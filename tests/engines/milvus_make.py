"""Makes the logs of a Milvus 2.3.5 server by a random workload, and writes what the server answers at its end.

usage: unshare -n -p -f --mount-proc --kill-child python milvus_make.py DIR [--seed N]

Needs `milvus==2.3.5 pymilvus==2.3.7 'setuptools<70' 'marshmallow<4'`, and root for the network namespace: the server binds
every address. DIR must not exist. Afterwards it holds `insert_log/` and `delta_log/` as the server left them, `schema.json`
(describe_collection of every collection, with `partitions` and `indexes`) and `truth.jsonl`, one line per row of the
server's answer: `{"collection", "ns": partition or null for the default one and with a partition key, "row"}`; bits in hex.

Collections: `parts` (partitions, upserts, deletes in one and in all partitions, keys inserted twice), `keyed` (text keys, a
partition key, arrays of all types, JSON, dynamic keys) and `auto` (automatic ids, bits).
"""

import argparse
import fcntl
import glob
import json
import os
import random
import shutil
import socket
import struct

import numpy
from milvus import default_server
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections
from pymilvus.grpc_gen import milvus_pb2


def loopback_up():
    request = struct.pack("16sh", b"lo", 0x1 | 0x40)
    fcntl.ioctl(socket.socket(), 0x8914, request + bytes(14))


def field(name, data_type, **more):
    return FieldSchema(name, data_type, **more)


class Workload:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.numpy = numpy.random.default_rng(seed)

    def vector(self, dim):
        return [float(x) for x in self.numpy.standard_normal(dim).astype(numpy.float32)]

    def some(self, count, below):
        return sorted({self.random.randrange(below) for _ in range(count)})

    def parts_row(self, key):
        row = {"id": key, "emb": self.vector(24), "txt": f't{key}\u00fc"\n', "i32": self.random.randrange(-(2**31), 2**31), "fl": self.random.random()}
        if key % 2:
            row |= {"dyn": self.random.choice([1, 1.5, "x", None, [1, 2], {"a": 1}]), "big": 2**60 + key}
        return row

    def parts(self):
        fields = [field("id", DataType.INT64, is_primary=True), field("emb", DataType.FLOAT_VECTOR, dim=24),
                  field("txt", DataType.VARCHAR, max_length=100), field("i32", DataType.INT32), field("fl", DataType.FLOAT)]
        collection = Collection("parts", CollectionSchema(fields, enable_dynamic_field=True))
        for name in ("eu", "us"):
            collection.create_partition(name)
        collection.create_index("emb", {"index_type": "HNSW", "metric_type": "L2", "params": {"M": 12, "efConstruction": 80}})
        collection.load()
        for step in range(12):
            for name in ("_default", "eu", "us"):
                keys, choice = self.some(120, 1500), self.random.random()
                if step < 3 or choice < 0.3:
                    collection.insert([self.parts_row(key) for key in range(step * 300, step * 300 + 150)], partition_name=name)
                elif choice < 0.7:
                    collection.upsert([self.parts_row(key) for key in keys], partition_name=name)
                else:
                    collection.delete(f"id in {keys[:60]}", partition_name=name)
            if step % 4 == 3:
                collection.delete(f"id in {self.some(80, 1500)}")
            if step == 5:
                collection.insert([self.parts_row(key) for key in range(100, 180)], partition_name="eu")
            if step % 3 == 2:
                collection.flush()
        return collection, "id", "emb"

    def keyed_row(self, n):
        values = [{"n": None, "x": [1, 2.5, "y"]}, {"i": 2**53 + n}, {"\u00e9": "\u0001"}, {}]
        return {"key": f'k,"{n}', "tenant": f"t{n % 5}", "e": self.vector(8), "ab": [bool(n & 1)] * (n % 3), "a8": [-(n % 120)] * (n % 4),
                "a64": [2**40 * n, -n], "af": [n * 0.1], "ad": [n * 0.1] * (n % 2), "as": [f"\u00e4{n}", ""] * (n % 2),
                "js": self.random.choice(values), "d": self.random.random() * 1e300, "b": bool(n % 2), "i8": n % 256 - 128,
                "i16": n % 65536 - 32768, "more": {"z": n}}

    def keyed(self):
        def array(name, element, **more):
            return field(name, DataType.ARRAY, element_type=element, max_capacity=8, **more)

        fields = [field("key", DataType.VARCHAR, max_length=64, is_primary=True), field("tenant", DataType.VARCHAR, max_length=20, is_partition_key=True),
                  field("e", DataType.FLOAT_VECTOR, dim=8), array("ab", DataType.BOOL), array("a8", DataType.INT8), array("a64", DataType.INT64),
                  array("af", DataType.FLOAT), array("ad", DataType.DOUBLE), array("as", DataType.VARCHAR, max_length=30), field("js", DataType.JSON),
                  field("d", DataType.DOUBLE), field("b", DataType.BOOL), field("i8", DataType.INT8), field("i16", DataType.INT16)]
        collection = Collection("keyed", CollectionSchema(fields, enable_dynamic_field=True), num_partitions=4)
        collection.create_index("e", {"index_type": "IVF_FLAT", "metric_type": "COSINE", "params": {"nlist": 16}})
        collection.load()
        for step in range(5):
            end = step * 200 + 200
            collection.insert([self.keyed_row(n) for n in range(end - 200, end)])
            collection.upsert([self.keyed_row(n) for n in self.some(50, end)])
            collection.delete("key in " + json.dumps([f'k,"{n}' for n in self.some(30, end)]))
            if step % 2:
                collection.flush()
        return collection, "key", "e"

    def auto(self):
        fields = [field("pk", DataType.INT64, is_primary=True, auto_id=True), field("bv", DataType.BINARY_VECTOR, dim=128)]
        collection = Collection("auto", CollectionSchema(fields))
        collection.create_index("bv", {"index_type": "BIN_FLAT", "metric_type": "JACCARD", "params": {}})
        for _ in range(3):
            collection.insert([{"bv": self.random.randbytes(16)} for _ in range(500)])
            collection.flush()
        return collection, "pk", "bv"


def plain(value):
    if isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (str, dict)) or not hasattr(value, "__iter__"):
        return value
    items = list(value)
    return items[0].hex() if items and isinstance(items[0], bytes) else [plain(item) for item in items]


def answer(collection, key, vector, truth):
    """Writes every row that the server answers and returns the description of the collection."""
    collection.flush()
    collection.load()
    handler = connections._fetch_handler("default")
    shown = handler._stub.ShowPartitions(milvus_pb2.ShowPartitionsRequest(collection_name=collection.name))
    description = json.loads(json.dumps(handler.describe_collection(collection.name), default=str))
    description["partitions"] = {str(number): name for number, name in zip(shown.partitionIDs, shown.partition_names)}
    description["indexes"] = [dict(field_name=index.field_name, **index.params) for index in collection.indexes]
    texts = any(f.is_primary and f.dtype == DataType.VARCHAR for f in collection.schema.fields)
    hashed = any(f.is_partition_key for f in collection.schema.fields)
    everything = f'{key} != ""' if texts else f"{key} >= {-(2**63) + 1}"
    for name in [None] if hashed else shown.partition_names:
        chosen = {} if name is None else {"partition_names": [name]}
        for row in collection.query(everything, output_fields=["*"], consistency_level="Strong", limit=16384, **chosen):
            row = {name: [float(x) for x in value] if name == vector and not isinstance(value[0], bytes) else plain(value) for name, value in row.items()}
            line = {"collection": collection.name, "ns": None if name in (None, "_default") else name, "row": row}
            truth.write(json.dumps(line) + "\n")
    return description


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    os.makedirs(options.dir)
    base = os.path.join(os.path.abspath(options.dir), "server")
    loopback_up()
    default_server.set_base_dir(base)
    default_server.start()
    connections.connect(host="127.0.0.1", port=default_server.listen_port)
    workload = Workload(options.seed)
    made = [workload.parts(), workload.keyed(), workload.auto()]
    with open(os.path.join(options.dir, "truth.jsonl"), "w") as truth:
        schemas = [answer(*collection, truth) for collection in made]
    with open(os.path.join(options.dir, "schema.json"), "w") as out:
        json.dump(schemas, out)
    root = os.path.dirname(glob.glob(base + "/**/insert_log", recursive=True)[0])
    for name in ("insert_log", "delta_log"):
        shutil.copytree(os.path.join(root, name), os.path.join(options.dir, name))
    shutil.rmtree(base, ignore_errors=True)
    # The server ignores SIGTERM; it ends with its process namespace.
    os._exit(0)


main()
