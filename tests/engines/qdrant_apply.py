"""Applies a Qdrant bundle through Qdrant's own segment engine and scrolls every point back.

usage: python qdrant_apply.py BUNDLE_DIR OUT.jsonl [--delta DELTA_BUNDLE]..

BUNDLE_DIR holds `schema.json`, the body of `PUT /collections/{c}`, and `data/points-*.json`, bodies of
`PUT /collections/{c}/points`. The bodies are applied in the order of their names to a shard in a temporary
directory; the shard is flushed, closed and loaded again before it is read, so the answer comes from disk.

DELTA_BUNDLE holds the bundle of a delta: its `data/deletes-*.json`, bodies of `POST /collections/{c}/points/delete`, are applied, then its
points. The first half of its bodies is applied twice, as after an interruption.

OUT.jsonl has one line per point, in the order of the engine: `{"id", "vector" | "vectors", "metadata"}`. An id is an
integer or a UUID in its canonical spelling. A float is the exact decimal value of the stored f32. A point without
payload has no "metadata". The number of points is printed.

What the engine (qdrant-edge-py 0.9.0) does to values: Cosine vectors come back normalised to length 1; a zero vector stays
zero; Euclid, Dot and Manhattan keep the bits; in payloads 1 and 1.0 stay apart, null and missing stay apart, key order is
kept, integers from -2^63 to 2^64-1 are exact and wider ones become floats; NaN is accepted in vectors; a payload of {} and none at all are the same.

A key in a body that is not known here ends the run with exit code 1: a typing mistake must not pass as a default.
"""

import argparse
import glob
import json
import os
import sys
import tempfile

import qdrant_edge as qdrant

PAGE_POINTS = 1000

# Settings of the server that do not change what is stored.
SCHEMA_KEYS_WITHOUT_EFFECT = {
    "shard_number", "sharding_method", "replication_factor", "write_consistency_factor", "on_disk_payload",
    "optimizers_config", "wal_config", "quantization_config", "strict_mode_config", "init_from", "metadata",
}
VECTOR_KEYS = {"size", "distance", "hnsw_config", "quantization_config", "on_disk", "datatype", "multivector_config"}
HNSW_KEYS = {"m", "ef_construct", "full_scan_threshold", "max_indexing_threads", "on_disk", "payload_m", "inline_storage"}
POINT_KEYS = {"id", "vector", "payload"}
DATATYPES = {
    "float32": qdrant.VectorStorageDatatype.Float32,
    "float16": qdrant.VectorStorageDatatype.Float16,
    "uint8": qdrant.VectorStorageDatatype.Uint8,
}


def refuse_unknown_keys(body, known, place):
    unknown = sorted(set(body) - known)
    if unknown:
        sys.exit(f"{place}: keys that this script does not know: {', '.join(unknown)}")


def hnsw_config(body, place):
    """The defaults of the server stand in for what the body leaves out."""
    if body is None:
        return None
    refuse_unknown_keys(body, HNSW_KEYS, place)
    settings = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, **body}
    return qdrant.HnswIndexConfig(**settings)


def vector_params(body, place):
    refuse_unknown_keys(body, VECTOR_KEYS, place)
    if body["distance"] not in ("Cosine", "Euclid", "Dot", "Manhattan"):
        sys.exit(f"{place}: unknown distance {body['distance']!r}")
    multi = body.get("multivector_config")
    return qdrant.EdgeVectorParams(
        size=body["size"],
        distance=getattr(qdrant.Distance, body["distance"]),
        datatype=DATATYPES[body["datatype"]] if body.get("datatype") else None,
        hnsw_config=hnsw_config(body.get("hnsw_config"), f"{place}: hnsw_config"),
        multivector_config=multi and qdrant.MultiVectorConfig(qdrant.MultiVectorComparator.MaxSim),
    )


def edge_config(schema):
    refuse_unknown_keys(
        schema, SCHEMA_KEYS_WITHOUT_EFFECT | {"vectors", "sparse_vectors", "hnsw_config"}, "schema.json")
    vectors = schema.get("vectors") or {}
    if "size" in vectors and not isinstance(vectors["size"], dict):
        params = vector_params(vectors, "schema.json: vectors")
    else:
        params = {name: vector_params(body, f"schema.json: vectors.{name}") for name, body in vectors.items()}
    sparse = {name: qdrant.EdgeSparseVectorParams() for name in schema.get("sparse_vectors") or {}}
    return qdrant.EdgeConfig(
        vectors=params,
        sparse_vectors=sparse or None,
        hnsw_config=hnsw_config(schema.get("hnsw_config"), "schema.json: hnsw_config"),
    )


def engine_vector(value):
    if isinstance(value, dict):
        if set(value) == {"indices", "values"}:
            return qdrant.SparseVector(value["indices"], value["values"])
        return {name: engine_vector(vector) for name, vector in value.items()}
    return value


def engine_point(body, place):
    refuse_unknown_keys(body, POINT_KEYS, f"{place}: point {body.get('id')!r}")
    return qdrant.Point(body["id"], engine_vector(body["vector"]), body.get("payload"))


def plain_vector(value):
    if isinstance(value, qdrant.SparseVector):
        return {"indices": list(value.indices), "values": list(value.values)}
    return value


def generic_line(record):
    line = {"id": record.id if isinstance(record.id, int) else str(record.id)}
    if isinstance(record.vector, dict):
        line["vectors"] = {name: plain_vector(vector) for name, vector in record.vector.items()}
    elif record.vector is not None:
        line["vector"] = record.vector
    if record.payload:
        line["metadata"] = record.payload
    return json.dumps(line, ensure_ascii=False)


def apply_bodies(shard, bodies):
    for path in bodies:
        with open(path, encoding="utf-8") as file:
            body = json.load(file)
        refuse_unknown_keys(body, {"points"}, path)
        points = [engine_point(point, path) for point in body["points"]]
        shard.update(qdrant.UpdateOperation.upsert_points(points))


def apply_delta(shard, bundle):
    found = lambda stem: sorted(glob.glob(os.path.join(glob.escape(bundle), "data", f"{stem}-*.json")))
    for deletes, points in ([found("deletes"), found("points")[: len(found("points")) // 2]], [found("deletes"), found("points")]):
        for path in deletes:
            with open(path, encoding="utf-8") as file:
                body = json.load(file)
            refuse_unknown_keys(body, {"points"}, path)
            shard.update(qdrant.UpdateOperation.delete_points(body["points"]))
        apply_bodies(shard, points)


def scroll_all(shard):
    offset = None
    while True:
        request = qdrant.ScrollRequest(offset=offset, limit=PAGE_POINTS, with_payload=True, with_vector=True)
        records, offset = shard.scroll(request)
        yield from records
        if offset is None:
            return


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("bundle")
    arguments.add_argument("out")
    arguments.add_argument("--delta", action="append", default=[])
    options = arguments.parse_args()

    with open(os.path.join(options.bundle, "schema.json"), encoding="utf-8") as file:
        config = edge_config(json.load(file))
    bodies = sorted(glob.glob(os.path.join(glob.escape(options.bundle), "data", "points-*.json")))

    with tempfile.TemporaryDirectory(prefix="qdrant-apply-") as directory:
        shard = qdrant.EdgeShard.create(directory, config)
        apply_bodies(shard, bodies)
        for delta in options.delta:
            apply_delta(shard, delta)
        shard.flush()
        shard.close()
        shard = qdrant.EdgeShard.load(directory)
        count = 0
        with open(options.out, "w", encoding="utf-8") as out:
            for record in scroll_all(shard):
                out.write(generic_line(record) + "\n")
                count += 1
        exact = shard.count(qdrant.CountRequest(exact=True))
        shard.close()
    if count != exact:
        sys.exit(f"the engine counts {exact} points and scrolled {count}")
    print(count)


if __name__ == "__main__":
    main()
