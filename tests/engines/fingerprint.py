"""Recomputes the fingerprint of an archive from its Parquet files, from docs/fingerprint.md alone.

An independent implementation: it shares no code with tranship and reads the parts with pyarrow.
Usage: fingerprint.py ARCHIVE_DIR OUT.json.
"""

import argparse
import glob
import json
import os
import struct

import numpy
import pyarrow.parquet as parquet
import xxhash

MASK = (1 << 128) - 1


def h(message):
    return xxhash.xxh3_128_intdigest(message)


def le(digest):
    return digest.to_bytes(16, "little")


def sized(text):
    return struct.pack("<I", len(text)) + text


class Literal(str):
    """A number as it was written."""


def canonical(value):
    if value is None:
        return b"n"
    if value is True:
        return b"t"
    if value is False:
        return b"f"
    if isinstance(value, Literal):
        if any(c in value for c in ".eE"):
            return b"d" + struct.pack("<d", float(value))
        return b"i" + sized((b"0" if value == "-0" else value.encode()))
    if isinstance(value, str):
        return b"s" + sized(value.encode())
    if isinstance(value, list):
        return b"a" + struct.pack("<I", len(value)) + b"".join(map(canonical, value))
    entries = sorted((key.encode(), item) for key, item in value.items())
    return b"o" + struct.pack("<I", len(entries)) + b"".join(sized(key) + canonical(item) for key, item in entries)


def metadata_bytes(text):
    return canonical(json.loads(text, parse_int=Literal, parse_float=Literal))


class Sums(dict):
    def add(self, name, digest):
        count, total = self.get(name, (0, 0))
        self[name] = (count + 1, (total + digest) & MASK)


def dense(cell, spec):
    values = cell.values.to_numpy(zero_copy_only=False)
    if spec["element"] == "bf16":
        values = (values.astype("<u4") << 16).view("<f4")
    return b"\x00", len(values), h(values.astype("<f4").tobytes())


def sparse(cell, spec):
    indices = cell["indices"].values.to_numpy(zero_copy_only=False).astype("<u4")
    values = cell["values"].values.to_numpy(zero_copy_only=False).astype("<f4")
    return b"\x01", 0, h(indices.tobytes() + le(h(values.tobytes())))


def multi(cell, spec):
    rows = numpy.array(cell.as_py(), dtype="<f4")
    return b"\x02", spec["dim"], h(rows.tobytes())


def bits(cell, spec):
    return b"\x03", spec["dim"], h(cell.as_py())


SHAPES = {"dense": ("vector", dense), "sparse": ("sparse", sparse), "multi": ("multi", multi), "bits": ("bits", bits)}


def column_name(spec):
    family = SHAPES[spec["kind"]][0]
    return family if family == "vector" and not spec["name"] else f"{family}.{spec['name']}"


def add_part(path, schema, sums):
    table = parquet.read_table(path)
    columns = {name: table.column(name) for name in table.column_names}
    vectors = sorted((spec for spec in schema["vectors"] if column_name(spec) in columns), key=lambda spec: spec["name"])
    for row in range(table.num_rows):
        def cell(name):
            return columns[name][row].as_py() if name in columns else None

        namespace = (cell("namespace") or "").encode()
        kind = cell("id_kind") if "id_kind" in columns else (0 if schema["ids"] == "integer" else 1)
        key = h(b"\x01" + sized(namespace) + bytes([kind]) + cell("id").encode())
        record = b"\x00" + le(key)
        for spec in vectors:
            vector, name = columns[column_name(spec)][row], spec["name"]
            if not vector.is_valid:
                continue
            shape, dim, values = SHAPES[spec["kind"]][1](vector, spec)
            digest = h(b"\x02" + le(key) + sized(name.encode()) + shape + struct.pack("<I", dim) + le(values))
            sums.add("vector." + name if name else "vector", digest)
            record += le(digest)
        for tag, name, encode in [(b"\x03", "document", str.encode), (b"\x04", "metadata", metadata_bytes)]:
            value = cell(name)
            encoded = None if value is None else encode(value)
            if encoded is None or (name == "metadata" and encoded in (b"n", b"o\0\0\0\0")):
                continue
            digest = h(tag + le(key) + le(h(encoded)))
            sums.add(name, digest)
            record += le(digest)
        sums.add("id", key)
        sums.add("record", h(record))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive")
    parser.add_argument("out")
    arguments = parser.parse_args()
    with open(os.path.join(arguments.archive, "data", "collection.json"), encoding="utf-8") as file:
        schema = json.load(file)
    sums = Sums()
    for path in sorted(glob.glob(os.path.join(arguments.archive, "data", "part-*.parquet"))):
        add_part(path, schema, sums)
    components = {name: {"count": count, "sum": f"{total:032x}"} for name, (count, total) in sorted(sums.items())}
    message = b"".join(f"{name}\0{c['count']}\0{c['sum']}\n".encode() for name, c in components.items())
    with open(arguments.out, "w", encoding="utf-8") as file:
        json.dump({"digest": f"{h(message):032x}", "records": sums.get("record", (0, 0))[0], "components": components}, file)


if __name__ == "__main__":
    main()
