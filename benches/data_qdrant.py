"""Makes a Qdrant shard directory with Qdrant's own segment engine, and its facts. usage: python data_qdrant.py DIR --rows N --dim D"""

import os

import qdrant_edge as qdrant

import native


def main():
    options = native.options(__doc__)
    os.makedirs(options.out)
    config = qdrant.EdgeConfig(vectors={"": qdrant.EdgeVectorParams(size=options.dim, distance=qdrant.Distance.Euclid)})
    shard = qdrant.EdgeShard.create(options.out, config)
    records = native.Records(options.rows, options.dim, with_text=False)
    for ids, block, entries, texts in records:
        points = [
            qdrant.Point(id, vector.tolist(), {**entry, "text": text})
            for id, vector, entry, text in zip(ids, block, entries, texts)
        ]
        shard.update(qdrant.UpdateOperation.upsert_points(points))
    shard.flush()
    shard.close()
    records.facts.write(options.out)


if __name__ == "__main__":
    main()
