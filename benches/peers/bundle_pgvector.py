"""Archive -> COPY BINARY file with psycopg's and pgvector's own encoders. usage: ARCHIVE OUT_FILE"""

import json
import struct
import sys

from pgvector import Vector

import archive

PAGE_ROWS = 2000
HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)


def field(value):
    return struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value


with open(sys.argv[2], "wb") as out:
    out.write(HEADER)
    for ids, vectors, metadata, documents in archive.pages(sys.argv[1], PAGE_ROWS):
        for id, vector, entries, document in zip(ids, vectors, metadata, documents):
            out.write(struct.pack("!h", 4))
            out.write(field(id.encode()))
            out.write(field(Vector(vector).to_binary()))
            out.write(field(None if document is None else document.encode()))
            out.write(field(None if entries is None else b"\x01" + json.dumps(entries).encode()))
    out.write(struct.pack("!h", -1))
