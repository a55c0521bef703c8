#!/usr/bin/env python3
"""Joins the parts of this bundle into one array. Needs numpy.

    python3 load.py [--out DIRECTORY]

DIRECTORY (default: loaded beside this script) must not exist; it gets vectors.npy and records.jsonl. Row n of the array
belongs to line n of records.jsonl.
"""

import argparse
import glob
import json
import os
import shutil
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
FORM = "@FORM@"
PARTS = @PARTS@
ROWS = @ROWS@
BINARY = {"fbin": "<f4", "hbin": "<f2", "i8bin": "i1", "u8bin": "u1"}


def parts():
    found = sorted(glob.glob(os.path.join(HERE, "data", "vectors-*")))
    if len(found) != PARTS:
        sys.exit(f"error: data/ holds {len(found)} arrays, this bundle has {PARTS}; copy the bundle again")
    return found


def beside(path):
    name = os.path.splitext(os.path.basename(path))[0].replace("vectors-", "records-") + ".jsonl"
    return os.path.join(HERE, "data", name)


def part(path):
    """The array of one part."""
    if FORM == "fvecs":
        words = np.fromfile(path, dtype="<i4")
        return words.reshape(-1, words[0] + 1)[:, 1:].view("<f4")
    if FORM == "bvecs":
        dim = int(np.fromfile(path, dtype="<i4", count=1)[0])
        return np.fromfile(path, dtype="u1").reshape(-1, dim + 4)[:, 4:]
    if FORM in BINARY:
        rows, dim = np.fromfile(path, dtype="<u4", count=2)
        return np.fromfile(path, dtype=BINARY[FORM], offset=8).reshape(rows, dim)
    return np.load(path, mmap_mode="r")


def vectors():
    """All vectors, one row each."""
    return np.concatenate([part(path) for path in parts()])


def records():
    """What belongs to each row, in their order."""
    for path in parts():
        with open(beside(path), encoding="utf-8", newline="\n") as lines:
            for line in lines:
                yield json.loads(line)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", default=os.path.join(HERE, "loaded"))
    given = arguments.parse_args()
    if PARTS == 0:
        print("no record of this collection has the vector: there is no array")
        return
    whole = vectors()
    if len(whole) != ROWS:
        sys.exit(f"error: the parts have {len(whole)} rows, this bundle has {ROWS}; copy the bundle again")
    os.makedirs(given.out)
    np.save(os.path.join(given.out, "vectors.npy"), whole)
    with open(os.path.join(given.out, "records.jsonl"), "wb") as out:
        for path in parts():
            with open(beside(path), "rb") as lines:
                shutil.copyfileobj(lines, out)
    print(f"{whole.shape[0]} rows of {whole.shape[1]} {whole.dtype} in {os.path.join(given.out, 'vectors.npy')}")


if __name__ == "__main__":
    main()
