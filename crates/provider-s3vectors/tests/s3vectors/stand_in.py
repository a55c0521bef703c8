"""A stand-in for `aws s3vectors`: one index, whose vectors are put, listed in pages and deleted."""
import json, sys
from service import REFUSE, state

verb, flags, words = sys.argv[3], {}, sys.argv[4:]
assert sys.argv[1:3] == ["aws", "s3vectors"], sys.argv
while words:
    flag = words.pop(0)
    flags[flag] = words.pop(0) if words and not words[0].startswith("--") else True


def fail(kind, what):
    print(f"An error occurred ({kind}) when calling: {what}", file=sys.stderr)
    sys.exit(254)


def body():
    return json.load(open(flags["--cli-input-json"].removeprefix("file://")))


with state() as indexes:
    name = f"{flags['--vector-bucket-name']}/{flags['--index-name']}"
    if verb == "create-index":
        wanted = body()
        assert set(wanted) == {"dataType", "dimension", "distanceMetric", "metadataConfiguration"}, wanted
        indexes[name] = {"index": wanted, "vectors": {}}
    elif name not in indexes:
        fail("NotFoundException", "there is no such index")
    elif verb == "put-vectors":
        if REFUSE:
            fail("ValidationException", "vectors[0]: invalid")
        for vector in body()["vectors"]:
            assert len(vector["data"]["float32"]) == indexes[name]["index"]["dimension"]
            indexes[name]["vectors"][vector["key"]] = vector
    elif verb == "list-vectors":
        found = sorted(indexes[name]["vectors"].values(), key=lambda vector: vector["key"])
        if "--query" in flags:
            print(len(found))
        else:
            start = int(flags.get("--next-token", "0"))
            page = {"vectors": found[start:start + 3]}
            if start + 3 < len(found):
                page["nextToken"] = str(start + 3)
            print(json.dumps(page, indent=4))
    elif verb == "delete-index":
        del indexes[name]
    else:
        assert verb == "get-index", verb
