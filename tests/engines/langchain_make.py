"""Makes folders as LangChain's FAISS store saves them, from classes of the names and pickled states that its releases had.

usage: python langchain_make.py DIR

DIR must not exist. LangChain itself is not needed: what stands in `index.pkl` is decided by module, name and `__getstate__` of two classes.
Each folder of DIR holds index.faiss, index.pkl and truth.jsonl, one line per row of the index: `{"id", "document", "metadata", "vector"}`,
metadata in the words of tranship (`{"$float": ..}`, `{"$bytes": ..}`, `{"$time": ..}`). A line of `rejected` documents has `"reason"` instead.

| folder | what |
|---|---|
| `pydantic2-N`, `pydantic1-N`, `plain-N`, `slots-N` | kinds of state, pickle protocol N |
| `rejects` | documents that have no form in JSON, among good ones |
| `extra` | documents with a field that nobody knows |
| `orphans` | a document without row, a row without document |
| `foreign` | index.pkl holds something else |
"""

import argparse
import base64
import collections
import datetime
import decimal
import json
import os
import pathlib
import pickle
import random
import sys
import types
import uuid

import faiss
import numpy

DIM = 6
ROWS = 40
PATHS = {
    "pydantic2": ("langchain_community.docstore.in_memory", "langchain_core.documents.base"),
    "pydantic1": ("langchain.docstore.in_memory", "langchain.schema.document"),
    "plain": ("langchain.docstore.in_memory", "langchain.docstore.document"),
    "slots": ("some.other.in_memory", "some.other.documents"),
}


def make_class(module, name, getstate):
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        parent = ".".join(parts[:end])
        made = sys.modules.setdefault(parent, types.ModuleType(parent))
    kind = type(name, (), {"__getstate__": getstate, "__module__": module})
    setattr(made, name, kind)
    return kind


def state_of(kind):
    def pydantic2(self):
        return {"__dict__": self.fields, "__pydantic_extra__": None, "__pydantic_fields_set__": set(self.fields), "__pydantic_private__": None}

    def pydantic1(self):
        return {"__dict__": self.fields, "__fields_set__": set(self.fields), "__private_attribute_values__": {}}

    def plain(self):
        return {**self.fields, "lookup_str": "", "lookup_index": 0}

    def slots(self):
        return (self.fields, {"slot": 1})

    return {"pydantic2": pydantic2, "pydantic1": pydantic1, "plain": plain, "slots": slots}[kind]


def python_values():
    """Python's values with what they are in tranship's words."""
    zone = datetime.timezone
    shared = ["shared", {"deep": [1, 2.5, None, True]}]
    return [
        (0, 0), (-1, -1), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)), (2**63, 2**63), (2**200 + 7, 2**200 + 7), (-(2**130), -(2**130)),
        (1.0, 1.0), (-0.0, -0.0), (1e300, 1e300), (5e-324, 5e-324),
        (float("nan"), {"$float": "nan"}), (float("inf"), {"$float": "inf"}), (float("-inf"), {"$float": "-inf"}),
        (None, None), (True, True), (False, False), ("", ""), ("text é 🙂 \u0000 \"q\" \\", "text é 🙂 \u0000 \"q\" \\"), ("x" * 70000, "x" * 70000),
        ([], []), ([1, "a", None, [2.5]], [1, "a", None, [2.5]]), ((1, (2, 3)), [1, [2, 3]]), ({"b": {"c": []}}, {"b": {"c": []}}),
        ({7}, [7]), (frozenset(["x"]), ["x"]), (b"\xff\x00", {"$bytes": base64.b64encode(b"\xff\x00").decode()}),
        (bytearray(b"abc"), {"$bytes": "YWJj"}), (shared, shared), (shared, shared),
        (collections.OrderedDict(z=1, a=2), {"z": 1, "a": 2}), (collections.defaultdict(list, k=[1]), {"k": [1]}),
        (datetime.datetime(2024, 2, 29, 13, 5, 59, 7), {"$time": "2024-02-29T13:05:59.000007"}),
        (datetime.datetime(1999, 12, 31, tzinfo=zone.utc), {"$time": "1999-12-31T00:00:00Z"}),
        (datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=zone(datetime.timedelta(hours=-3, minutes=-30))), {"$time": "2024-01-02T03:04:05-03:30"}),
        (datetime.date(2024, 1, 2), {"$time": "2024-01-02"}),
        (uuid.UUID("0e37df36-f698-11e6-8dd4-cb9ced3df976"), "0e37df36-f698-11e6-8dd4-cb9ced3df976"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (pathlib.PurePosixPath("/data/a b/c.txt"), "/data/a b/c.txt"), (pathlib.PurePosixPath("c.txt"), "c.txt"),
        (numpy.float64(0.1), 0.1), (numpy.float32(0.5), 0.5), (numpy.int64(-7), -7), (numpy.uint8(200), 200), (numpy.bool_(True), True),
    ]


def metadata(row, rng):
    values = python_values()
    if row == 0:
        return {}, {}
    chosen = [values[(row * 5 + step) % len(values)] for step in range(5)] + rng.sample(values, 3)
    pairs = [(f"k{number} ü", pair) for number, pair in enumerate(chosen)] + [("row", (row, row))]
    return {key: ours for key, (ours, _) in pairs}, {key: told for key, (_, told) in pairs}


def store(folder, kind, protocol, change):
    """Writes one folder; `change` may turn the documents and the map of rows into something else, and tells the truth of it."""
    store_module, document_module = PATHS[kind]
    document_class = make_class(document_module, "Document", state_of(kind))
    store_class = make_class(store_module, "InMemoryDocstore", lambda self: {"_dict": self.documents})
    rng = random.Random(f"{kind}{protocol}")
    vectors = numpy.random.default_rng(protocol).standard_normal((ROWS, DIM), dtype=numpy.float32)
    documents, ids, truth = {}, {}, []
    for row in range(ROWS):
        one = document_class()
        given, told = metadata(row, rng)
        text = f"text {row} é" if row else ""
        key = str(uuid.UUID(int=rng.getrandbits(128)))
        one.fields = {"page_content": text, "metadata": given, "id": key if kind == "pydantic2" else None, "type": "Document"}
        documents[key], ids[row] = one, key
        truth.append({"id": key, "document": text, "metadata": told, "vector": vectors[row].tolist()})
    # The order of the docstore is not that of the index.
    documents = dict(sorted(documents.items()))
    holder = store_class()
    holder.documents = documents
    change(documents, ids, truth)
    os.makedirs(folder)
    index = faiss.IndexFlatIP(DIM)
    index.add(vectors)
    faiss.write_index(index, os.path.join(folder, "index.faiss"))
    with open(os.path.join(folder, "index.pkl"), "wb") as file:
        pickle.dump((holder, ids), file, protocol=protocol)
    with open(os.path.join(folder, "truth.jsonl"), "w", encoding="utf-8") as file:
        for line in truth:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def same(documents, ids, truth):
    pass


def rejects(documents, ids, truth):
    endless = [1]
    endless.append(endless)
    laughs = ["ha"] * 10
    for _ in range(12):
        laughs = [laughs] * 10
    bad = [
        ({"d": decimal.Decimal("1.5")}, "metadata `d`: an object of the class decimal.Decimal has no form in JSON"),
        ({"t": datetime.timedelta(1)}, "metadata `t`: an object of the class datetime.timedelta has no form in JSON"),
        ({1: 2}, "a key is no text"), ({"c": datetime.datetime}, "metadata `c`: the class datetime.datetime has no form in JSON"),
        ({"e": endless}, "metadata `e`: nested deeper than 128 levels"), ({"l": laughs}, "metadata `l`: more than 1048576 bytes of text"),
        ([1], "the metadata is no dict"),
    ]
    for row, (value, reason) in enumerate(bad, start=10):
        documents[ids[row]].fields["metadata"] = value
        truth[row] = {"id": ids[row], "reason": reason}
    documents[ids[30]].fields["page_content"] = None
    truth[30] = {"id": ids[30], "reason": "page_content is no text"}


def extra(documents, ids, truth):
    for row in [3, 4]:
        documents[ids[row]].fields["embedding_model"] = "x"


def orphans(documents, ids, truth):
    del documents[ids[5]]
    one = type(documents[ids[6]])()
    one.fields = {"page_content": "nobody's", "metadata": {}}
    documents["nobody"] = one
    truth[5] = {"id": None, "reason": "there is no document for row 5"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("directory")
    directory = arguments.parse_args().directory
    for kind in PATHS:
        for protocol in [2, 3, 4, 5]:
            store(os.path.join(directory, f"{kind}-{protocol}"), kind, protocol, same)
    for change in [rejects, extra, orphans]:
        store(os.path.join(directory, change.__name__), "pydantic2", 4, change)
    foreign = os.path.join(directory, "foreign")
    store(foreign, "pydantic2", 5, same)
    with open(os.path.join(foreign, "index.pkl"), "wb") as file:
        pickle.dump([{"source": "a"}, {"source": "b"}], file)


if __name__ == "__main__":
    main()
