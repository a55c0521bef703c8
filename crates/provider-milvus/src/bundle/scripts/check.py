"""Pulls every row of the collection as JSON lines for `tranship verify --mapping`. Needs pymilvus; MILVUS_URI and MILVUS_TOKEN as for load.sh.

Pages are asked for by key: pymilvus' own iterator stumbles over quotes in text keys.
"""

import json
import os
import struct
import sys

from pymilvus import Collection, connections

PAGE_ROWS = 500

mapping = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "mapping.json"), encoding="utf-8"))
form, vectors = mapping["form"], {vector["name"]: vector for vector in mapping["schema"]["vectors"]}


def plain(value):
    return value.item() if hasattr(value, "item") else value


def vector(spec, value):
    if spec["kind"] == "sparse":
        pairs = sorted((int(index), float(weight)) for index, weight in dict(value).items())
        return {"indices": [index for index, _ in pairs], "values": [weight for _, weight in pairs]}
    data = value[0] if isinstance(value, list) and value and isinstance(value[0], (bytes, bytearray)) else value
    if isinstance(data, (bytes, bytearray)):
        if spec["kind"] == "bits":
            return {"bits": "".join(f"{byte:08b}" for byte in data)[: spec["dim"]]}
        if spec["element"] == "f16":
            return list(struct.unpack(f"<{len(data) // 2}e", data))
        # bf16 is the upper half of an f32.
        words = struct.unpack(f"<{len(data) // 2}H", data)
        return [struct.unpack("<f", struct.pack("<I", word << 16))[0] for word in words]
    return [float(plain(element)) for element in data]


def pages(collection, key):
    """All rows by ascending key, at the consistency of everything that was ever written."""
    above = {"reduce_stop_for_best": "True", "iterator": "True", "consistency_level": "Strong"}
    integers = mapping["ids"]["integers"] == "i64"
    # The smallest key has no literal of its own: a minus and 2^63.
    literal = lambda value: str(max(value, 1 - 2**63)) if integers else json.dumps(value, ensure_ascii=False)
    filter = ""
    while page := collection.query(filter, output_fields=["*"], limit=PAGE_ROWS, **above):
        filter = f"{key} > {literal(max(row[key] for row in page))}"
        yield page


connections.connect(uri=os.environ["MILVUS_URI"], token=os.environ.get("MILVUS_TOKEN", ""))
for page in pages(Collection(mapping["collection"]), form["key"]):
    for row in page:
        record = {"id": row.pop(form["key"])}
        found = {}
        for name, field in form["vectors"].items():
            found[name] = vector(vectors[name], row.pop(field))
        if list(found) == [""]:
            record["vector"] = found[""]
        elif found:
            record["vectors"] = found
        row |= row.pop("$meta", None) or {}
        if row:
            record["metadata"] = row
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
