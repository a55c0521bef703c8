"""Measures tranship beside its peers on seeded data; `cargo xtask bench` prepares what it needs and calls it.

usage: python run.py --tranship BINARY --native PYTHON --ann PYTHON --work DIR [NAME] [--rows N] [--dim D] [--rounds R] [--write]

Each round runs every contender once, in an order that turns by one per round, on a source that is in the page cache; outputs go to the
disk of DIR. Wall time, CPU time and peak resident memory are those of the child process (`wait4`); the tables show medians. Before any figure is
shown, the output of every contender must agree with the facts of the source (rows, ids, documents, every bit of every vector). tranship syncs
its output to disk and writes digests, a fingerprint and a manifest; the peers do none of these.

--write renews docs/benchmarks.md, which names size, machine and load; without it the tables are only printed. This process stays small on purpose: a child's peak memory begins
with that of its parent.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import search

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(os.path.dirname(HERE), "docs", "benchmarks.md")
READ_BYTES = 1 << 22


@dataclass
class Run:
    wall_s: float
    cpu_s: float
    rss_mb: float


@dataclass
class Contender:
    name: str
    command: list
    output: str
    # False for what writes vectors of its own, or a form that only its vendor reads.
    checked: bool = True
    # A command that proves the output, where the facts cannot.
    proof: list = None
    runs: list = field(default_factory=list)
    output_mb: float = 0.0

    def median(self, figure):
        return statistics.median(getattr(run, figure) for run in self.runs)


@dataclass
class Bench:
    name: str
    title: str
    rows: int
    dim: int
    source: str
    facts: dict
    contenders: list


def python(script, *arguments):
    return [sys.executable, os.path.join(HERE, script), *map(str, arguments)]


def native(options, script, *arguments):
    """Runs in the environment of the vendors' libraries, whose pins collide with those of the other peers."""
    return [options.native, os.path.join(HERE, script), *map(str, arguments)]


def peer_copy(source):
    """Beside the source, with its extension: some engines go by that."""
    return os.path.join(os.path.dirname(source), f"copy-{os.path.basename(source)}")


def run_quietly(command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def make_once(path, command):
    """The facts file is written last, so without it the data is not whole."""
    if not os.path.exists(f"{path}.facts.json"):
        remove(path)
        print(f"making {path}", file=sys.stderr)
        run_quietly(command)
    with open(f"{path}.facts.json", encoding="utf-8") as file:
        return json.load(file)


def jsonl_source(options, rows, dim):
    path = os.path.join(options.work, f"{rows}x{dim}.jsonl")
    return path, make_once(path, python("data_jsonl.py", path, "--rows", rows, "--dim", dim))


def tranship(options, source, target):
    return [options.tranship, "convert", source, target]


def jsonl_archive(options):
    rows, dim = options.rows or 200_000, options.dim or 768
    source, facts = jsonl_source(options, rows, dim)
    out = os.path.join(options.work, "out")
    contenders = [
        Contender("tranship", tranship(options, f"jsonl:{source}", f"archive:{out}.tranship"), f"{out}.tranship"),
        Contender("DuckDB", python("peers/duckdb_jsonl_archive.py", source, f"{out}.duckdb.parquet"), f"{out}.duckdb.parquet"),
        Contender("polars", python("peers/polars_jsonl_archive.py", source, f"{out}.polars.parquet"), f"{out}.polars.parquet"),
    ]
    return Bench("jsonl-archive", "JSONL -> archive", rows, dim, source, facts, contenders)


def archive_jsonl(options):
    rows, dim = options.rows or 200_000, options.dim or 768
    lines, facts = jsonl_source(options, rows, dim)
    source = os.path.join(options.work, f"{rows}x{dim}.tranship")
    remove(source)
    run_quietly(tranship(options, f"jsonl:{lines}", f"archive:{source}"))
    out = os.path.join(options.work, "out")
    contenders = [
        Contender("tranship", tranship(options, f"archive:{source}", f"jsonl:{out}.tranship.jsonl"), f"{out}.tranship.jsonl"),
        Contender("DuckDB", python("peers/duckdb_archive_jsonl.py", source, f"{out}.duckdb.jsonl"), f"{out}.duckdb.jsonl"),
        Contender("polars", python("peers/polars_archive_jsonl.py", source, f"{out}.polars.jsonl"), f"{out}.polars.jsonl"),
    ]
    return Bench("archive-jsonl", "archive -> JSONL", rows, dim, source, facts, contenders)


def chroma_archive(options):
    rows, dim = options.rows or 20_000, options.dim or 384
    source = os.path.join(options.work, f"{rows}x{dim}.chroma")
    facts = make_once(source, python("data_chroma.py", source, "--rows", rows, "--dim", dim))
    # The engine may write into what it opens: the peer gets a copy.
    copy = peer_copy(source)
    remove(copy)
    shutil.copytree(source, copy)
    out = os.path.join(options.work, "out")
    contenders = [
        Contender("tranship", tranship(options, f"chroma:{source}", f"archive:{out}.tranship"), f"{out}.tranship"),
        Contender("chromadb + pyarrow", python("peers/chroma_archive.py", copy, f"{out}.chroma.parquet"), f"{out}.chroma.parquet"),
    ]
    return Bench("chroma-archive", "Chroma directory -> archive", rows, dim, source, facts, contenders)


def native_archive(options, name, title, source, locator, peer, flags=(), peer_arguments=()):
    """One native dump -> archive: tranship, the vendor's own library, and the floor of copying as many vectors into Parquet."""
    rows, dim = options.rows or 200_000, options.dim or 768
    source = os.path.join(options.work, f"{rows}x{dim}.{source}")
    facts = make_once(source, native(options, f"data_{name}.py", source, "--rows", rows, "--dim", dim))
    # An engine may write into what it opens: the peer gets a copy.
    copy = peer_copy(source)
    remove(copy)
    (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, copy)
    out = os.path.join(options.work, "out")
    command = tranship(options, f"{locator}:{source}", f"archive:{out}.tranship") + list(flags)
    engine = native(options, f"peers/{name}_archive.py", copy, f"{out}.{name}.parquet", *[a.format(dim=dim) for a in peer_arguments])
    floor = native(options, "peers/copy_vectors.py", rows, dim, f"{out}.copy.parquet")
    contenders = [
        Contender("tranship", command, f"{out}.tranship"),
        Contender(peer, engine, f"{out}.{name}.parquet"),
        Contender("floor: pyarrow, vectors from memory", floor, f"{out}.copy.parquet", checked=False),
    ]
    return Bench(f"{name}-archive", title, rows, dim, source, facts, contenders)


def qdrant_archive(options):
    return native_archive(options, "qdrant", "Qdrant shard -> archive", "qdrant", "qdrant", "qdrant-edge-py + pyarrow")


def milvus_archive(options):
    return native_archive(options, "milvus", "milvus-lite directory -> archive", "milvus.db", "milvus", "pymilvus + pyarrow")


def postgres_archive(options):
    columns = "columns=id:int8,embedding:vector,metadata:jsonb,document:text"
    flags = ["-o", columns, "-o", "metadata=metadata", "--document-column", "document"]
    peer = "PostgreSQL + psycopg + pyarrow"
    return native_archive(
        options, "postgres", "COPY BINARY -> archive", "copy.bin", "pgvector", peer, flags, ["{dim}"])


def faiss_archive(options):
    return native_archive(options, "faiss", "FAISS index file -> archive", "faiss", "faiss", "faiss-cpu + pyarrow")


def bundle(options, target, peer, flags=()):
    """Archive -> bundle: tranship, a script around the vendor's own writer, and tranship's own Parquet archive as the measure."""
    rows, dim = options.rows or 200_000, options.dim or 768
    lines, facts = jsonl_source(options, rows, dim)
    source = os.path.join(options.work, f"{rows}x{dim}.tranship")
    if not os.path.exists(source):
        run_quietly([*tranship(options, f"jsonl:{lines}", f"archive:{source}"), "--metric", "cosine"])
    out = os.path.join(options.work, "out")
    written = f"{out}.{target}"
    command = tranship(options, f"archive:{source}", f"{target}:{written}") + list(flags)
    again = tranship(options, f"archive:{source}", f"archive:{out}.tranship")
    contenders = [
        Contender("tranship", command, written, proof=[options.tranship, "verify", source, f"{target}:{written}"]),
        Contender(peer, native(options, f"peers/bundle_{target}.py", source, f"{out}.peer"), f"{out}.peer", checked=False),
        Contender("tranship, archive again", again, f"{out}.tranship"),
    ]
    return Bench(f"bundle-{target}", f"archive -> bundle for {target}", rows, dim, source, facts, contenders)


def bundle_qdrant(options):
    return bundle(options, "qdrant", "pyarrow + json.dumps")


def bundle_milvus(options):
    return bundle(options, "milvus", "pyarrow + pymilvus LocalBulkWriter")


def bundle_pgvector(options):
    return bundle(options, "pgvector", "pyarrow + pgvector-python, COPY BINARY")


def archive_of_lines(options, rows, dim):
    lines, facts = jsonl_source(options, rows, dim)
    source = os.path.join(options.work, f"{rows}x{dim}.tranship")
    if not os.path.exists(source):
        run_quietly([*tranship(options, f"jsonl:{lines}", f"archive:{source}"), "--metric", "cosine"])
    return lines, source, facts


def refuse_another(commands, a, other):
    """Every contender must tell a set from one that differs from it in a single value."""
    for command in commands:
        if subprocess.run([*command, a, other], stdout=subprocess.DEVNULL, check=False).returncode != 1:
            sys.exit(f"{' '.join(command)} does not find the one record that differs")


def verify(options):
    """Two equal archives proven equal: tranship by fingerprints, the peers by a full outer join."""
    rows, dim = options.rows or 200_000, options.dim or 768
    lines, a, facts = archive_of_lines(options, rows, dim)
    b, other, changed = (os.path.join(options.work, name) for name in ("other.tranship", "changed.tranship", "changed.jsonl"))
    remove(b)
    shutil.copytree(a, b)
    with open(lines, encoding="utf-8") as source, open(changed, "w", encoding="utf-8") as out:
        for number, line in enumerate(source):
            out.write(line.replace('"document":"', '"document":"?', 1) if number == rows // 2 else line)
    remove(other)
    run_quietly([*tranship(options, f"jsonl:{changed}", f"archive:{other}"), "--metric", "cosine"])
    commands = [[options.tranship, "verify"], python("peers/duckdb_verify.py"), python("peers/polars_verify.py")]
    refuse_another(commands, a, other)
    remove(other)
    remove(changed)
    nothing = os.path.join(options.work, "nothing")
    names = ("tranship", "DuckDB, full outer join", "polars, full join")
    contenders = [Contender(name, [*command, a, b], nothing, checked=False) for name, command in zip(names, commands)]
    return Bench("verify", "two equal archives", rows, dim, a, facts, contenders)


def fingerprint(options):
    """What the fingerprint costs on top of decoding an archive; `cargo build --release --workspace --examples` makes the program."""
    rows, dim = options.rows or 200_000, options.dim or 768
    _, source, facts = archive_of_lines(options, rows, dim)
    decode = os.path.join(os.path.dirname(options.tranship), "examples", "decode")
    if not os.path.exists(decode):
        run_quietly(["cargo", "build", "--release", "--workspace", "--examples"])
    nothing = os.path.join(options.work, "nothing")
    contenders = [
        Contender("tranship, decode and fingerprint", [decode, source, "--fingerprint"], nothing, checked=False),
        Contender("tranship, decode only", [decode, source], nothing, checked=False),
    ]
    return Bench("fingerprint", "fingerprint of an archive", rows, dim, source, facts, contenders)


def transform(options):
    """JSONL through a map of fields and through a jq program, beside the plain conversion and a Python loop that does what the program does."""
    rows, dim = options.rows or 100_000, options.dim or 384
    source, facts = jsonl_source(options, rows, dim)
    out = os.path.join(options.work, "out")
    fields = os.path.join(options.work, "fields.toml")
    with open(fields, "w", encoding="utf-8") as file:
        file.write('drop = ["chunk"]\nrename = { language = "lang" }\ndefault = { kind = "page" }\n[cast]\npage = "text"\n')
    program = ".metadata.page += 1 | .metadata.lang = .metadata.language | del(.metadata.language)"

    def through(name, target, flags):
        command = [*tranship(options, f"jsonl:{source}", target), *flags]
        proof = [options.tranship, "verify", f"jsonl:{source}", target, *flags]
        return Contender(name, command, target.split(":")[1], proof=proof)

    mapped = through("tranship, --map, archive", f"archive:{out}.map.tranship", ["--map", fields])
    plain = through("tranship, plain, archive", f"archive:{out}.plain.tranship", [])
    program_run = through("tranship, --map-jq, JSONL", f"jsonl:{out}.jq.jsonl", ["--map-jq", program])
    loop = through("Python loop, JSONL", f"jsonl:{out}.loop.jsonl", ["--map-jq", program])
    loop.command = python("peers/transform_loop.py", source, f"{out}.loop.jsonl")
    return Bench("transform", "JSONL changed on the way", rows, dim, source, facts, [mapped, plain, program_run, loop])


BENCHES = {
    "jsonl-archive": jsonl_archive,
    "archive-jsonl": archive_jsonl,
    "chroma-archive": chroma_archive,
    "qdrant-archive": qdrant_archive,
    "milvus-archive": milvus_archive,
    "postgres-archive": postgres_archive,
    "faiss-archive": faiss_archive,
    "bundle-qdrant": bundle_qdrant,
    "bundle-milvus": bundle_milvus,
    "bundle-pgvector": bundle_pgvector,
    "verify": verify,
    "fingerprint": fingerprint,
    "transform": transform,
}

# These time searches, not whole processes, and make their own tables.
SEARCHES = {"knn": search.knn, "hnsw": search.hnsw}


def files_under(path):
    if os.path.isfile(path):
        return [path]
    return [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]


def size_mb(path):
    return sum(map(os.path.getsize, files_under(path))) / 1e6


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)


def read_into_page_cache(path):
    for name in files_under(path):
        with open(name, "rb", buffering=0) as file:
            while file.read(READ_BYTES):
                pass


def measure(contender):
    remove(contender.output)
    # What the last contender left unwritten must not slow this one.
    os.sync()
    start = time.perf_counter()
    child = subprocess.Popen(contender.command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall_s = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{contender.name} ended with {child.returncode}: {' '.join(contender.command)}")
    contender.runs.append(Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6))


def check(bench, contender):
    if contender.proof:
        return run_quietly(contender.proof)
    answer = subprocess.run(python("check.py", contender.output), check=True, capture_output=True, text=True)
    facts = json.loads(answer.stdout)
    if facts != bench.facts:
        sys.exit(f"{bench.name}: the output of {contender.name} is not the source: {facts}, wanted {bench.facts}")


def run_bench(bench, rounds):
    read_into_page_cache(bench.source)
    for turn in range(rounds):
        shift = turn % len(bench.contenders)
        for contender in bench.contenders[shift:] + bench.contenders[:shift]:
            measure(contender)
            last = contender.runs[-1]
            print(f"{bench.name} round {turn + 1}: {contender.name} {last.wall_s:.2f} s", file=sys.stderr)
            if turn + 1 == rounds:
                if contender.checked:
                    check(bench, contender)
                contender.output_mb = size_mb(contender.output)
                remove(contender.output)
    remove(peer_copy(bench.source))


def table(bench):
    source_mb = size_mb(bench.source)
    ours = bench.contenders[0].median("wall_s")
    lines = [
        f"## {bench.title}: {bench.rows:,} x {bench.dim}",
        "",
        f"`{bench.name}`; source {source_mb:,.0f} MB; every output checked against the source.",
        "",
        "| | wall s | CPU s | peak RSS MB | MB/s of source | rows/s | output MB | wall, tranship = 1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for contender in bench.contenders:
        wall_s = contender.median("wall_s")
        lines.append(
            f"| {contender.name} | {wall_s:.2f} | {contender.median('cpu_s'):.2f} | {contender.median('rss_mb'):,.0f} "
            f"| {source_mb / wall_s:,.0f} | {bench.rows / wall_s:,.0f} | {contender.output_mb:,.0f} | {wall_s / ours:.2f} |")
    return "\n".join(lines) + "\n"


def machine():
    model = platform.processor() or platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} x {model}, {memory_gib:.0f} GiB"


def document(options, load, tables):
    packages = ("duckdb", "polars", "pyarrow", "chromadb")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    binary = subprocess.run([options.tranship, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    rows = f"Cut to {options.rows:,} rows. " if options.rows else ""
    head = f"""# Benchmarks

Written by `cargo xtask bench --write`; do not edit.

{binary}; {versions}; Python {platform.python_version()}; {machine()}. Medians of {options.rounds} rounds in which the contenders take turns; source in
the page cache, output on disk. tranship syncs its output and writes digests, a fingerprint and a manifest; the peers do not.

{rows}Load average before the first round: {load:.1f} on {os.cpu_count()} CPUs; on a machine that others use, trust CPU time and ratios more than wall time.
tranship builds and reads pages of vectors by hand (ADR 13); floats are scanned and printed without SIMD.
"""
    return "\n".join([head, *tables])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("name", nargs="?", choices=sorted([*BENCHES, *SEARCHES]))
    arguments.add_argument("--tranship", required=True, help="the release binary")
    arguments.add_argument("--native", help="Python with the vendors' own libraries")
    arguments.add_argument("--ann", help="Python with hnswlib")
    arguments.add_argument("--work", required=True, help="directory for data and outputs")
    arguments.add_argument("--rows", type=int)
    arguments.add_argument("--dim", type=int)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--write", action="store_true", help="renew docs/benchmarks.md")
    options = arguments.parse_args()
    if options.write and options.name:
        sys.exit("--write takes no NAME: the page shows all benches")

    os.makedirs(options.work, exist_ok=True)
    load = os.getloadavg()[0]
    tables = []
    for name, prepare in BENCHES.items():
        if options.name in (None, name):
            bench = prepare(options)
            run_bench(bench, options.rounds)
            tables.append(table(bench))
            print(tables[-1], flush=True)
    for name, measure_and_show in SEARCHES.items():
        if options.name in (None, name):
            tables.append(measure_and_show(options))
            print(tables[-1], flush=True)
    if options.write:
        os.makedirs(os.path.dirname(DOCUMENT), exist_ok=True)
        with open(DOCUMENT, "w", encoding="utf-8") as out:
            out.write(document(options, load, tables))


if __name__ == "__main__":
    main()
