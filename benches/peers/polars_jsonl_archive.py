"""JSONL -> Parquet with polars, streaming, explicit types. usage: SRC.jsonl OUT.parquet"""

import sys

import polars
from columns import METADATA

SCHEMA = {"id": polars.String, "vector": polars.List(polars.Float32), "metadata": METADATA, "document": polars.String}

polars.scan_ndjson(sys.argv[1], schema=SCHEMA).sink_parquet(sys.argv[2], compression="zstd")
