"""Loads a bundle into LanceDB with its own scripts, stopping and repeating on the way, and reads the table back with `to_arrow`.

usage: python lancedb_apply.py BUNDLE DATABASE TRANSHIP SOURCE

In turn: load.sh with its last file missing, which must fail; load.sh again, which must refuse; load.sh --resume to the end; check.sh;
the table as Arrow; the metadata of a row changed and check.sh; undo.sh; load.sh and check.sh anew. A table of somebody else is there all
the time. TRANSHIP is the binary, SOURCE what the bundle was written from, as a locator.

Standard output is one JSON object: exit codes, Arrow types of the columns, indexes, tables left, rows. Floats of vectors are their bits.
"""

import json
import os
import subprocess
import sys

import lancedb
import pyarrow as pa


def bits(value, type):
    """Floats of 2, 4 or 8 bytes within lists as the integers that have their bits; everything else as it is."""
    if value is None:
        return None
    if pa.types.is_list(type) or pa.types.is_fixed_size_list(type):
        inner = type.value_type
        if pa.types.is_floating(inner):
            width = inner.bit_width // 8
            return pa.array(value, inner).to_numpy(zero_copy_only=False).view(f"u{width}").tolist()
        return [bits(item, inner) for item in value]
    if pa.types.is_struct(type):
        return {field.name: bits(value[field.name], field.type) for field in type}
    return value


def main(bundle, database, tranship, source):
    with open(os.path.join(bundle, "schema.json"), encoding="utf-8") as file:
        schema = json.load(file)
    name = schema["table"]
    places = [os.path.dirname(sys.executable), os.environ["PATH"]]
    # The client takes seconds to compile, and every script imports it.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= dict(PYTHONPYCACHEPREFIX=database + ".pycache", LANCEDB_URI=database, TRANSHIP=tranship, TRANSHIP_SOURCE=source, TRANSHIP_PROGRESS="none", PATH=":".join(places))

    def run(script, *arguments):
        done = subprocess.run(["bash", os.path.join(bundle, script), *arguments], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        print(f"{script} {' '.join(arguments)}: {done.returncode}\n{done.stdout}", file=sys.stderr)
        return done.returncode

    db = lancedb.connect(database)
    db.create_table("somebody", data=[{"theirs": 1}])
    report, last = {}, os.path.join(bundle, schema["files"][-1]["path"])
    os.rename(last, last + ".away")
    report["stopped"] = run("load.sh")
    report["rows_when_stopped"] = db.open_table(name).count_rows()
    os.rename(last + ".away", last)
    report["refused"] = run("load.sh")
    report["load"] = run("load.sh", "--resume")
    report["check"] = run("check.sh")
    table = db.open_table(name)
    arrow = table.to_arrow()
    report["types"] = {field.name: str(field.type) for field in arrow.schema}
    report["rows"] = [{field.name: bits(row[field.name], field.type) for field in arrow.schema} for row in arrow.to_pylist()]
    report["indexes"] = {index.columns[0]: [index.index_type, index.num_indexed_rows] for index in table.list_indices()}
    first = next(row for row in arrow.select(["id"]).to_pylist())["id"]
    condition = f"id = {first}" if schema["ids"] == "integers" else "id = '" + first.replace("'", "''") + "'"
    table.update(where=condition, values={"metadata": '{"changed":true}'})
    report["tampered"] = run("check.sh")
    report["undo"] = run("undo.sh")
    report["tables_after_undo"] = db.table_names()
    report["anew"] = [run("load.sh"), run("check.sh")]
    print(json.dumps(report))


main(*sys.argv[1:])
