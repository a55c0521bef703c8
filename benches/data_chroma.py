"""Makes a Chroma directory of one collection with the real engine, and its facts.

usage: python data_chroma.py DIR --rows N --dim D

The facts are those of what the engine answers after a reopening: it keeps cosine vectors as direction and length, so their last bits may
differ from what was added.
"""

import argparse
import random

import chromadb
import numpy
from chromadb.config import Settings

from data_jsonl import document
from facts import Facts

BATCH_ROWS = 1000


def metadata(rng, row):
    return {"source": f"file-{row % 997}.txt", "page": row % 500, "score": rng.random(), "public": row % 3 == 0}


def open_client(directory):
    return chromadb.PersistentClient(directory, settings=Settings(anonymized_telemetry=False))


def facts_of(collection):
    facts = Facts()
    for offset in range(0, collection.count(), BATCH_ROWS):
        page = collection.get(limit=BATCH_ROWS, offset=offset, include=["embeddings", "documents"])
        facts.add(page["ids"], numpy.asarray(page["embeddings"], dtype=numpy.float32).ravel(), page["documents"])
    return facts


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("directory")
    arguments.add_argument("--rows", type=int, required=True)
    arguments.add_argument("--dim", type=int, required=True)
    options = arguments.parse_args()

    rng = random.Random(7)
    vectors = numpy.random.default_rng(7)
    client = open_client(options.directory)
    collection = client.create_collection("bench", embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    for first in range(0, options.rows, BATCH_ROWS):
        rows = range(first, min(first + BATCH_ROWS, options.rows))
        block = vectors.standard_normal((len(rows), options.dim), dtype=numpy.float32)
        ids = [f"doc-{row:08}" for row in rows]
        documents = [document(rng) for _ in rows]
        collection.add(ids=ids, embeddings=block, documents=documents, metadatas=[metadata(rng, row) for row in rows])
    client.close()
    client = open_client(options.directory)
    facts = facts_of(client.get_collection("bench", embedding_function=None))
    client.close()
    facts.write(options.directory)


if __name__ == "__main__":
    main()
