"""Archive -> request bodies for Qdrant as a person would script it: pyarrow and json.dumps. usage: ARCHIVE OUT_DIR"""

import json
import os
import sys

import archive

BODY_POINTS = 1000

os.makedirs(sys.argv[2])
for number, (ids, vectors, metadata, documents) in enumerate(archive.pages(sys.argv[1], BODY_POINTS)):
    points = [
        {"id": id, "vector": vector, "payload": (entries or {}) | {"document": document}}
        for id, vector, entries, document in zip(ids, vectors.tolist(), metadata, documents)
    ]
    with open(os.path.join(sys.argv[2], f"points-{number:05}.json"), "w", encoding="utf-8") as out:
        json.dump({"points": points}, out)
