"""Qdrant shard -> Parquet as a person would script it: scroll pages of Qdrant's segment engine into pyarrow. usage: DIR OUT.parquet"""

import sys

import qdrant_edge as qdrant

import pages

PAGE_POINTS = 2000


def scroll(shard):
    offset = None
    while True:
        request = qdrant.ScrollRequest(offset=offset, limit=PAGE_POINTS, with_payload=True, with_vector=True)
        records, offset = shard.scroll(request)
        yield [r.id for r in records], [r.vector for r in records], [r.payload for r in records], None
        if offset is None:
            return


shard = qdrant.EdgeShard.load(sys.argv[1])
pages.write(sys.argv[2], scroll(shard))
shard.close()
