"""Lets Qdrant's own segment engine take a bundle's snapshot, scrolls every point back, works on it and looks again.

usage: python qdrant_native.py BUNDLE_DIR PAGES_DIR

BUNDLE_DIR holds `data/collection.snapshot`. Its shard 0 is packed as the shard snapshot that the engine takes, the tars of the
segments byte for byte; the engine unpacks and loads it. What it scrolls goes into PAGES_DIR as answers of the REST API:
`collection.json` (the params of the snapshot's config.json) and `scroll-00001.json`, ...; PAGES_DIR must not exist.

Then the loaded shard must be one to go on with: points are added, written anew, given a payload, deleted, over all the ids there
are, with a flush, a close and a load after each round and an `optimize` before the last. After each round the whole content must
be what a dictionary says: bit for bit, but for vectors of points that were written after the load, which the engine brings to unit
length once more (TOLERANCE covers two units in the last place of an f16). The number of points in the snapshot is printed.
"""

import argparse
import io
import json
import os
import random
import sys
import tarfile
import tempfile

import qdrant_edge as qdrant

PAGE_POINTS = 700
SHARD = "0/"
TOLERANCE = 2e-3


def shard_snapshot(bundle, path):
    """Packs shard 0 as a shard snapshot; returns the configuration of the collection."""
    with tarfile.open(os.path.join(bundle, "data", "collection.snapshot")) as whole, tarfile.open(path, "w") as shard:
        for member in whole:
            if member.name.startswith(SHARD):
                content = whole.extractfile(member).read()
                member.name = member.name[len(SHARD):]
                shard.addfile(member, io.BytesIO(content))
        return json.load(whole.extractfile("config.json"))


def scroll_all(shard):
    offset = None
    while True:
        request = qdrant.ScrollRequest(offset=offset, limit=PAGE_POINTS, with_payload=True, with_vector=True)
        records, offset = shard.scroll(request)
        yield records, offset
        if offset is None:
            return


def plain(value):
    if isinstance(value, qdrant.SparseVector):
        return {"indices": list(value.indices), "values": list(value.values)}
    if isinstance(value, dict):
        return {name: plain(vector) for name, vector in value.items()}
    return value


def id_of(record):
    return record.id if isinstance(record.id, int) else str(record.id)


def content(shard):
    points = {}
    for records, _ in scroll_all(shard):
        for record in records:
            points[id_of(record)] = (plain(record.vector), record.payload or {})
    exact = shard.count(qdrant.CountRequest(exact=True))
    if exact != len(points):
        sys.exit(f"the engine counts {exact} points and scrolled {len(points)}")
    return points


def write_pages(shard, config, directory):
    os.mkdir(directory)
    with open(os.path.join(directory, "collection.json"), "w", encoding="utf-8") as file:
        json.dump({"result": {"config": config}}, file)
    count = 0
    for number, (records, offset) in enumerate(scroll_all(shard), 1):
        points = [{"id": id_of(r), "vector": plain(r.vector), "payload": r.payload or {}} for r in records]
        count += len(points)
        offset = offset if offset is None or isinstance(offset, int) else str(offset)
        with open(os.path.join(directory, f"scroll-{number:05}.json"), "w", encoding="utf-8") as file:
            json.dump({"result": {"points": points, "next_page_offset": offset}}, file, ensure_ascii=False)
    return count


def engine_vector(value):
    if isinstance(value, dict):
        if set(value) == {"indices", "values"}:
            return qdrant.SparseVector(value["indices"], value["values"])
        return {name: engine_vector(vector) for name, vector in value.items()}
    return value


def close(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    return a == b or (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= TOLERANCE)


def compare(shard, wanted, written, when):
    found = content(shard)

    def same(id):
        a, b = wanted.get(id), found.get(id)
        return a == b or (id in written and a and b and a[1] == b[1] and close(a[0], b[0]))

    wrong = [id for id in wanted.keys() | found.keys() if not same(id)]
    if wrong:
        example = wrong[0]
        sys.exit(f"{when}: {len(wrong)} points are wrong, as {example}: {found.get(example)} is not {wanted.get(example)}")


def work(shard, points, written, choice, round):
    """One round of operations, on the engine and on the dictionary."""
    make = qdrant.UpdateOperation
    ids = sorted(points, key=str)
    # Vectors of other points: they are what the engine stores, so writing them does not change them.
    some = choice.sample(ids, min(len(ids), 40))
    fresh = [(1 << 63) + 1000 * round + number for number in range(len(some))]
    moved = {id: (points[other][0], {"fresh": round}) for id, other in zip(fresh, some)}
    swapped = {id: (points[other][0], {"swapped": round}) for id, other in zip(some, reversed(some))}
    for changed in (moved, swapped):
        shard.update(make.upsert_points(
            [qdrant.Point(id, engine_vector(vector or {}), payload) for id, (vector, payload) in changed.items()]))
        points.update(changed)
        written.update(changed)
    told = choice.sample(ids, min(len(ids), 30))
    shard.update(make.set_payload(told, {"told": round}))
    for id in told:
        points[id] = (points[id][0], {**points[id][1], "told": round})
    written.update(told)
    gone = choice.sample(ids, len(ids) // 10)
    if gone:
        shard.update(make.delete_points(gone))
        for id in gone:
            del points[id]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("bundle")
    arguments.add_argument("pages")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="qdrant-native-") as directory:
        snapshot, shard_dir = os.path.join(directory, "shard.snapshot"), os.path.join(directory, "shard")
        config = shard_snapshot(options.bundle, snapshot)
        qdrant.EdgeShard.unpack_snapshot(snapshot, shard_dir)
        os.remove(snapshot)
        shard = qdrant.EdgeShard.load(shard_dir)
        count = write_pages(shard, config, options.pages)
        points, written, choice = content(shard), set(), random.Random(7)
        for round in range(2):
            if round == 1:
                shard.optimize()
                compare(shard, points, written, "after optimising")
            work(shard, points, written, choice, round)
            compare(shard, points, written, f"round {round}")
            shard.flush()
            shard.close()
            shard = qdrant.EdgeShard.load(shard_dir)
            compare(shard, points, written, f"round {round}, loaded again")
        shard.close()
    print(count)


if __name__ == "__main__":
    main()
