"""Parquet datasets: reads one with three readers, or makes those of others.

    dataset_files.py read DIRECTORY      rows of DIRECTORY/data/*.parquet as pyarrow has them; DuckDB and polars must agree
    dataset_files.py csv DIRECTORY       rows of DIRECTORY/data/*.csv as Python's csv module has them; DuckDB must agree
    dataset_files.py make DIRECTORY      pinecone/, vdf/, hf/, bench/ as their makers lay them out

Prints one JSON object. Floats of vectors are their bits.
"""

import json
import os
import struct
import sys

import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20261120


def bits(value):
    if isinstance(value, list):
        return [bits(item) for item in value]
    if isinstance(value, float):
        return struct.unpack("<q", struct.pack("<d", value))[0]
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return value


def read(root):
    import duckdb
    import polars

    files = sorted(os.path.join(root, "data", name) for name in os.listdir(os.path.join(root, "data")))
    table = pa.concat_tables([pq.read_table(path) for path in files])
    rows = bits(table.to_pylist())
    glob = os.path.join(root, "data", "*.parquet")
    cursor = duckdb.sql(f"SELECT * FROM read_parquet('{glob}') ORDER BY filename, file_row_number")
    names = [column[0] for column in cursor.description]
    by_duckdb = [bits(dict(zip(names, [list(v) if isinstance(v, tuple) else v for v in row]))) for row in cursor.fetchall()]
    assert by_duckdb == rows, "DuckDB and pyarrow differ"
    by_polars = bits(polars.concat([polars.read_parquet(path) for path in files]).to_dicts())
    assert by_polars == rows, "polars and pyarrow differ"
    return {"rows": rows, "types": {field.name: str(field.type) for field in table.schema}}


def read_csv(root):
    import csv

    import duckdb

    csv.field_size_limit(1 << 30)
    rows = []
    for name in sorted(os.listdir(os.path.join(root, "data"))):
        path = os.path.join(root, "data", name)
        with open(path, newline="", encoding="utf-8") as file:
            found = list(csv.DictReader(file))
        query = f"SELECT * FROM read_csv('{path}', all_varchar = true, header = true, delim = ',', quote = '\"', escape = '\"', parallel = false)"
        cursor = duckdb.sql(query)
        names = [column[0] for column in cursor.description]
        by_duckdb = [dict(zip(names, row)) for row in cursor.fetchall()]
        # Python's reader does not tell a cell without content from an empty text; DuckDB does.
        assert [{key: value or "" for key, value in row.items()} for row in by_duckdb] == found, "DuckDB and Python differ"
        rows.extend(by_duckdb)
    for row in rows:
        for key in ("vector", "vectors"):
            row[key] = json.loads(row[key]) if row[key] else None
    return rows


def vectors(rows, dim):
    import numpy as np

    return np.random.default_rng(SEED).standard_normal((rows, dim)).astype("f4")


def put(table, *path):
    os.makedirs(os.path.dirname(os.path.join(*path)), exist_ok=True)
    pq.write_table(table, os.path.join(*path))


def make(root):
    data = vectors(12, 4)
    flat = [row.tolist() for row in data]
    sparse = pa.array(
        [None if row % 3 == 0 else {"indices": [7, 2], "values": [0.5, row / 4]} for row in range(12)],
        pa.struct([("indices", pa.list_(pa.uint32())), ("values", pa.list_(pa.float32()))]),
    )
    for number, namespace in enumerate(["__default__", "tenant ü"]):
        part = slice(6 * number, 6 * number + 6)
        table = pa.table(
            {
                "id": [f"p{row}" for row in range(12)][part],
                "values": pa.array(flat[part], pa.list_(pa.float32())),
                "sparse_values": sparse[part],
                "metadata": [None if row % 4 == 0 else json.dumps({"n": row, "t": ["a", "b"]}) for row in range(12)][part],
            }
        )
        put(table, root, "pinecone", namespace, f"{number}.parquet")
    index = []
    for number, namespace in enumerate(["", "blue"]):
        part = slice(6 * number, 6 * number + 6)
        table = pa.table(
            {
                "key": [f"v{row}" for row in range(12)][part],
                "vec": pa.array(flat[part], pa.list_(pa.float64())),
                "year": list(range(1990, 2002))[part],
                "title": [f"t{row}" for row in range(12)][part],
            }
        )
        put(table, root, "vdf", "books_" + (namespace or "none"), "1.parquet")
        index.append(
            {
                "namespace": namespace, "index_name": "books", "total_vector_count": 6, "exported_vector_count": 6,
                "dimensions": 4, "model_name": "m1", "vector_columns": ["vec"], "metric": "Cosine",
                "data_path": "/home/somebody/vdf_2024/books_none" if not namespace else "books_blue",
            }
        )
    other = [{"namespace": "", "index_name": "other", "data_path": "books_blue", "vector_columns": ["vec"], "metric": "Dot"}]
    meta = {"version": "0.1.247", "file_structure": [], "author": "a", "exported_from": "pinecone",
            "indexes": {"books": index, "other": other}, "exported_at": "2024-01-01T00:00:00", "id_column": "key"}
    with open(os.path.join(root, "vdf", "VDF_META.json"), "w", encoding="utf-8") as file:
        json.dump(meta, file)
    for number in range(2):
        part = slice(6 * number, 6 * number + 6)
        table = pa.table(
            {
                "_id": [f"h{row}" for row in range(12)][part],
                "title": [f"t{row}" for row in range(12)][part],
                "text": [f"Text {row}" for row in range(12)][part],
                "openai": pa.array(flat[part], pa.list_(pa.float32(), 4)),
            }
        )
        put(table, root, "hf", f"train-{number:05}-of-00002.parquet")
    put(pa.table({"id": list(range(12)), "emb": pa.array(flat, pa.large_list(pa.float32()))}), root, "bench", "train.parquet")
    return {"vectors": data.view("u4").tolist()}


print(json.dumps({"read": read, "csv": read_csv, "make": make}[sys.argv[1]](sys.argv[2])))
