"""Makes a milvus-lite directory with milvus-lite itself, and its facts. usage: python data_milvus.py DIR.db --rows N --dim D"""

from pymilvus import DataType, MilvusClient

import native


def main():
    options = native.options(__doc__)
    client = MilvusClient(options.out)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=options.dim)
    client.create_collection("bench", schema=schema)
    records = native.Records(options.rows, options.dim, with_text=False)
    for ids, block, entries, texts in records:
        rows = [
            {"id": id, "vector": vector.tolist(), **entry, "text": text}
            for id, vector, entry, text in zip(ids, block, entries, texts)
        ]
        client.insert("bench", rows)
    client.flush("bench")
    client.close()
    records.facts.write(options.out)


if __name__ == "__main__":
    main()
