"""A stand-in for gcloud: objects in a folder of Cloud Storage, and an index made from them."""
import json, os, shutil, sys
from service import REFUSE, state

words = sys.argv[2:]
store = os.path.join(os.environ["STAND_IN_DIR"], "objects")
os.makedirs(store, exist_ok=True)


def flag(name):
    return words[words.index(name) + 1]


def local(address):
    assert address.startswith("gs://bucket/batch"), address
    return store


with state() as indexes:
    if words[:2] == ["storage", "cp"]:
        source, target = words[2:4]
        if source.startswith("gs://"):
            for name in os.listdir(local(source)):
                shutil.copy(os.path.join(store, name), target)
        elif REFUSE:
            sys.exit("ERROR: (gcloud.storage.cp) 403")
        else:
            for line in open(source, encoding="utf-8"):
                record = json.loads(line)
                assert set(record) <= {"id", "embedding", "sparse_embedding", "restricts", "numeric_restricts", "embedding_metadata"}
            shutil.copy(source, local(target))
    elif words[:2] == ["storage", "ls"]:
        if not os.listdir(store):
            sys.exit("ERROR: (gcloud.storage.ls) One or more URLs matched no objects.")
    elif words[:2] == ["storage", "rm"]:
        shutil.rmtree(store)
    else:
        assert words[0] == "ai" and flag("--region") == "europe-west4", words
        if words[1:3] == ["indexes", "create"]:
            settings = json.load(open(flag("--metadata-file")))
            assert settings["contentsDeltaUri"] == "gs://bucket/batch" and settings["config"]["dimensions"] == 3
            ids = {json.loads(line)["id"] for name in os.listdir(store) for line in open(os.path.join(store, name))}
            indexes[flag("--display-name")] = len(ids)
        elif words[1:3] == ["indexes", "list"]:
            print("\n".join(f"projects/1/locations/europe-west4/indexes/{name}" for name in indexes))
        elif words[1:3] == ["indexes", "describe"]:
            print(indexes[words[3]])
        elif words[1:3] == ["indexes", "delete"]:
            del indexes[words[3]]
        elif words[1:3] == ["operations", "list"]:
            print(json.dumps([{"metadata": {"contentValidationStats": [{"validRecordCount": "8"}]}}], indent=2))
        else:
            sys.exit(f"no such command: {words}")
