"""Loads the bundle into a Milvus 2.3 server with pymilvus, or takes it out again. Needs MILVUS_URI, MILVUS_TOKEN if the server wants one,
and for loading MILVUS_PREFIX: where the files of data/ lie in the storage of the server.

    load.py            makes the collection, imports each file once, waits, makes the indexes, loads the collection; goes on with a load
                       that was stopped
    load.py --count    how many rows the collection has
    load.py --drop     drops the collection
"""

import json
import os
import sys
import time

from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections, utility

TYPES = {"Int64": DataType.INT64, "VarChar": DataType.VARCHAR, "FloatVector": DataType.FLOAT_VECTOR, "BinaryVector": DataType.BINARY_VECTOR}
MARKS = ".loaded"


def read(name):
    with open(name, encoding="utf-8") as file:
        return json.load(file)


def mark(name):
    open(os.path.join(MARKS, name), "w").close()


def marked(name):
    return os.path.exists(os.path.join(MARKS, name))


def create(name):
    if utility.has_collection(name):
        sys.exit(f"{name} exists: undo.sh drops it, or write the bundle under another name")

    def field(of):
        params = {key: int(value) for key, value in of.get("elementTypeParams", {}).items()}
        return FieldSchema(of["fieldName"], TYPES[of["dataType"]], is_primary=of.get("isPrimary", False), **params)

    schema = read("schema.json")["schema"]
    Collection(name, CollectionSchema([field(of) for of in schema["fields"]], enable_dynamic_field=schema["enableDynamicField"]))


def start_imports(name, files):
    """A task for each file, never two: the server does not look at keys, and a file that is imported twice doubles its rows. So the
    server is asked which tasks the collection has: a run may have been stopped before it could write down what it began."""
    tasks = {task.files: task.task_id for task in utility.list_bulk_insert_tasks(collection_name=name)}
    for path in files:
        if path not in tasks:
            tasks[path] = utility.do_bulk_insert(name, files=[path])
    return {path: tasks[path] for path in files}


def wait(tasks):
    waiting = dict(tasks)
    while waiting:
        for path, task in list(waiting.items()):
            state = utility.get_bulk_insert_state(task_id=task)
            if state.state_name == "Completed":
                print(f"{path}: {state.row_count} rows")
                del waiting[path]
            elif state.state_name in ("Failed", "Failed and cleaned"):
                sys.exit(f"{path}: the import failed: {state.failed_reason}\nundo.sh drops the collection; then load again")
        time.sleep(1 if waiting else 0)


def load(name):
    prefix = os.environ.get("MILVUS_PREFIX") or sys.exit("set MILVUS_PREFIX to where the files of data/ lie in the storage of the server")
    files = [path.replace("@PREFIX@", prefix.rstrip("/")) for [path] in read("import.json")["files"]]
    os.makedirs(MARKS, exist_ok=True)
    if not marked("created"):
        create(name)
        mark("created")
    if not marked("imported"):
        wait(start_imports(name, files))
        mark("imported")
    collection = Collection(name)
    for index in read("indexes.json")["indexParams"]:
        kind = index["params"].pop("index_type")
        wanted = {"index_type": kind, "metric_type": index["metricType"], "params": index["params"]}
        collection.create_index(index["fieldName"], wanted, index_name=index["indexName"])
    collection.load()
    print(f"{name} is loaded; bash check.sh proves it")


os.chdir(os.path.dirname(os.path.abspath(__file__)))
connections.connect(uri=os.environ["MILVUS_URI"], token=os.environ.get("MILVUS_TOKEN", ""))
collection_name = read("schema.json")["collectionName"]
if "--drop" in sys.argv:
    utility.drop_collection(collection_name)
elif "--count" in sys.argv:
    print(Collection(collection_name).query("", output_fields=["count(*)"], consistency_level="Strong")[0]["count(*)"])
else:
    load(collection_name)
