"""Makes index files and arrays with the libraries that users make them with, and writes what they say is in them.

usage: python ann_make.py hnswlib|usearch|arrays DIR [--seed N] [--rows N]

DIR must not exist. Indexes go through random adds, deletions, re-adds and updates, are saved, and are loaded again by
their library before it is asked. DIR/cases.json has one object per case: `{"file", "options", "metric", "element", "raw",
"deleted", "truth"}`, where `truth` names a file of one line per live record: `{"id", "vector"}` with the exact values of
the stored elements, or `{"id", "bits"}` with packed bits in hex; `metadata` and `document` where the case has them. The
same seed and rows give the same files, but for indexes, which their libraries build in several threads.
"""

import argparse
import json
import os
import random

import numpy


class Maker:
    """Collects cases and writes their truth."""

    def __init__(self, directory, seed, rows):
        self.directory = directory
        self.rng = numpy.random.default_rng(seed)
        self.random = random.Random(seed)
        self.rows = rows
        self.cases = []

    def path(self, name):
        return os.path.join(self.directory, name)

    def vectors(self, rows, dim):
        found = self.rng.standard_normal((rows, dim)).astype(numpy.float32)
        found[0, 0], found[1, 0], found[2, 0] = -0.0, 1e-40, 3e38
        return found

    def case(self, file, records, options=None, metric=None, element="f32", raw=None, deleted=0):
        name = f"case{len(self.cases)}.truth"
        with open(self.path(name), "w", encoding="utf-8") as out:
            for record in records:
                out.write(json.dumps(record) + "\n")
        case = {"file": file, "options": options or {}, "metric": metric, "element": element, "deleted": deleted}
        self.cases.append({**case, "raw": len(records) + deleted if raw is None else raw, "truth": name})

    def finish(self):
        with open(self.path("cases.json"), "w", encoding="utf-8") as out:
            json.dump(self.cases, out)
        print(len(self.cases))


def exact(vector):
    return numpy.asarray(vector, dtype=numpy.float64).tolist()


def records_of(ids, matrix):
    return [{"id": id, "vector": exact(row)} for id, row in zip(ids, matrix)]


def make_hnswlib(make):
    import hnswlib

    for space, dim, m in [("l2", 24, 16), ("ip", 7, 5), ("cosine", 33, 12)]:
        rows = make.rows
        index = hnswlib.Index(space=space, dim=dim)
        index.init_index(max_elements=rows * 2, M=m, ef_construction=60, random_seed=7, allow_replace_deleted=True)
        labels = [int(label) for label in make.random.sample(range(1 << 40), rows)] + [(1 << 63) + 5]
        values = make.vectors(rows + 1, dim)
        values[2, 0] = 3.0
        index.add_items(values, labels)
        gone = make.random.sample(labels, rows // 10)
        for label in gone:
            index.mark_deleted(label)
        back, gone = gone[: len(gone) // 4], gone[len(gone) // 4 :]
        for label in back:
            index.unmark_deleted(label)
        changed = make.random.sample([label for label in labels if label not in gone], 20)
        index.add_items(make.vectors(20, dim) / 2, changed)
        fresh = [label + (1 << 41) for label in range(10)]
        index.add_items(make.vectors(10, dim) / 2, fresh, replace_deleted=True)
        live = [label for label in labels if label not in gone] + fresh
        save_hnswlib(make, index, space, dim, live, deleted=len(gone) - len(fresh), raw=rows + 1)
    index = hnswlib.Index(space="l2", dim=4)
    index.init_index(max_elements=10, M=8)
    save_hnswlib(make, index, "l2", 4, [], deleted=0, raw=0)


def save_hnswlib(make, index, space, dim, live, deleted, raw):
    import hnswlib

    name = f"{space}_{dim}.bin"
    index.save_index(make.path(name))
    again = hnswlib.Index(space=space, dim=dim)
    again.load_index(make.path(name))
    values = again.get_items(live, return_type="numpy") if live else []
    metric = {"l2": "l2", "ip": "dot", "cosine": "cosine"}[space]
    make.case(name, records_of(live, values), {"space": space}, metric, raw=raw, deleted=deleted)


def make_usearch(make):
    metrics = {"cos": "cosine", "ip": "dot", "l2sq": "l2", "hamming": "hamming", "tanimoto": "jaccard"}
    kinds = [
        ("f32", "cos", 24), ("f32", "l2sq", 1), ("f16", "ip", 19), ("bf16", "l2sq", 16), ("f64", "cos", 12), ("i8", "cos", 20),
        ("b1", "hamming", 64), ("b1", "tanimoto", 13),
    ]
    for dtype, metric, dim in kinds:
        save_usearch(make, f"{dtype}_{metric}_{dim}.usearch", dtype, metric, dim, metrics[metric])
    make_usearch_multi(make)
    from usearch.index import Index

    Index(ndim=5, metric="l2sq", dtype="f32").save(make.path("empty.usearch"))
    make.case("empty.usearch", [], metric="l2")


def usearch_vectors(make, dtype, rows, dim):
    if dtype == "b1":
        return numpy.packbits(make.rng.integers(0, 2, (rows, dim), dtype=numpy.uint8), axis=1)
    if dtype == "i8":
        return make.rng.integers(-128, 128, (rows, dim), dtype=numpy.int8)
    values = make.rng.standard_normal((rows, dim)).astype(numpy.float32)
    return values.astype(numpy.float64) if dtype == "f64" else values


def save_usearch(make, name, dtype, metric, dim, our_metric):
    from usearch.index import Index

    index = Index(ndim=dim, metric=metric, dtype=dtype, connectivity=make.random.choice([4, 16, 21]))
    keys = [int(key) for key in make.random.sample(range(1 << 60), make.rows)]
    index.add(numpy.array(keys, dtype=numpy.uint64), usearch_vectors(make, dtype, make.rows, dim))
    gone = make.random.sample(keys, make.rows // 8)
    for key in gone:
        index.remove(key)
    fresh = [key + (1 << 61) for key in range(7)]
    index.add(numpy.array(fresh, dtype=numpy.uint64), usearch_vectors(make, dtype, len(fresh), dim))
    index.save(make.path(name))
    again = Index.restore(make.path(name))
    live = [key for key in keys if key not in set(gone)] + fresh
    options = {"allow_lossy": "yes"} if dtype == "i8" else {}
    element = {"f64": "f32", "b1": "bits"}.get(dtype, dtype)
    records = [usearch_record(again, dtype, key) for key in live]
    make.case(name, records, options, our_metric, element, deleted=len(gone) - len(fresh))


def usearch_record(index, dtype, key):
    stored = index.get(key)
    if dtype == "b1":
        return {"id": key, "bits": bytes(stored).hex()}
    if dtype == "bf16" and stored.dtype == numpy.uint16:
        stored = (stored.astype(numpy.uint32) << 16).view(numpy.float32)
    return {"id": key, "vector": exact(stored)}


def make_usearch_multi(make):
    from usearch.index import Index

    index = Index(ndim=6, metric="l2sq", dtype="f32", multi=True)
    values = make.vectors(60, 6)
    keys = [row // 3 for row in range(60)]
    for key, value in zip(keys, values):
        index.add(key, value)
    index.remove(4)
    index.save(make.path("multi.usearch"))
    kept = [row for row in range(60) if keys[row] != 4]
    records = [{"id": row, "vector": exact(values[row]), "metadata": {"key": keys[row]}} for row in kept]
    make.case("multi.usearch", records, {"ids": "row"}, "l2", deleted=3)


def make_arrays(make):
    rows = make.rows
    plain = make.vectors(rows, 17)
    make_npy(make, rows, plain)
    make_npz(make, rows, plain)
    make_side_files(make, rows, plain)
    make_parts(make, plain)
    make_hdf5(make, rows, plain)


def make_npy(make, rows, plain):
    integers = make.rng.integers(-100, 100, plain.shape)
    # What neither f2 nor f4 can hold stays out of the other types.
    small = make.rng.standard_normal(plain.shape).astype(numpy.float16)
    kinds = [("f4", plain), ("f8", plain), ("f2", small), ("i1", integers), ("u1", abs(integers)), ("i2", integers), ("u2", abs(integers))]
    kinds += [("i4", integers), ("i8", integers), ("u4", abs(integers)), ("u8", abs(integers))]
    kept = {"f2": "f16", "i1": "i8", "u1": "u8"}
    for kind, values in kinds:
        for order in "<>":
            for layout in "CF":
                array = numpy.array(values, dtype=order + kind, order=layout)
                name = f"{kind}{'_big' if order == '>' else ''}_{layout}.npy"
                numpy.save(make.path(name), array)
                make.case(name, records_of(range(rows), array), element=kept.get(kind, "f32"))
    for version in [(1, 0), (2, 0), (3, 0)]:
        name = f"version{version[0]}.npy"
        with open(make.path(name), "wb") as out:
            numpy.lib.format.write_array(out, plain, version=version)
        make.case(name, records_of(range(rows), plain))
    numpy.save(make.path("none.npy"), plain[:0])
    make.case("none.npy", [])
    bits = numpy.packbits(make.rng.integers(0, 2, (rows, 24), dtype=numpy.uint8), axis=1)
    numpy.save(make.path("bits.npy"), bits)
    make.case("bits.npy", [{"id": row, "bits": bytes(bits[row]).hex()} for row in range(rows)], {"bits": "yes"}, element="bits")


def make_npz(make, rows, plain):
    ids = make.rng.integers(-(1 << 62), 1 << 62, rows)
    for name, save in [("stored.npz", numpy.savez), ("packed.npz", numpy.savez_compressed)]:
        save(make.path(name), vectors=plain, labels=ids)
        make.case(name, records_of([int(id) for id in ids], plain), {"ids": "labels"})
        save(make.path("two_" + name), a=plain, b=numpy.asfortranarray(plain[:, :5]))
        make.case("two_" + name, records_of(range(rows), plain[:, :5]), {"collection": "b"})


def make_side_files(make, rows, plain):
    numpy.save(make.path("side.npy"), plain)
    texts = [f"id {row} é🙂"[: 4 + row % 9] for row in range(rows)]
    texts = [f"{row}:{text}" for row, text in enumerate(texts)]
    numpy.save(make.path("ids_u.npy"), numpy.array(texts))
    numpy.save(make.path("ids_u_big.npy"), numpy.array(texts).astype(">U24"))
    numpy.save(make.path("ids_s.npy"), numpy.array([f"s{row}" for row in range(rows)], dtype="S"))
    numpy.save(make.path("ids_u64.npy"), numpy.arange(rows, dtype=numpy.uint64) + numpy.uint64(1 << 63))
    numpy.save(make.path("ids_i32.npy"), -numpy.arange(rows, dtype=">i4"))
    with open(make.path("ids.txt"), "w", encoding="utf-8") as out:
        out.write("\n".join(texts))
    with open(make.path("numbers.txt"), "w", encoding="utf-8") as out:
        out.writelines(f"{row * 3}\n" for row in range(rows))
    with open(make.path("ids.jsonl"), "w", encoding="utf-8") as out:
        out.writelines(json.dumps({"id": row if row % 2 else texts[row]}) + "\n" for row in range(rows))
    for name, ids in [
        ("ids_u.npy", texts), ("ids_u_big.npy", texts), ("ids_s.npy", [f"s{row}" for row in range(rows)]),
        ("ids_u64.npy", [row + (1 << 63) for row in range(rows)]), ("ids_i32.npy", [-row for row in range(rows)]),
        ("ids.txt", texts), ("numbers.txt", [row * 3 for row in range(rows)]),
        ("ids.jsonl", [row if row % 2 else texts[row] for row in range(rows)]),
    ]:
        make.case("side.npy", records_of(ids, plain), {"ids": make.path(name)})
    make_metadata(make, rows, plain, texts)


def make_metadata(make, rows, plain, texts):
    records = records_of(texts, plain)
    for row, record in enumerate(records):
        if row % 3:
            record["metadata"] = {"row": row, "text": texts[row], "list": [row / 7, None, True]}
        if row % 4:
            record["document"] = f"text {row}\n\"quoted\""
    with open(make.path("metadata.jsonl"), "w", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps({key: value for key, value in record.items() if key != "vector"}, ensure_ascii=False) + "\n")
    make.case("side.npy", records, {"metadata": make.path("metadata.jsonl")})
    make.case("side.npy", records, {"metadata": make.path("metadata.jsonl"), "ids": make.path("ids.txt")})
    whole = records_of(range(rows), plain)
    with open(make.path("whole.jsonl"), "w", encoding="utf-8") as out:
        for row, record in enumerate(whole):
            record["metadata"] = {"id": row, "title": texts[row], "metadata": {}}
            out.write(json.dumps(record["metadata"]) + "\r\n")
    make.case("side.npy", whole, {"metadata": make.path("whole.jsonl")})


def make_parts(make, plain):
    os.mkdir(make.path("parts"))
    for part, rows in enumerate(numpy.array_split(plain, 12)):
        numpy.save(make.path(f"parts/part_{part}.npy"), rows)
    make.case("parts", records_of(range(len(plain)), plain))


def make_hdf5(make, rows, plain):
    import h5py

    settings = {"contiguous": {}, "chunked": {"chunks": (50, 17)}, "gzip": {"chunks": (64, 5), "compression": "gzip", "shuffle": True}}
    for name, keywords in settings.items():
        for distance, metric in [("angular", "cosine"), ("euclidean", "l2")]:
            file = f"{name}_{distance}.hdf5"
            with h5py.File(make.path(file), "w") as out:
                out.attrs["type"], out.attrs["distance"], out.attrs["dimension"] = "dense", distance, 17
                out.create_dataset("train", data=plain, **keywords)
                out.create_dataset("test", data=plain[:10].astype(">f8"))
                out.create_dataset("neighbors", data=numpy.zeros((10, 5), dtype=numpy.int32))
            make.case(file, records_of(range(rows), plain), metric=metric)
            make.case(file, records_of(range(10), plain[:10]), {"dataset": "test"}, metric)


def main():
    arguments = argparse.ArgumentParser(description="Makes index files and arrays, and what their libraries say is in them.")
    makers = {"hnswlib": make_hnswlib, "usearch": make_usearch, "arrays": make_arrays}
    arguments.add_argument("what", choices=makers)
    arguments.add_argument("directory")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rows", type=int, default=900)
    options = arguments.parse_args()
    os.mkdir(options.directory)
    make = Maker(options.directory, options.seed, options.rows)
    makers[options.what](make)
    make.finish()


if __name__ == "__main__":
    main()
