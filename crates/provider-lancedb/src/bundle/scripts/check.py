"""Checks a loaded table: counts per namespace, then every row read back and compared by tranship. Needs the lancedb client and LANCEDB_URI.

Ends with GO (exit 0), NO-GO (exit 1), or exit 2 if it could not be found out.

PULLED            file for the rows, default pulled.jsonl beside this script
TRANSHIP          the binary, default tranship
TRANSHIP_SOURCE   what tranship reads, default this bundle
"""

import json
import os
import shutil
import subprocess
import sys

import lancedb

BATCH_ROWS = 1024

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "schema.json"), encoding="utf-8") as file:
    SCHEMA = json.load(file)


def shown(vector, value):
    if vector["kind"] == "bits":
        return {"bits": "".join(f"{byte:08b}" for byte in value)[: vector["dim"]]}
    return value


def line(row):
    """One record as JSON lines have it. The metadata stays the text that it is."""
    integer = SCHEMA["ids"] in ("integers", "digits") or row.get("id_is_integer")
    parts = [f'"id":{row["id"] if integer else json.dumps(row["id"])}']
    if row.get("namespace") is not None:
        parts.append(f'"namespace":{json.dumps(row["namespace"])}')
    vectors = {v["name"]: shown(v, row[v["column"]]) for v in SCHEMA["vectors"] if row[v["column"]] is not None}
    if "" in vectors:
        parts.append(f'"vector":{json.dumps(vectors.pop(""))}')
    if vectors:
        parts.append(f'"vectors":{json.dumps(vectors)}')
    if row["document"] is not None:
        parts.append(f'"document":{json.dumps(row["document"])}')
    if row["metadata"] is not None:
        parts.append(f'"metadata":{row["metadata"]}')
    return "{" + ",".join(parts) + "}\n"


def pull(table, path):
    found = {}
    with open(path, "w", encoding="utf-8") as out:
        for batch in table.search().to_batches(batch_size=BATCH_ROWS):
            for row in batch.to_pylist():
                namespace = row.get("namespace") or ""
                found[namespace] = found.get(namespace, 0) + 1
                out.write(line(row))
    return found


def main():
    database = lancedb.connect(os.environ["LANCEDB_URI"])
    if SCHEMA["table"] not in database.table_names(limit=1_000_000):
        print(f"NO-GO: there is no table {SCHEMA['table']}; load it with load.sh")
        sys.exit(1)
    table = database.open_table(SCHEMA["table"])
    pulled = os.environ.get("PULLED", os.path.join(HERE, "pulled.jsonl"))
    found, wrong = pull(table, pulled), 0
    for namespace in sorted({*found, *SCHEMA["namespaces"]}):
        wanted, has = SCHEMA["namespaces"].get(namespace, 0), found.get(namespace, 0)
        print(f"{'ok    ' if wanted == has else 'WRONG '} namespace {json.dumps(namespace)}: {has} of {wanted}", flush=True)
        wrong += wanted != has
    tranship = os.environ.get("TRANSHIP", "tranship")
    source = os.environ.get("TRANSHIP_SOURCE", f"lancedb:{HERE}")
    verify = ["verify", source, f"jsonl:{pulled}", "--mapping", os.path.join(HERE, "mapping.json")]
    if SCHEMA["rows"] and shutil.which(tranship) is None:
        print("tranship is not here; compare where it is, with:\n  tranship " + " ".join(verify))
        sys.exit(1 if wrong else 2)
    if SCHEMA["rows"]:
        code = subprocess.run([tranship, *verify], check=False).returncode
        if code not in (0, 1):
            sys.exit(2)
        wrong += code
    print(f"NO-GO: {SCHEMA['table']} is not the source's" if wrong else f"GO: every record is in {SCHEMA['table']}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
