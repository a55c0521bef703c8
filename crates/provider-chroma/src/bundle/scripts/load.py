#!/usr/bin/env python3
"""Loads this bundle into Chroma. Needs the chromadb client.

  python load.py --path DIRECTORY            a directory, which chroma run --path serves as well
  python load.py --host HOST --port PORT     a server
  python load.py ... --resume                goes on: sends what has not been acknowledged yet

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


def main():
    options = arguments(("--resume", "send what has not been acknowledged yet")).parse_args()
    missing = [name for name, _ in BODIES if not (HERE / name).is_file()]
    if missing:
        die(f"{len(missing)} of {len(BODIES)} bodies are missing, as {missing[0]}; copy the bundle again")
    client, target = connect(options)
    STATE.mkdir(parents=True, exist_ok=True)
    owner = STATE / "target"
    if owner.exists() and owner.read_text(encoding="utf-8") != target:
        die(f"{STATE} belongs to {owner.read_text(encoding='utf-8')}; set STATE_DIR to another directory for {target}")
    collection = with_patience(lambda: find(client))
    if collection is not None and not options.resume:
        die(f"the collection {NAME} is already there; go on with --resume, or remove it with undo.py")
    if collection is None:
        # Marks of an earlier collection of that name say nothing about the new one.
        for old in STATE.glob("*.done"):
            old.unlink()
        collection = client.create_collection(NAME, configuration=SCHEMA["configuration"], embedding_function=None)
        say(f"created {NAME}")
    owner.write_text(target, encoding="utf-8")
    left = [(name, entry) for name, entry in BODIES if not mark(name).exists()]
    say(f"{len(left)} of {len(BODIES)} bodies to send")
    for name, entry in left:
        send(client, collection, name, entry)
        mark(name).touch()
    say(f"loaded {MANIFEST['totals']['rows']} records. Next: check.py")


if __name__ == "__main__":
    main()
