"""Reads documents for mongoimport with MongoDB's own parser, carries them through BSON, and tells what they hold.

mongodb_bson.py BUNDLE: one line of JSON per document; floats of vectors as the hex digits of their bits.
"""
import json, struct, sys
from pathlib import Path

import bson
from bson import json_util
from bson.binary import Binary, BinaryVectorDtype

for file in sorted(Path(sys.argv[1], "data").glob("documents-*.jsonl")):
    for line in open(file, encoding="utf-8"):
        document = bson.decode(bson.encode(json_util.loads(line)))
        vectors = {}
        for name, binary in document["vectors"].items():
            assert isinstance(binary, Binary) and binary.subtype == 9, binary
            vector = binary.as_vector()
            if vector.dtype == BinaryVectorDtype.FLOAT32:
                values = [struct.pack(">f", value).hex() for value in vector.data]
            else:
                values = list(vector.data)
            vectors[name] = [vector.dtype.name, vector.padding, values]
        told = {"id": document["_id"], "vectors": vectors, "document": document.get("document")}
        told["metadata"] = document.get("metadata")
        print(json.dumps(told))
