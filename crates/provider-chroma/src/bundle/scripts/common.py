import argparse
import json
import os
import sys
import time
from pathlib import Path

import chromadb

HERE = Path(__file__).resolve().parent
MANIFEST = json.loads((HERE / "MANIFEST.json").read_text(encoding="utf-8"))
SCHEMA = json.loads((HERE / "schema.json").read_text(encoding="utf-8"))
NAME = SCHEMA["name"]
BODIES = sorted((name, entry) for name, entry in MANIFEST["files"].items() if "rows" in entry)
DELTA = MANIFEST.get("delta")
# Records of the collection when all is loaded.
RECORDS = DELTA["result"]["records"] if DELTA else MANIFEST["totals"]["rows"]
REMOTE = False
STATE = Path(os.environ.get("STATE_DIR", HERE / ".loaded"))


def say(text):
    print(text, file=sys.stderr, flush=True)


def die(text, code=2):
    say(f"error: {text}")
    sys.exit(code)


def arguments(*flags):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", default=os.environ.get("CHROMA_PATH"), help="directory of a PersistentClient")
    parser.add_argument("--host", default=os.environ.get("CHROMA_HOST"), help="host of a server")
    parser.add_argument("--port", type=int, default=int(os.environ.get("CHROMA_PORT", "8000")))
    parser.add_argument("--ssl", action="store_true", default=os.environ.get("CHROMA_SSL") == "1")
    parser.add_argument("--tenant", default=os.environ.get("CHROMA_TENANT", "default_tenant"))
    parser.add_argument("--database", default=os.environ.get("CHROMA_DATABASE", "default_database"))
    for flag, text in flags:
        parser.add_argument(flag, action="store_true", help=text)
    return parser


def connect(options):
    if bool(options.path) == bool(options.host):
        die("say where: --path DIRECTORY or --host HOST")
    scope = {"tenant": options.tenant, "database": options.database}
    if options.path:
        return chromadb.PersistentClient(path=options.path, **scope), str(Path(options.path).resolve())
    global REMOTE
    REMOTE = True
    key = os.environ.get("CHROMA_API_KEY")
    headers = {"x-chroma-token": key} if key else None
    client = chromadb.HttpClient(host=options.host, port=options.port, ssl=options.ssl, headers=headers, **scope)
    return client, f"{options.host}:{options.port}/{options.tenant}/{options.database}"


def find(client):
    """The collection, or None. Never with an embedding function: the vectors are here."""
    names = [getattr(collection, "name", collection) for collection in pages(client.list_collections)]
    return client.get_collection(NAME, embedding_function=None) if NAME in names else None


def pages(listing, size=1000):
    offset = 0
    while page := listing(limit=size, offset=offset):
        yield from page
        offset += len(page)


def with_patience(action):
    """Tries again what a busy or unreachable server refuses; whatever else fails is the user's to see."""
    pause = float(os.environ.get("RETRY_SECONDS", "1"))
    for attempt in range(int(os.environ.get("RETRIES", "8")) + 1):
        try:
            return action()
        except Exception as error:
            if not is_passing(error) or attempt == int(os.environ.get("RETRIES", "8")):
                raise
            say(f"{error}; trying again in {pause:.0f} s")
            time.sleep(pause)
            pause = min(2 * pause, 30)


def is_passing(error):
    name = type(error).__name__
    status = getattr(getattr(error, "response", None), "status_code", 0)
    unreachable = name.startswith(("Connect", "Read", "Write", "RemoteProtocol")) and name.endswith(("Error", "Timeout"))
    # The embedded engine fails the same way again.
    busy = REMOTE and name in ("RateLimitError", "InternalError")
    return busy or (REMOTE and unreachable) or status in (408, 429) or status >= 500
