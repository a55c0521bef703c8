"""Loads the bundle into a LanceDB table, or drops it. Needs the lancedb client and LANCEDB_URI; LANCEDB_API_KEY for db:// databases.

    load.py [--resume]    makes the table, adds file by file, makes the indexes
    load.py --drop        drops the table
"""

import json
import os
import sys

import lancedb
import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 8192

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "schema.json"), encoding="utf-8") as file:
    SCHEMA = json.load(file)
FLOATS = {"f16": pa.float16(), "f32": pa.float32()}
TYPED = {"bool": pa.bool_(), "integer": pa.int64(), "float": pa.float64(), "text": pa.string()}


def vector_type(vector):
    if vector["kind"] == "dense":
        return pa.list_(FLOATS[vector["element"]], vector["dim"])
    if vector["kind"] == "multi":
        return pa.list_(pa.list_(pa.float32(), vector["dim"]))
    if vector["kind"] == "bits":
        return pa.list_(pa.uint8(), (vector["dim"] + 7) // 8)
    return pa.struct([("indices", pa.list_(pa.uint32())), ("values", pa.list_(pa.float32()))])


def columns():
    ids, namespaced = SCHEMA["ids"], set(SCHEMA["namespaces"]) - {""}
    yield pa.field("id", pa.int64() if ids == "integers" else pa.string())
    if ids == "both":
        yield pa.field("id_is_integer", pa.bool_())
    if namespaced:
        yield pa.field("namespace", pa.string())
    yield pa.field("document", pa.string())
    yield pa.field("metadata", pa.string())
    for vector in SCHEMA["vectors"]:
        yield pa.field(vector["column"], vector_type(vector))
    for key, kind in SCHEMA["typed"].items():
        yield pa.field(key, TYPED[kind])


def batches(path, schema):
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=schema.names):
            arrays = [batch.column(field.name).cast(field.type) for field in schema]
            yield pa.record_batch(arrays, schema=schema)


def files_loaded(rows):
    """How many files are in a table of so many rows: each is one commit, added in order."""
    total = 0
    for done, file in enumerate(SCHEMA["files"]):
        if total == rows:
            return done
        total += file["rows"]
    if total != rows:
        sys.exit(f"the table {SCHEMA['table']} has {rows} rows, which no stopped load leaves: it was changed; undo.sh drops it")
    return len(SCHEMA["files"])


def load(database, resume):
    name, schema = SCHEMA["table"], pa.schema(list(columns()))
    there = name in database.table_names(limit=1_000_000)
    if there and not resume:
        sys.exit(f"the table {name} is already there; go on with load.sh --resume, or drop it with undo.sh")
    table = database.open_table(name) if there else database.create_table(name, schema=schema)
    done = files_loaded(table.count_rows())
    for file in SCHEMA["files"][done:]:
        reader = pa.RecordBatchReader.from_batches(schema, batches(os.path.join(HERE, file["path"]), schema))
        table.add(reader)
        print(f"{file['path']}: {file['rows']} rows", flush=True)
    indexed = {column for index in table.list_indices() for column in index.columns}
    for vector in SCHEMA["vectors"]:
        if vector["index"] and vector["column"] not in indexed and SCHEMA["rows"]:
            try:
                table.create_index(metric=vector["metric"], vector_column_name=vector["column"], **vector["index"])
            except Exception as reason:
                sys.exit(f"all rows are in {name}, but {vector['column']} got no index: {reason}\n"
                         "a vector whose length squared is beyond a 32-bit float is one reason; without an index search is exact")
            print(f"{vector['column']}: {vector['index']['index_type']}, {vector['metric']}", flush=True)
    print(f"{name} has {table.count_rows()} rows; bash check.sh proves it")


if __name__ == "__main__":
    database = lancedb.connect(os.environ["LANCEDB_URI"])
    if "--drop" in sys.argv:
        database.drop_table(SCHEMA["table"])
        print(f"{SCHEMA['table']} is dropped")
    else:
        load(database, "--resume" in sys.argv)
