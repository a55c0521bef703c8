"""Archive -> JSONL with DuckDB, which needs more than 512 MB for it; metadata is an object, not text. usage: ARCHIVE OUT.jsonl"""

import sys

import duckdb

source, out = (text.replace("'", "''") for text in sys.argv[1:3])
duckdb.execute("SET memory_limit = '2GB'")
duckdb.execute("SET preserve_insertion_order = false")
duckdb.execute("SET enable_progress_bar = false")
duckdb.execute(f"""
    COPY (SELECT id, vector, metadata::JSON AS metadata, document FROM read_parquet('{source}/data/part-*.parquet'))
    TO '{out}' (FORMAT json)
""")
