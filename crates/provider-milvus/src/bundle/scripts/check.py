"""Pulls every row of the collection as JSON lines for `tranship verify --mapping`. Needs pymilvus; MILVUS_URI and MILVUS_TOKEN as for load.sh."""

import json
import os
import struct
import sys

from pymilvus import MilvusClient

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
            return {"bits": data.hex()}
        if spec["element"] == "f16":
            return list(struct.unpack(f"<{len(data) // 2}e", data))
        # bf16 is the upper half of an f32.
        words = struct.unpack(f"<{len(data) // 2}H", data)
        return [struct.unpack("<f", struct.pack("<I", word << 16))[0] for word in words]
    return [float(plain(element)) for element in data]


client = MilvusClient(os.environ["MILVUS_URI"], token=os.environ.get("MILVUS_TOKEN", ""))
rows = client.query_iterator(mapping["collection"], batch_size=PAGE_ROWS, output_fields=["*"])
while page := rows.next():
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
rows.close()
