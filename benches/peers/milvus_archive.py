"""milvus-lite directory -> Parquet as a person would script it: pymilvus' query iterator into pyarrow. usage: DIR.db OUT.parquet"""

import sys

from pymilvus import MilvusClient

import pages

PAGE_ROWS = 2000


def rows(client):
    client.load_collection("bench")
    iterator = client.query_iterator("bench", batch_size=PAGE_ROWS, output_fields=["*"])
    while page := iterator.next():
        ids = [row.pop("id") for row in page]
        vectors = [row.pop("vector") for row in page]
        yield ids, vectors, page, None
    iterator.close()


client = MilvusClient(sys.argv[1])
pages.write(sys.argv[2], rows(client))
client.close()
