"""JSONL -> Parquet with DuckDB, tuned: explicit types, bounded memory, no order kept. usage: SRC.jsonl OUT.parquet"""

import sys

import duckdb

source, out = (text.replace("'", "''") for text in sys.argv[1:3])
duckdb.execute("SET memory_limit = '512MB'")
duckdb.execute("SET preserve_insertion_order = false")
duckdb.execute("SET enable_progress_bar = false")
duckdb.execute(f"""
    COPY (
        SELECT * FROM read_json('{source}', format = 'newline_delimited',
            columns = {{id: 'VARCHAR', vector: 'FLOAT[]', metadata: 'JSON', document: 'VARCHAR'}})
    ) TO '{out}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 10240)
""")
