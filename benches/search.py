"""Exact and graph search beside their peers, on clustered unit vectors compared by dot product; called by `run.py`.

Every contender is a process of its own that loads the vectors, then times its search three times and prints the median. Exact answers must be
those of faiss, row by row, before a figure is shown (a row in another's place only as often as rounding explains, 1 in 10,000). Graphs are searched
at several ef; speeds are compared at equal recall, interpolated between those.
"""

import json
import math
import os
import statistics
import subprocess
import sys

import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
K = 10
M, EF_CONSTRUCTION = 16, 200
EFS = [10, 20, 40, 80, 160, 320]
RECALLS = [0.9, 0.95, 0.98, 0.99]
SHAPES = [(200_000, 768), (1_000_000, 128)]


def script(python, name, *arguments):
    return [python, os.path.join(HERE, name), *map(str, arguments)]


def searches(options, *arguments):
    """The example binary of the crate `recall`, beside the binary."""
    return [os.path.join(os.path.dirname(options.tranship), "examples", "searches"), *map(str, arguments)]


def answer(command):
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(run.stdout.splitlines()[-1])


def data(options, rows, dim):
    """The folder with the vectors, and the truth by faiss; the truth is made last."""
    folder = os.path.join(options.work, f"{rows}x{dim}.vectors")
    if not os.path.exists(os.path.join(folder, "truth.i32")):
        print(f"making {folder}", file=sys.stderr)
        subprocess.run(script(sys.executable, "data_vectors.py", folder, "--rows", rows, "--dim", dim), check=True)
        answer(script(options.native, "peers/knn_faiss.py", folder, dim, K, os.cpu_count(), "truth.i32"))
    return folder


def shapes(options):
    if options.rows or options.dim:
        return [(options.rows or SHAPES[0][0], options.dim or SHAPES[0][1])]
    return SHAPES


def knn(options):
    return "\n".join(knn_of(options, rows, dim) for rows, dim in shapes(options))


def knn_of(options, rows, dim):
    folder, threads = data(options, rows, dim), os.cpu_count()
    contenders = {
        "tranship, 8-bit codes": searches(options, "knn", "codes", folder, dim, K, threads),
        "tranship, floats": searches(options, "knn", "floats", folder, dim, K, threads),
        "faiss-cpu IndexFlat": script(options.native, "peers/knn_faiss.py", folder, dim, K, threads, "found.i32"),
    }
    seconds = {name: [] for name in contenders}
    truth = numpy.fromfile(os.path.join(folder, "truth.i32"), dtype="<i4")
    for turn in range(options.rounds):
        names = list(contenders)
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            seconds[name].append(answer(contenders[name])["seconds"])
            found = numpy.fromfile(os.path.join(folder, "found.i32"), dtype="<i4")
            if found.shape != truth.shape or (found != truth).sum() > truth.size / 10_000:
                sys.exit(f"knn: {name} does not find what faiss finds")
            print(f"knn round {turn + 1}: {name} {seconds[name][-1]:.2f} s", file=sys.stderr)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    peer = medians["faiss-cpu IndexFlat"]
    queries = truth.size // K
    lines = [
        f"## Exact neighbours: {rows:,} x {dim}, {queries:,} queries, k = {K}, {threads} threads",
        "",
        "`knn`; equal answers from all.",
        "",
        "| | wall s | queries/s | times as fast as faiss |",
        "|---|---|---|---|",
    ]
    lines += [f"| {name} | {wall:.2f} | {queries / wall:,.0f} | {peer / wall:.2f} |" for name, wall in medians.items()]
    return "\n".join(lines) + "\n"


def seconds_at(points, recall):
    """Seconds at a recall, between the two measured points around it (logarithmic in time); none outside of them."""
    points = sorted(points, key=lambda point: point["recall"])
    for low, high in zip(points, points[1:]):
        if low["recall"] <= recall <= high["recall"] and low["recall"] < high["recall"]:
            part = (recall - low["recall"]) / (high["recall"] - low["recall"])
            return math.exp((1 - part) * math.log(low["seconds"]) + part * math.log(high["seconds"]))
    return None


def hnsw(options):
    return "\n".join(hnsw_of(options, rows, dim) for rows, dim in shapes(options))


def hnsw_of(options, rows, dim):
    folder, threads = data(options, rows, dim), os.cpu_count()
    settings = [folder, dim, K, threads, M, EF_CONSTRUCTION, *EFS]
    commands = {
        "tranship": searches(options, "hnsw", "flat", *settings),
        "hnswlib": script(options.ann, "peers/hnsw_hnswlib.py", *settings),
        "hnsw_rs": searches(options, "hnsw", "hnsw_rs", *settings),
    }
    figures = {}
    for name, command in commands.items():
        figures[name] = answer(command)
        print(f"hnsw: {name} built in {figures[name]['build_seconds']:.1f} s", file=sys.stderr)
    queries = os.path.getsize(os.path.join(folder, "truth.i32")) // 4 // K
    speed = lambda seconds: f"{queries / seconds:,.0f}" if seconds else "-"
    build = figures["tranship"]["build_seconds"]
    lines = [
        f"## HNSW: {rows:,} x {dim}, M = {M}, ef_construction = {EF_CONSTRUCTION}, {queries:,} queries, k = {K}, {threads} threads",
        "",
        "`hnsw`; queries per second at equal recall@10, interpolated between " + ", ".join(map(str, EFS)) + " for ef; - where none of those comes there.",
        "",
        "| | build s | build, tranship = 1 | " + " | ".join(f"at {recall}" for recall in RECALLS) + " | recall at ef 80 |",
        "|---|---|---|" + "---|" * (len(RECALLS) + 1),
    ]
    for name, figure in figures.items():
        speeds = " | ".join(speed(seconds_at(figure["points"], recall)) for recall in RECALLS)
        at_80 = next(point["recall"] for point in figure["points"] if point["ef"] == 80)
        lines.append(f"| {name} | {figure['build_seconds']:.1f} | {figure['build_seconds'] / build:.2f} | {speeds} | {at_80:.4f} |")
    return "\n".join(lines) + "\n"
