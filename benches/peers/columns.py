"""The metadata of `data_jsonl.py` as a polars type."""

import polars

METADATA = polars.Struct({
    "source": polars.String,
    "page": polars.Int64,
    "score": polars.Float64,
    "public": polars.Boolean,
    "language": polars.String,
    "chunk": polars.Int64,
})
