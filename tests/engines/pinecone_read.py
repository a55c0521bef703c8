"""Reads the Parquet files of a Pinecone bundle with software that is not ours, and checks what the import documents.

usage: python pinecone_read.py BUNDLE_DIR OUT.jsonl

Every file must have the columns `id`, `values`, `sparse_values`, `metadata` in that order, as far as the index has them,
with the documented Parquet types, no embedded Arrow schema, no null ids, finite values and metadata that is one flat
JSON object of texts, numbers, booleans and lists of texts, at most 40,960 bytes. pyarrow and DuckDB must agree on every
value. OUT.jsonl has one line per record: `{"id", "namespace"?, "vectors", "metadata"?}`, the namespace being the folder.
"""

import json
import math
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

TYPES = {
    "id": [pa.string()],
    "values": [pa.list_(pa.field("element", pa.float32()))],
    "sparse_values": [pa.struct([("indices", pa.list_(pa.field("element", pa.uint32()))),
                                 ("values", pa.list_(pa.field("element", pa.float32())))])],
    "metadata": [pa.string()],
}


def plain(type):
    return str(type).replace(" not null", "")


def check_metadata(text):
    assert len(text.encode()) <= 40_960
    entries = json.loads(text)
    assert isinstance(entries, dict) and entries
    for key, value in entries.items():
        assert key and not key.startswith("$"), key
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        assert texts or isinstance(value, (str, bool, int, float)), (key, value)
    return entries


def main(bundle, out):
    records = 0
    with open(out, "w", encoding="utf-8") as lines:
        for path in sorted(Path(bundle, "data").glob("*/*.parquet")):
            file = pq.ParquetFile(path)
            assert b"ARROW:schema" not in (file.metadata.metadata or {}), path
            names = file.schema_arrow.names
            assert names == [name for name in TYPES if name in names] and "id" in names and "metadata" in names, names
            for field in file.schema_arrow:
                assert plain(field.type) in [plain(type) for type in TYPES[field.name]], field
            rows = file.read().to_pylist()
            again = duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()
            assert [tuple(row.values()) for row in rows] == again, path
            for row in rows:
                assert row["id"].isascii() and 0 < len(row["id"]) <= 512
                vectors = {}
                if "values" in row:
                    assert row["values"] and all(map(math.isfinite, row["values"])) and any(row["values"])
                    vectors["dense"] = row["values"]
                if row.get("sparse_values") is not None:
                    assert len(row["sparse_values"]["indices"]) == len(row["sparse_values"]["values"]) <= 1000
                    vectors["sparse"] = row["sparse_values"]
                metadata = row["metadata"] and check_metadata(row["metadata"])
                line = {"id": row["id"], "vectors": vectors} | ({"metadata": metadata} if metadata else {})
                if path.parent.name != "__default__":
                    line["namespace"] = path.parent.name
                lines.write(json.dumps(line) + "\n")
                records += 1
    print(records)


main(*sys.argv[1:])
