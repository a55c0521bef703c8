"""Makes a Chroma directory with the real engine and writes what its API answers as the truth.

usage: python chroma_make.py DIR TRUTH.jsonl [--seed N] [--rows N]

DIR must not exist. Every collection goes through random adds, updates of vector, metadata or document alone, removal of metadata
keys, upserts, deletes, re-adds of deleted ids, adds of existing ids and updates of unknown ids (the engine ignores both).

| tenant / database | collection | what it is for |
|---|---|---|
| default | cosine_small_sync | cosine, sync threshold 100: vectors both in the HNSW files and in the queue |
| default | l2_default_sync | l2, at least 1,100 records: crosses the default threshold of 1,000; has uris; no documents |
| default | ip_metadata_spelling | ip and thresholds given as `hnsw:` metadata, the old spelling |
| default | unsynced | never crosses the threshold: vectors only in the queue |
| default | empty | never had a record |
| default | emptied | had records, all deleted |
| default | deleted | deleted as a whole; leaves its directory behind; not in the truth |
| default / second_database | cosine_small_sync | the same name as above in another database |
| second_tenant / second_database | other_tenant | another tenant |

TRUTH.jsonl has one line per live record: `{"tenant", "database", "collection", "id", "vector", "metadata", "document", "uri"}`; absent parts
are null. A vector's floats are the exact values of the stored f32. Keys are sorted because the engine gives those of metadata in a new order
each time; the same seed and rows give the same bytes.
"""

import argparse
import json
import logging
import os
import random
import sys

import chromadb
import numpy
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, Settings

PAGE_ROWS = 500
WORDS = ["vector", "naïve", "Größe", "日本語", "مرحبا", "🙂🚀", "tab\tand\nnewline", 'quote " and \\', "e\u0301", "\u2028", "it's"]
DEFAULTS_ADDED = 1100


class Writer:
    """Drives one collection and remembers which ids are live, so that later steps hit what they mean to hit."""

    def __init__(self, collection, dim, rng, documents=True, uris=False):
        self.collection = collection
        self.dim = dim
        self.rng = rng
        self.documents = documents
        self.uris = uris
        self.live = []
        self.next_id = 0

    def vector(self):
        """No larger than 1e18: under cosine the engine squares lengths in f32, and past 1.8e19 it answers NaN."""
        values = numpy.array([self.rng.gauss(0, 2) for _ in range(self.dim)], dtype=numpy.float32)
        if self.rng.random() < 0.05:
            values[self.rng.randrange(self.dim)] = self.rng.choice([-0.0, 1e-40, 1e18, 1e-7, 16777216.0])
        return values

    def text(self):
        return " ".join(self.rng.choice(WORDS) for _ in range(self.rng.randrange(0, 12)))

    def metadata(self):
        """A random subset of every type that the engine keeps; None where the record has no metadata."""
        candidates = {
            "text": self.text(),
            "empty": "",
            "int": self.rng.choice([0, 1, -1, 2**53 + 1, -(2**63), 2**63 - 1, self.rng.randrange(-1000, 1000)]),
            "float": self.rng.choice([0.0, 1.0, -0.0, 0.1, 1e300, 5e-324, self.rng.gauss(0, 1)]),
            "bool": self.rng.random() < 0.5,
            "clé unicode 🙂": self.text(),
            "list_text": [self.text() for _ in range(self.rng.randrange(1, 4))],
            "list_int": [self.rng.randrange(-9, 9) for _ in range(self.rng.randrange(1, 4))],
            "list_float": [self.rng.gauss(0, 1), 1.0],
            "list_bool": [True, False, True],
        }
        chosen = {key: value for key, value in candidates.items() if self.rng.random() < 0.4}
        return chosen or None

    def record_fields(self, ids):
        fields = {"ids": ids, "embeddings": [self.vector() for _ in ids], "metadatas": [self.metadata() for _ in ids]}
        if self.documents:
            fields["documents"] = [self.text() for _ in ids]
        if self.uris:
            fields["uris"] = [f"file:///{self.collection.name}/{id}" for id in ids]
        return fields

    def new_ids(self, count):
        first, self.next_id = self.next_id, self.next_id + count
        return [f"id-{n}" if n % 10 else f"ключ {n} 🙂" for n in range(first, first + count)]

    def pick(self, count):
        return self.rng.sample(self.live, min(count, len(self.live)))

    def add(self, count):
        ids = self.new_ids(count)
        self.collection.add(**self.record_fields(ids))
        self.live += ids

    def update(self, count):
        """One aspect at a time: vector; metadata with one key removed; document (the engine asks for its vector too)."""
        ids = self.pick(count)
        self.collection.update(ids=ids, embeddings=[self.vector() for _ in ids])
        ids = self.pick(count)
        changes = [{**(self.metadata() or {"text": "new"}), self.rng.choice(["int", "float", "list_int"]): None} for _ in ids]
        self.collection.update(ids=ids, metadatas=changes)
        if self.documents:
            ids = self.pick(count)
            self.collection.update(ids=ids, documents=[self.text() for _ in ids], embeddings=[self.vector() for _ in ids])

    def upsert(self, count):
        fresh = self.new_ids(count // 2)
        self.collection.upsert(**self.record_fields(self.pick(count - len(fresh)) + fresh))
        self.live += fresh

    def delete(self, count):
        ids = self.pick(count)
        self.collection.delete(ids=ids)
        gone = set(ids)
        self.live = [id for id in self.live if id not in gone]
        return ids

    def add_again(self, ids):
        self.collection.add(**self.record_fields(ids))
        self.live += ids

    def do_what_the_engine_ignores(self, count):
        self.collection.add(**self.record_fields(self.pick(count)))
        self.collection.update(ids=["no such id"], embeddings=[self.vector()])

    def live_through(self, rows):
        """About `rows` records in random steps, every kind of step at least once."""
        while len(self.live) < rows:
            self.add(self.rng.randrange(1, 1 + max(1, rows // 6)))
            step = self.rng.random()
            if step < 0.4:
                self.update(self.rng.randrange(1, 20))
            elif step < 0.6:
                self.upsert(self.rng.randrange(2, 20))
            elif step < 0.8:
                self.delete(self.rng.randrange(1, 10))
        few = max(2, rows // 20)
        self.update(few)
        self.upsert(few)
        deleted = self.delete(few)
        self.add_again(deleted[: few // 2])
        self.do_what_the_engine_ignores(few)
        self.leave_a_tail()

    def leave_a_tail(self):
        """A few changes of each kind that small thresholds usually leave in the queue."""
        self.add(7)
        self.update(5)
        self.upsert(4)
        self.delete(3)


def hnsw(space, **settings):
    return {"hnsw": {"space": space, **settings}}


def create(client, name, **settings):
    return client.create_collection(name, embedding_function=None, **settings)


def fill_default_database(client, rng, rows):
    small_sync = hnsw("cosine", sync_threshold=100, batch_size=50, max_neighbors=24, ef_construction=150)
    Writer(create(client, "cosine_small_sync", configuration=small_sync), 24, rng).live_through(rows)
    Writer(create(client, "l2_default_sync", configuration=hnsw("l2")), 16, rng, documents=False, uris=True).live_through(
        max(rows, DEFAULTS_ADDED))
    old_spelling = {"hnsw:space": "ip", "hnsw:sync_threshold": 60, "hnsw:batch_size": 30, "hnsw:M": 8, "owner": "müller"}
    Writer(create(client, "ip_metadata_spelling", metadata=old_spelling), 7, rng).live_through(rows // 2)
    Writer(create(client, "unsynced"), 5, rng).live_through(min(rows // 4, 300))
    create(client, "empty", configuration=hnsw("cosine"))
    emptied = Writer(create(client, "emptied", configuration=hnsw("l2", sync_threshold=20, batch_size=10)), 4, rng)
    emptied.add(50)
    emptied.delete(50)
    Writer(create(client, "deleted", configuration=hnsw("l2", sync_threshold=20, batch_size=10)), 4, rng).add(50)
    client.delete_collection("deleted")


def fill_second_database(client, rng, rows):
    small_sync = hnsw("cosine", sync_threshold=50, batch_size=25)
    Writer(create(client, "cosine_small_sync", configuration=small_sync), 12, rng).live_through(rows // 4)


def fill_second_tenant(client, rng, rows):
    Writer(create(client, "other_tenant", configuration=hnsw("ip")), 3, rng).live_through(rows // 4)


def truth_lines(client, tenant, database):
    for collection in sorted(client.list_collections(), key=lambda collection: collection.name):
        expected = collection.count()
        seen = 0
        while seen < expected:
            page = collection.get(
                limit=PAGE_ROWS, offset=seen, include=["embeddings", "metadatas", "documents", "uris"])
            if not page["ids"]:
                sys.exit(f"{collection.name}: the engine counts {expected} records and gave {seen}")
            for at, id in enumerate(page["ids"]):
                yield {
                    "tenant": tenant,
                    "database": database,
                    "collection": collection.name,
                    "id": id,
                    "vector": [float(value) for value in numpy.asarray(page["embeddings"][at], dtype=numpy.float32)],
                    "metadata": page["metadatas"][at],
                    "document": page["documents"][at],
                    "uri": page["uris"][at],
                }
            seen += len(page["ids"])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("directory")
    arguments.add_argument("truth")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rows", type=int, default=1200, help="records of the largest collections")
    options = arguments.parse_args()
    if os.path.exists(options.directory):
        sys.exit(f"{options.directory} is there already; choose a new directory")

    logging.getLogger("chromadb").setLevel(logging.ERROR)
    rng = random.Random(options.seed)
    settings = Settings(anonymized_telemetry=False)
    admin_settings = Settings(anonymized_telemetry=False, is_persistent=True, persist_directory=options.directory)

    client = chromadb.PersistentClient(options.directory, settings=settings)
    admin = chromadb.AdminClient(admin_settings)
    admin.create_database("second_database", tenant=DEFAULT_TENANT)
    admin.create_tenant("second_tenant")
    admin.create_database("second_database", tenant="second_tenant")

    places = [
        (DEFAULT_TENANT, DEFAULT_DATABASE, fill_default_database),
        (DEFAULT_TENANT, "second_database", fill_second_database),
        ("second_tenant", "second_database", fill_second_tenant),
    ]
    with open(options.truth, "w", encoding="utf-8") as truth:
        for tenant, database, fill in places:
            client.set_tenant(tenant, database)
            fill(client, rng, options.rows)
        count = 0
        for tenant, database, _ in places:
            client.set_tenant(tenant, database)
            for line in truth_lines(client, tenant, database):
                truth.write(json.dumps(line, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n")
                count += 1
    client.close()
    print(count)


if __name__ == "__main__":
    main()
