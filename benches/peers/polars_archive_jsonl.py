"""Archive -> JSONL with polars, streaming; metadata is an object, not text. usage: ARCHIVE OUT.jsonl"""

import sys

import polars
from columns import METADATA

frame = polars.scan_parquet(f"{sys.argv[1]}/data/part-*.parquet").select("id", "vector", "metadata", "document")
frame.with_columns(polars.col("metadata").str.json_decode(METADATA)).sink_ndjson(sys.argv[2])
