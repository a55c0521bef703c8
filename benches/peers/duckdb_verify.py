"""Are two archives the same: DuckDB's full outer join on ids, vectors and texts compared by value. usage: A B; ends with 1 if they differ"""

import sys

import duckdb

a, b = (text.replace("'", "''") for text in sys.argv[1:3])
duckdb.execute("SET enable_progress_bar = false")
duckdb.execute("SET preserve_insertion_order = false")
differing = duckdb.execute(f"""
    SELECT count(*) FROM read_parquet('{a}/data/part-*.parquet') x FULL OUTER JOIN read_parquet('{b}/data/part-*.parquet') y ON x.id = y.id
    WHERE x.id IS NULL OR y.id IS NULL OR x.vector IS DISTINCT FROM y.vector OR x.document IS DISTINCT FROM y.document
        OR x.metadata IS DISTINCT FROM y.metadata
""").fetchone()[0]
sys.exit(1 if differing else 0)
