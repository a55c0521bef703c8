"""Reads the Parquet parts of an archive with a reader that is not ours and writes its numbers.

usage: python archive_read.py ARCHIVE_DIR OUT.json --reader duckdb|polars|pyarrow

All parts `data/part-*.parquet` are read one after the other; a part may lack any optional column. OUT.json:

{"rows", "id_bytes", "namespaces", "document_bytes", "metadata_bytes",
 "vectors": {column: {"nulls", "values", "sum", "non_finite"}}}

`id_bytes`, `document_bytes` and `metadata_bytes` are sums of UTF-8 lengths; `namespaces` counts the rows that have one. A key of
`vectors` is a column's name: `vector`, `vector.<name>`, or `bits.<name>`, whose values are bytes. `nulls` are rows without that vector (also the rows of a part
without the column), `values` counts the elements, `sum` is the exact sum of the finite ones rounded once to f64, so it depends neither on
the order of rows nor on the reader. Works with pyarrow 15 and newer.
"""

import argparse
import glob
import json
import math
import os
import sys

BATCH_ROWS = 4096
TEXT_COLUMNS = {"id": "id_bytes", "document": "document_bytes", "metadata": "metadata_bytes"}


def is_vector(name):
    return name == "vector" or name.startswith(("vector.", "bits."))


def is_wanted(name):
    return name in TEXT_COLUMNS or name == "namespace" or is_vector(name)


def read_pyarrow(path):
    """Yields {column: list of Python values} per batch."""
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    columns = [name for name in file.schema_arrow.names if is_wanted(name)]
    for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
        yield batch.to_pydict()


def read_polars(path):
    import polars

    columns = [name for name in polars.scan_parquet(path).collect_schema().names() if is_wanted(name)]
    frame = polars.read_parquet(path, columns=columns)
    for slice in frame.iter_slices(BATCH_ROWS):
        yield slice.to_dict(as_series=False)


def read_duckdb(path):
    import duckdb

    connection = duckdb.connect()
    source = "read_parquet('{}')".format(path.replace("'", "''"))
    described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    columns = [row[0] for row in described if is_wanted(row[0])]
    quoted = ", ".join('"{}"'.format(name.replace('"', '""')) for name in columns)
    cursor = connection.execute(f"SELECT {quoted} FROM {source}")
    while rows := cursor.fetchmany(BATCH_ROWS):
        yield {name: [row[at] for row in rows] for at, name in enumerate(columns)}


READERS = {"duckdb": read_duckdb, "polars": read_polars, "pyarrow": read_pyarrow}


class VectorTotals:
    """Running totals of one vector column. A finite f32 is a whole multiple of 2^-149, so an integer sums them exactly."""

    def __init__(self):
        self.present = 0
        self.values = 0
        self.non_finite = 0
        self.sum_scaled = 0

    def add(self, vectors):
        for vector in vectors:
            if vector is not None:
                self.add_vector(vector)

    def add_vector(self, vector):
        if None in list(vector):
            sys.exit("a vector has a null element")
        finite = [value for value in vector if math.isfinite(value)]
        self.present += 1
        self.values += len(vector)
        self.non_finite += len(vector) - len(finite)
        self.sum_scaled += sum(int(math.ldexp(value, 149)) for value in finite)

    def exact_sum(self):
        return self.sum_scaled / 2**149


def utf8_bytes(texts):
    return sum(len(text.encode()) for text in texts if text is not None)


def totals(parts, read):
    answer = {"rows": 0, "namespaces": 0, "id_bytes": 0, "document_bytes": 0, "metadata_bytes": 0}
    vectors = {}
    for part in parts:
        for batch in read(part):
            answer["rows"] += len(batch["id"])
            for column, values in batch.items():
                if is_vector(column):
                    vectors.setdefault(column, VectorTotals()).add(values)
                elif column == "namespace":
                    answer["namespaces"] += sum(value is not None for value in values)
                else:
                    answer[TEXT_COLUMNS[column]] += utf8_bytes(values)
    answer["vectors"] = {
        name: {
            "nulls": answer["rows"] - total.present,
            "values": total.values,
            "non_finite": total.non_finite,
            "sum": total.exact_sum(),
        }
        for name, total in sorted(vectors.items())
    }
    return answer


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("archive")
    arguments.add_argument("out")
    arguments.add_argument("--reader", choices=sorted(READERS), required=True)
    options = arguments.parse_args()

    parts = sorted(glob.glob(os.path.join(glob.escape(options.archive), "data", "part-*.parquet")))
    if not parts:
        sys.exit(f"{options.archive}: no data/part-*.parquet")
    with open(options.out, "w", encoding="utf-8") as out:
        json.dump(totals(parts, READERS[options.reader]), out, indent=1, sort_keys=True)


if __name__ == "__main__":
    main()
