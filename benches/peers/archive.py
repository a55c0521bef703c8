"""The records of an archive in pages, read with pyarrow: what a script that writes for a vendor's import would begin with."""

import glob
import json
import os

import numpy
import pyarrow.parquet


def pages(path, rows):
    """(ids, vectors as a 2-d f32 array, metadata as dicts or None, documents) of at most `rows` records each."""
    for part in sorted(glob.glob(os.path.join(glob.escape(path), "data", "part-*.parquet"))):
        for batch in pyarrow.parquet.ParquetFile(part).iter_batches(batch_size=rows):
            flat = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
            texts = batch.column("metadata").to_pylist()
            metadata = [json.loads(text) if text else None for text in texts]
            ids = batch.column("id").to_pylist()
            yield ids, numpy.reshape(flat, (len(ids), -1)), metadata, batch.column("document").to_pylist()
