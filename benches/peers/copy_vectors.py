"""The floor: as many vector bytes from memory into Parquet by pyarrow with the settings of an archive. usage: ROWS DIM OUT.parquet"""

import sys

import numpy
import pyarrow
import pyarrow.parquet

from pages import lists

ROW_GROUP_ROWS = 10_000

rows, dim = int(sys.argv[1]), int(sys.argv[2])
schema = pyarrow.schema([("vector", pyarrow.list_(pyarrow.float32()))])
block = numpy.random.default_rng(7).standard_normal((ROW_GROUP_ROWS, dim), dtype=numpy.float32)
with pyarrow.parquet.ParquetWriter(
    sys.argv[3], schema, compression="zstd", compression_level=1, use_dictionary=False, use_byte_stream_split=["vector.list.element"],
) as writer:
    for first in range(0, rows, ROW_GROUP_ROWS):
        writer.write_table(pyarrow.table([lists(block[: rows - first])], schema=schema))
