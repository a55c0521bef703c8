"""Archive -> Parquet for Milvus' import with the vendor's own writer. usage: ARCHIVE OUT_DIR"""

import sys

from pymilvus import CollectionSchema, DataType, FieldSchema
from pymilvus.bulk_writer import BulkFileType, LocalBulkWriter

import archive

PAGE_ROWS = 2000

writer = None
for ids, vectors, metadata, documents in archive.pages(sys.argv[1], PAGE_ROWS):
    if writer is None:
        fields = [
            FieldSchema("id", DataType.VARCHAR, is_primary=True, max_length=64),
            FieldSchema("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1]),
            FieldSchema("document", DataType.VARCHAR, max_length=65535),
        ]
        schema = CollectionSchema(fields, enable_dynamic_field=True)
        writer = LocalBulkWriter(schema, sys.argv[2], chunk_size=1 << 30, file_type=BulkFileType.PARQUET)
    for id, vector, entries, document in zip(ids, vectors, metadata, documents):
        # Keys that the schema does not have become dynamic fields; the writer takes no nulls there.
        dynamic = {key: value for key, value in (entries or {}).items() if value is not None}
        writer.append_row({"id": id, "vector": vector.tolist(), "document": document or ""} | dynamic)
writer.commit()
