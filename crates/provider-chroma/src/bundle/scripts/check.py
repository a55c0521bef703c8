#!/usr/bin/env python3
"""Checks a loaded collection: exact counts, then every record read back and compared. Needs the chromadb client, and
tranship for the comparison.

  python check.py --path DIRECTORY | --host HOST --port PORT
  python check.py ... --source SOURCE     what tranship reads, default this bundle

Ends with GO (exit 0), NO-GO (exit 1), or exit 2 if it could not be found out.

The options of load.py, and:
PULLED     file for the records, default pulled.jsonl beside this script
TRANSHIP   the binary, default tranship
"""
# @COMMON@

import shutil
import subprocess

PAGE_BYTES = 16_000_000


def page_records():
    row_bytes = MANIFEST["totals"]["bytes"] // max(MANIFEST["totals"]["rows"], 1)
    return max(1, min(1000, PAGE_BYTES // max(row_bytes, 1)))


def record(vector, id, embedding, document, metadata):
    # A float that is printed from an f64 reads back as the same f32.
    values = [float(value) for value in embedding]
    line = {"id": id} | ({"vectors": {vector: values}} if vector else {"vector": values})
    line |= {} if document is None else {"document": document}
    return line | ({"metadata": dict(metadata)} if metadata else {})


def pull(collection, path, mapping):
    """Writes all records and counts them by namespace."""
    dropped = mapping.get("dropped_vectors", [])
    stored = [v["name"] for v in mapping["schema"]["vectors"] if "dim" in v and v["name"] not in dropped]
    vector, key = (stored or [""])[0], mapping.get("namespace_key")
    found, offset = {}, 0
    with open(path, "w", encoding="utf-8") as out:
        while True:
            page = with_patience(lambda: collection.get(
                limit=page_records(), offset=offset, include=["embeddings", "documents", "metadatas"]))
            if not page["ids"]:
                return found
            for row in zip(page["ids"], page["embeddings"], page["documents"], page["metadatas"]):
                namespace = (row[3] or {}).get(key, "") if key else ""
                found[namespace] = found.get(namespace, 0) + 1
                out.write(json.dumps(record(vector, *row)) + "\n")
            offset += len(page["ids"])


def compare(name, wanted, found):
    say(f"{'ok    ' if wanted == found else 'WRONG '} {name}: {found} of {wanted}")
    return wanted != found


def main():
    parser = arguments()
    parser.add_argument("--source", default=None if DELTA else f"chroma:{HERE}", help="what tranship reads; of a delta: the new set")
    options = parser.parse_args()
    if options.source is None:
        die("name the set that the collection should be now, as in --source archive:new.tranship")
    client, _ = connect(options)
    mapping = json.loads((HERE / "mapping.json").read_text(encoding="utf-8"))
    collection = find(client)
    if collection is None:
        die(f"there is no collection {NAME}; load it with load.py")
    wrong = compare("records", RECORDS, collection.count())
    pulled = Path(os.environ.get("PULLED", HERE / "pulled.jsonl"))
    found = pull(collection, pulled, mapping)
    # A delta does not know how many records of a namespace it leaves alone.
    for namespace, records in [] if DELTA else sorted(mapping["records"].items()):
        wrong += compare(f"namespace {json.dumps(namespace)}", records, found.pop(namespace, 0))
    if not DELTA:
        wrong += sum(compare(f"namespace {json.dumps(namespace)}", 0, records) for namespace, records in found.items())
    say(f"read {pulled}")
    if not RECORDS:
        say("NO-GO: the collection should be empty" if wrong else "GO: the collection is empty")
        sys.exit(1 if wrong else 0)
    tranship = os.environ.get("TRANSHIP", "tranship")
    verify = ["verify", options.source, f"jsonl:{pulled}", "--mapping", str(HERE / "mapping.json")]
    if shutil.which(tranship) is None:
        say("tranship is not here; compare where it is, with:\n  tranship " + " ".join(verify))
        if wrong:
            die(f"NO-GO: {wrong} counts are wrong", 1)
        sys.exit(2)
    code = subprocess.run([tranship, *verify], check=False).returncode
    if code not in (0, 1):
        die(f"tranship verify could not compare (exit {code})")
    if wrong or code:
        say(f"NO-GO: the collection {NAME} is not the source's")
        sys.exit(1)
    say(f"GO: every record is in {NAME}")


if __name__ == "__main__":
    main()
