"""Makes RocksDB directories with the real engine and writes what its API answers as the truth.

usage: python rocksdb_make.py DIR TRUTH.jsonl [--seed N] [--rows N]

DIR must not exist; every database is a directory in it. Each goes through random puts, overwrites, deletes and re-puts in several column
families with flushes and compactions in between, and ends with writes that are only in its log: the process leaves without closing.

| database | what it is for |
|---|---|
| none_5, snappy_5, lz4_5, zstd_5, lz4hc_5 | compressions in table format 5 |
| snappy_6, lz4_6 | table format 6: checksums bound to their place |
| lz4_3 | table format 3: index entries without differences |
| crc32c, xxhash, xxhash64, no_checksum | the other checksums of blocks |
| partitioned | an index of two levels, small blocks, differences between index entries |
| hash_index | a hash index within data blocks |
| recycled | logs written over older logs |
| large | values longer than a block of the log |
| log_only | nothing was ever flushed |
| dropped | a column family was dropped and made again |
| bzip2_5 | a compression that is refused; not in the truth |
| blobs | values in blob files, refused; not in the truth |
| ranges | a delete of a range of keys, refused; not in the truth |

TRUTH.jsonl has one line per live key in key order: `{"db", "cf", "key", "value"}` in hex, and for a column family without keys one line
with a null key.
"""

import argparse
import json
import os
import random

from rocksdict import (BlockBasedIndexType, BlockBasedOptions, ChecksumType, DataBlockIndexType, DBCompressionType, Options, Rdict,
                       WriteBatch)

FAMILIES = ["payload", "mapping", "empty", "vector-ä"]


def options(compression=None, version=5, configure=None, block_size=4096):
    chosen = Options(raw_mode=True)
    chosen.create_if_missing(True)
    chosen.set_compression_type(compression or DBCompressionType.none())
    table = BlockBasedOptions()
    table.set_format_version(version)
    table.set_block_size(block_size)
    if configure:
        configure(chosen, table)
    chosen.set_block_based_table_factory(table)
    return chosen


def partitioned(_, table):
    table.set_index_type(BlockBasedIndexType.two_level_index_search())
    table.set_metadata_block_size(256)
    table.set_index_block_restart_interval(8)


def recycled(chosen, _):
    chosen.set_recycle_log_file_num(2)


def checksum(kind):
    return lambda _, table: table.set_checksum_type(kind)


def hash_index(_, table):
    table.set_data_block_index_type(DataBlockIndexType.binary_and_hash())


def blobs(chosen, _):
    chosen.set_enable_blob_files(True)
    chosen.set_min_blob_size(16)


DATABASES = {
    "none_5": options(),
    "snappy_5": options(DBCompressionType.snappy()),
    "lz4_5": options(DBCompressionType.lz4()),
    "zstd_5": options(DBCompressionType.zstd()),
    "lz4hc_5": options(DBCompressionType.lz4hc()),
    "snappy_6": options(DBCompressionType.snappy(), 6),
    "lz4_6": options(DBCompressionType.lz4(), 6),
    "lz4_3": options(DBCompressionType.lz4(), 3),
    "crc32c": options(configure=checksum(ChecksumType.crc32c())),
    "xxhash": options(configure=checksum(ChecksumType.xxhash())),
    "xxhash64": options(configure=checksum(ChecksumType.xxhash64()), version=6),
    "no_checksum": options(configure=checksum(ChecksumType.no_checksum())),
    "partitioned": options(DBCompressionType.lz4(), configure=partitioned, block_size=256),
    "hash_index": options(configure=hash_index),
    "recycled": options(configure=recycled),
    "large": options(DBCompressionType.snappy()),
    "log_only": options(),
    "dropped": options(),
    "bzip2_5": options(DBCompressionType.bz2()),
    "blobs": options(configure=blobs),
    "ranges": options(),
}
REFUSED = {"bzip2_5", "blobs", "ranges"}


# A handle that is dropped flushes its family: they all live until the end.
HANDLES = []


def family_of(db, name):
    HANDLES.append(db.get_column_family(name))
    return HANDLES[-1]


def key(rng, rows):
    number = rng.randrange(rows)
    return rng.choice([number.to_bytes(4, "little"), number.to_bytes(8, "big"), b"key-%d" % number])


def value(rng, name):
    if name == "large" and rng.random() < 0.05:
        return rng.randbytes(rng.randrange(20_000, 150_000))
    if rng.random() < 0.05:
        return b""
    return rng.choice([b"abc" * rng.randrange(40), rng.randbytes(rng.randrange(60))])


def change(db, family, rng, name, count, rows):
    batch = WriteBatch(raw_mode=True)
    batch.set_default_column_family(db.get_column_family_handle(family))
    for _ in range(count):
        if rng.random() < 0.25:
            batch.delete(key(rng, rows))
        else:
            batch.put(key(rng, rows), value(rng, name))
    db.write(batch)


def make(directory, name, chosen, rng, rows):
    db = Rdict(os.path.join(directory, name), chosen, column_families=None)
    for family in FAMILIES:
        HANDLES.append(db.create_column_family(family, chosen))
    written = ["default", *(family for family in FAMILIES if family != "empty")]
    for _ in range(12):
        family = rng.choice(written)
        change(db, family, rng, name, rng.randrange(1, rows), rows)
        if name == "log_only":
            continue
        if rng.random() < 0.7:
            family_of(db, family).flush()
        if rng.random() < 0.2:
            family_of(db, family).compact_range(None, None)
    if name == "dropped":
        db.drop_column_family("payload")
        HANDLES.append(db.create_column_family("payload", chosen))
        change(db, "payload", rng, name, 5, rows)
    if name == "ranges":
        db.delete_range(b"key-1", b"key-2")
        db.flush()
    for family in written:
        change(db, family, rng, name, rows // 8, rows)
    db.flush_wal(True)
    return db


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("dir")
    arguments.add_argument("truth")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rows", type=int, default=400)
    arguments = arguments.parse_args()
    os.makedirs(arguments.dir)
    rng = random.Random(arguments.seed)
    kept = []
    with open(arguments.truth, "w", encoding="utf-8") as truth:
        for name, chosen in DATABASES.items():
            db = make(arguments.dir, name, chosen, rng, arguments.rows)
            kept.append(db)
            if name in REFUSED:
                continue
            for family in ["default", *FAMILIES]:
                rows = sorted(family_of(db, family).items())
                for row_key, row_value in rows or [(None, None)]:
                    line = {"db": name, "cf": family, "key": row_key and row_key.hex(), "value": row_value is not None and row_value.hex()}
                    truth.write(json.dumps(line) + "\n")
    # Leave without closing, as a killed server does: what was not flushed stays in the logs.
    os._exit(0)


if __name__ == "__main__":
    main()
