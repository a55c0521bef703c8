"""Makes the seeds of the fuzz targets: small files, cut out of the fixtures or written after the format.

usage: python3 seeds.py TARGET.. | all

Writes `corpus/TARGET/seed-*` beside this script. Real dumps are cut to a few records and their counts put right; what
cannot be cut is fuzzed by patches (see `src/targets.rs`), whose seeds are a few patches. `parquet` needs pyarrow, as in
the engine environment `readers`; all others need nothing but Python, zstd and tar.
"""

import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "../../fixtures")


def fixture(name, path):
    """The bytes of one file of a fixture."""
    with tempfile.TemporaryDirectory() as directory:
        archive = os.path.join(FIXTURES, name + ".tar.zst")
        subprocess.run(["sh", "-c", 'zstd -dc --long=31 "$0" | tar x -C "$1"', archive, directory], check=True)
        with open(os.path.join(directory, path), "rb") as file:
            return file.read()


def jsonl():
    plain = [{"id": f"doc-{i}", "vector": [i, 0.5, -1e-3], "metadata": {"i": i, "f": 1.0, "n": None}, "document": "é"}
             for i in range(4)]
    named = [{"id": i, "namespace": "n", "vectors": {
        "a": [1, 2], "s": {"indices": [1, 7], "values": [0.5, 1]}, "m": [[1, 2], [3, 4]], "b": {"bits": "0110"}}}
        for i in range(3)]
    for records in (plain, named, [{"vector": [1.5, 2]}, {"vector": [3, 4]}]):
        yield "".join(json.dumps(record) + "\n" for record in records).encode()
    yield b'{"id":"a","vector":[1,2],"metadata":{"k":{"$bytes":"AA=="},"deep":[[[{"x":[]}]]],"\\u00e9":1e300}}\r\n\n'
    # One of each way in which exports are cut and spelled.
    yield b'{"_id":"a","_source":{"vector":[1,2.5],"text":"t","n":{"o":1}}}\n{"_id":"b","_source":{"vector":[3,4]}}\n'
    yield b'{"index":{"_id":"a"}}\n{"vector":[1,2]}\n{"delete":{"_id":"z"}}\n{"create":{"_id":"b"}}\n{"vector":[3,4]}\n'
    yield b'{"id":"id:n:t::a","fields":{"e":{"type":"tensor<float>(x[2])","values":"3f80000040000000"},"emb":[1,2]}}\n'
    yield b'{"vectors":{"a":{"id":"a","values":[1,2],"sparseValues":{"indices":[7,2],"values":[1,2]}}},"namespace":"n"}'
    yield b'{"objects":[{"class":"C","id":"a","properties":{"k":1},"vector":[1],"vectors":{"o":[1,2]},"tenant":"t"}]}'
    yield b'{"rows":[{"id":1,"vector":"AACAPwAAAEA="}]}{"rows":[]}'
    yield b'\x28\0\0\0\x07_id\0ABCDEFGHIJKL\x05v\0\x0a\0\0\0\x09\x27\0\0\0\x80?\0\0\0@\0'


def parquet():
    import pyarrow
    import pyarrow.parquet

    vectors = pyarrow.array([[1.0, 2.0], None, [3.0, 4.5]], pyarrow.list_(pyarrow.float32()))
    halves = pyarrow.array([[1.0, 2.0], [0.5, 0.25], None], pyarrow.list_(pyarrow.float64()))
    others = {"text": ["a", None, "c"], "n": [1, 2, 3], "when": pyarrow.array([0, 1, None], pyarrow.timestamp("us", "UTC")),
              "tags": [["x"], [], None], "metadata": ['{"k":1}', None, "{}"]}
    for ids, vector, options in (([1, 2, 3], vectors, {"compression": "zstd"}), (["a", "b", "c"], halves, {"compression": "snappy"}),
                                 ([1, 2, 3], vectors, {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"})):
        out = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table({"id": ids, "vector": vector, **others}), out, **options)
        yield out.getvalue()
    binary = os.path.join(HERE, "../../target/release/tranship")
    for lines in list(jsonl())[:2]:
        with tempfile.TemporaryDirectory() as directory:
            source = os.path.join(directory, "in.jsonl")
            with open(source, "wb") as file:
                file.write(lines)
            subprocess.run([binary, "convert", "jsonl:" + source, f"parquet:{directory}/out"], check=True, capture_output=True)
            with open(f"{directory}/out/part-00000.parquet", "rb") as file:
                yield file.read()


def qdrant_pages():
    points = [{"id": 1, "vector": [1.0, 2.0], "payload": {"a": 1, "b": [1.5, None]}},
              {"id": "3f622591-baa6-5888-8a4f-6b3813e16a44", "vector": [0.5, 1e-3], "payload": None}]
    named = [{"id": 2, "vector": {"a": [1.0], "m": [[1.0, 2.0]], "s": {"indices": [3], "values": [1.0]}}, "payload": {}}]
    for found in (points, named):
        yield json.dumps({"result": {"points": found, "next_page_offset": None}, "status": "ok", "time": 0.1}).encode()


def cut_flat(data, rows):
    """A flat FAISS index with its first rows, and how many bytes the whole one takes.

    u32 fourcc | i32 d | i64 ntotal | 2 * i64 | u8 trained | i32 metric | f32 if metric > 1 | u64 floats | floats
    """
    d, total = struct.unpack_from("<iq", data, 4)
    start = 37 + (4 if struct.unpack_from("<i", data, 33)[0] > 1 else 0) + 8
    head = data[:8] + struct.pack("<q", rows) + data[16:start - 8]
    return head + struct.pack("<Q", rows * d) + data[start:start + rows * d * 4], start + total * d * 4


def faiss():
    for name in ("flat_l2", "flat_ip", "flat_l1"):
        yield cut_flat(fixture("ann-files", f"ann/{name}.faiss"), 6)[0]
    for name in ("idmap_flat", "idmap2_flat"):
        data = fixture("ann-files", f"ann/{name}.faiss")
        flat, length = cut_flat(data[37:], 6)
        ids = data[37 + length + 8:][:6 * 8]
        yield data[:8] + struct.pack("<q", 6) + data[16:37] + flat + struct.pack("<Q", 6) + ids
    data = fixture("ann-files", "ann/binary_flat.faiss")
    code = struct.unpack_from("<i", data, 8)[0]
    yield data[:12] + struct.pack("<q", 6) + data[20:25] + struct.pack("<Q", 6 * code) + data[33:33 + 6 * code]


def hnswlib():
    """Header of 96 bytes: offset level 0, max, count, element size, .., i32 max level at 48, u32 entry at 52."""
    for name in ("hnswlib_l2", "hnswlib_cosine"):
        data, rows = fixture("ann-files", f"ann/{name}.bin"), 6
        size = struct.unpack_from("<Q", data, 24)[0]
        head = data[:8] + struct.pack("<QQ", rows, rows) + data[24:48] + struct.pack("<iI", 0, 0) + data[56:96]
        elements = (data[96 + row * size:96 + (row + 1) * size] for row in range(rows))
        yield head + b"".join(b"\0\0\0\0" + element[4:] for element in elements) + b"\0\0\0\0" * rows


def array(descr, fortran, shape, data, version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    length = 2 if version == 1 else 4
    header = header.ljust((len(header) + 8 + length + 64) // 64 * 64 - 9 - length) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(length, "little") + header + data


def npy():
    values = [0.5 * i for i in range(12)]
    yield array("<f4", False, (4, 3), struct.pack("<12f", *values))
    yield array(">f4", False, (4, 3), struct.pack(">12f", *values))
    yield array("<f8", True, (4, 3), struct.pack("<12d", *values), 2)
    yield array("<f2", False, (4, 3), struct.pack("<12e", *values))
    yield array("|u1", False, (4, 3), bytes(range(12)))
    yield array("|i1", False, (4, 3), bytes(range(12)), 3)


def npz():
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            archive.writestr("vectors.npy", array("<f4", False, (3, 2), struct.pack("<6f", *range(6))))
            archive.writestr("ids.npy", array("<i8", False, (3,), struct.pack("<3q", 7, 18, 29)))
        yield out.getvalue()


def fvecs():
    yield b"".join(struct.pack("<i3f", 3, i, 0.5, -1) for i in range(4))


def bvecs():
    yield b"".join(struct.pack("<i3B", 3, i, 5, 255) for i in range(4))


def fbin():
    yield struct.pack("<II6f", 2, 3, *range(6))


def rdb_string(text):
    assert len(text) < 64
    return bytes([len(text)]) + text


def rdb():
    """Magic, auxiliary fields, one database of hashes in three encodings, end, checksum 0 (switched off)."""
    def vector(i):
        return struct.pack("<4f", i, 0.5, -1, 2)

    def entry(text):
        coded = bytes([0x80 | len(text)]) + text
        return coded + bytes([len(coded)])

    def listpack(fields):
        body = b"".join(entry(text) for text in fields)
        return struct.pack("<IH", len(body) + 7, len(fields)) + body + b"\xff"

    def entries(version):
        head = b"REDIS" + b"%04d" % version + b"\xfa" + rdb_string(b"redis-ver") + rdb_string(b"7.0.15") + b"\xfe\0\xfb\3\0"
        plain = b"\4" + rdb_string(b"doc:1") + b"\2" + b"".join(
            map(rdb_string, (b"embedding", vector(1), b"text", b"one")))
        packed = listpack([b"embedding", vector(2), b"text", b"two"])
        return head + plain + b"\x10" + rdb_string(b"doc:2") + bytes([len(packed)]) + packed + b"\xff" + b"\0" * 8

    yield entries(9)
    yield entries(11)


def pg_lines(name, rows):
    """A dump cut to the first rows of each COPY block."""
    kept, block = [], None
    for line in fixture("pgvector-0.8", f"pg/{name}").split(b"\n"):
        if line == b"\\.":
            block = None
        elif block is not None:
            block += 1
        if block is None or block <= rows:
            kept.append(line)
        if line.startswith(b"COPY ") and line.endswith(b"FROM stdin;"):
            block = 0
    return b"\n".join(kept)


def pg_plain():
    yield pg_lines("plain.sql", 6)
    lines = fixture("pgvector-0.8", "pg/inserts.sql").split(b"\n")
    inserts = [at for at, line in enumerate(lines) if line.startswith(b"INSERT ")]
    yield b"\n".join(lines[:inserts[6]] + lines[inserts[-1] + 1:])


def pg_copy_text():
    yield b"\n".join(fixture("pgvector-0.8", "pg/copy_text.tsv").split(b"\n")[:6]) + b"\n"


def pg_copy_binary():
    """Signature, flags, header length; tuples of i16 fields, each i32 length and bytes; i16 -1."""
    data = fixture("pgvector-0.8", "pg/copy_bin.bin")
    at = 19 + struct.unpack_from(">i", data, 15)[0]
    for _ in range(6):
        fields = struct.unpack_from(">h", data, at)[0]
        at += 2
        for _ in range(fields):
            at += 4 + max(0, struct.unpack_from(">i", data, at)[0])
    yield data[:at] + b"\xff\xff"
    yield fixture("pgvector-0.8", "pg/plain_bin.bin")


def patch(file, kind, offset, data):
    return struct.pack("<BBIB", file, kind, offset, len(data)) + data


def patches():
    """The dump as it is, and each of the first files cut, overwritten and removed."""
    yield b""
    for file in range(8):
        yield patch(file, 0, 16 + 37 * file, b"\xff" * 8)
        yield patch(file, 1, 1 << (4 + file), b"")
    yield patch(1, 4, 0, b"") + patch(0, 2, 100, b"\0\0\0\1") + patch(2, 3, 40, b"\0\0\0")


SEEDS = {
    "jsonl": jsonl, "parquet": parquet, "qdrant_pages": qdrant_pages, "faiss": faiss, "hnswlib": hnswlib, "npy": npy,
    "npz": npz, "fvecs": fvecs, "bvecs": bvecs, "fbin": fbin, "rdb": rdb, "pg_plain": pg_plain,
    "pg_copy_text": pg_copy_text, "pg_copy_binary": pg_copy_binary,
}
PATCHED = (
    "chroma", "qdrant_snapshot", "qdrant_storage", "rocksdb", "milvus_binlogs", "milvus_lite2", "milvus_lite3",
    "pg_custom", "pg_custom_plain", "tar", "faiss_hnsw", "faiss_ivf", "langchain_pickle", "usearch", "rdb_dump",
)
SEEDS.update((name, patches) for name in PATCHED)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for target in SEEDS if sys.argv[1:] == ["all"] else sys.argv[1:]:
        directory = os.path.join(HERE, "corpus", target)
        os.makedirs(directory, exist_ok=True)
        for number, seed in enumerate(SEEDS[target]()):
            with open(os.path.join(directory, f"seed-{number:02}"), "wb") as file:
                file.write(seed)


if __name__ == "__main__":
    main()
