#!/usr/bin/env python3
"""Brings a collection from the set that this delta was made from to the next one: deletes, then writes. Needs the chromadb
client.

  python load.py --path DIRECTORY            a directory, which chroma run --path serves as well
  python load.py --host HOST --port PORT     a server
  python load.py ... --resume                goes on: sends what has not been acknowledged yet

It refuses a collection that does not hold as many records as the delta was made from.

CHROMA_PATH, CHROMA_HOST, CHROMA_PORT, CHROMA_SSL=1, CHROMA_TENANT, CHROMA_DATABASE   stand in for the options
CHROMA_API_KEY   sent as x-chroma-token
STATE_DIR        where acknowledged bodies are marked, default .loaded beside this script
RETRIES, RETRY_SECONDS   patience: 8 tries, first pause 1 s
"""
# @COMMON@

import numpy as np


def mark(name):
    return STATE / (Path(name).name + ".done")


def send(client, collection, name, entry):
    path = HERE / name
    if path.stat().st_size != entry["bytes"]:
        die(f"{path} has {path.stat().st_size} bytes, the manifest says {entry['bytes']}; copy the bundle again")
    body = json.loads(path.read_text(encoding="utf-8"))
    # Text -> f64 -> f32 gives back the bits that were written; f64 alone would be sent with more digits.
    embeddings = np.asarray(body["embeddings"], dtype=np.float64).astype(np.float32)
    step = min(len(body["ids"]), client.get_max_batch_size())
    for start in range(0, len(body["ids"]), step):
        rows = slice(start, start + step)
        # upsert, for `add` leaves the old vector of an id that is there in silence.
        with_patience(lambda: collection.upsert(
            ids=body["ids"][rows],
            embeddings=embeddings[rows],
            documents=none_at_all(body["documents"][rows]),
            metadatas=none_at_all(body["metadatas"][rows]),
        ))


def none_at_all(values):
    return None if all(value is None for value in values) else values


def delete(client, collection, name):
    ids = json.loads((HERE / name).read_text(encoding="utf-8"))["ids"]
    step = client.get_max_batch_size()
    for start in range(0, len(ids), step):
        with_patience(lambda: collection.delete(ids=ids[start:start + step]))


def main():
    options = arguments(("--resume", "send what has not been acknowledged yet")).parse_args()
    deletes = sorted(DELTA["files"])
    missing = [name for name in [*deletes, *(name for name, _ in BODIES)] if not (HERE / name).is_file()]
    if missing:
        die(f"{len(missing)} bodies are missing, as {missing[0]}; copy the bundle again")
    client, target = connect(options)
    STATE.mkdir(parents=True, exist_ok=True)
    owner = STATE / "target"
    if owner.exists() and owner.read_text(encoding="utf-8") != target:
        die(f"{STATE} belongs to {owner.read_text(encoding='utf-8')}; set STATE_DIR to another directory for {target}")
    collection = with_patience(lambda: find(client))
    if collection is None:
        die(f"there is no collection {NAME}; this bundle only changes one")
    if not options.resume:
        if owner.exists():
            die("this delta was begun before; go on with --resume")
        if collection.count() != DELTA["base"]["records"]:
            die(f"the collection holds {collection.count()} records, the delta was made from {DELTA['base']['records']}; "
                "load the set that it was made from first")
    owner.write_text(target, encoding="utf-8")
    left = [name for name in deletes if not mark(name).exists()]
    if left:
        # A delete that is sent again must not be the last word on a record that was written since.
        for name, _ in BODIES:
            mark(name).unlink(missing_ok=True)
    say(f"{len(left)} bodies of deletes to send")
    for name in left:
        delete(client, collection, name)
        mark(name).touch()
    left = [(name, entry) for name, entry in BODIES if not mark(name).exists()]
    say(f"{len(left)} of {len(BODIES)} bodies to write")
    for name, entry in left:
        send(client, collection, name, entry)
        mark(name).touch()
    if collection.count() != RECORDS:
        die(f"the collection holds {collection.count()} records, {RECORDS} should be there: somebody else writes to it")
    say(f"the collection holds {RECORDS} records as the delta says. Next: check.py --source SOURCE, where SOURCE is the new set")


if __name__ == "__main__":
    main()
