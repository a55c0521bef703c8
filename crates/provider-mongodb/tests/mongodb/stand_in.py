"""A stand-in for mongosh, mongoimport and mongoexport: one collection of documents by _id."""
import json, os, sys
from service import REFUSE, state

program, words = sys.argv[1], sys.argv[2:]
flags = {word: words[at + 1] for at, word in enumerate(words[:-1]) if word.startswith("--")}
uri = open(flags["--config"]).read() if "--config" in flags else f'uri: "{os.environ["MONGODB_URI"]}"\n'
assert uri == 'uri: "mongodb://user:s3cr3t@host/database"\n', uri
assert "s3cr3t" not in " ".join(words)

with state() as collections:
    if program == "mongosh":
        command, name = os.environ["TRANSHIP_COMMAND"], "notes"
        assert 'const name = "notes";' in open(words[-1]).read()
        if command == "is_there":
            print("yes" if name in collections else "no")
        elif command == "create":
            collections[name] = {}
        elif command == "count":
            print(len(collections[name]))
        elif command == "remove":
            del collections[name]
    elif program == "mongoimport":
        assert flags["--mode"] == "upsert" and flags["--type"] == "json" and "--stopOnError" in words
        documents = [json.loads(line) for line in open(flags["--file"])]
        taken = len(documents) - REFUSE
        collections[flags["--collection"]].update({json.dumps(d["_id"]): d for d in documents[:taken]})
        print(f"2026-11-20T00:00:00.000+0000\t{taken} document(s) imported successfully. {int(REFUSE)} document(s) failed to import.", file=sys.stderr)
    else:
        with open(flags["--out"], "w") as out:
            for document in collections[flags["--collection"]].values():
                print(json.dumps(document), file=out)
