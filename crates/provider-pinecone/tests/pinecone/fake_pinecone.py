"""A stand-in for Pinecone's control and data plane: the documented answers, failing now and then.

usage: python3 fake_pinecone.py RECORDS.json FAIL_EVERY

RECORDS.json is {namespace: {id: answer of fetch for it}}: what an import brings. Every FAIL_EVERY-th request is answered
with 503. Prints its port; every request is a line on standard error.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

SOURCE = json.load(open(sys.argv[1], encoding="utf-8"))
FAIL_EVERY = int(sys.argv[2])
PAGE = 2
state = {"index": None, "records": {}, "polls": 0, "calls": 0, "status": "Pending"}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        print(self.command, self.path, self.headers.get("Api-Key"), file=sys.stderr, flush=True)

    def answer(self, status, body):
        data = json.dumps(body, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state["calls"] += 1
        if FAIL_EVERY and state["calls"] % FAIL_EVERY == 0:
            return self.answer(503, {"error": "busy"})
        if not self.headers.get("X-Pinecone-Api-Version") or self.headers.get("Api-Key") != 'se"cret':
            return self.answer(401, {"error": "who are you"})
        url = urlsplit(self.path)
        return self.route(url.path, parse_qs(url.query), json.loads(body) if body else None)

    def route(self, path, query, body):
        if path == "/indexes" and self.command == "POST":
            state["index"] = body
            return self.answer(201, self.index())
        if path.startswith("/indexes/"):
            if state["index"] is None or state["index"]["name"] != path.removeprefix("/indexes/"):
                return self.answer(404, {"error": {"code": "NOT_FOUND"}})
            if self.command == "DELETE":
                state["index"] = None
                return self.answer(202, {})
            return self.answer(200, self.index())
        if path == "/data/bulk/imports":
            assert body["errorMode"] == {"onError": "abort"}, body
            if body["uri"].endswith("/broken"):
                state["status"] = "Failed"
            return self.answer(200, {"id": "101"})
        if path == "/data/bulk/imports/101":
            state["polls"] += 1
            if state["status"] != "Failed" and state["polls"] > 2:
                state["status"], state["records"] = "Completed", SOURCE
            count = sum(map(len, state["records"].values()))
            return self.answer(200, {"id": "101", "uri": "s3://b/d", "status": state["status"], "percentComplete": 50,
                                     "recordsImported": count})
        if path == "/data/describe_index_stats":
            spaces = {name: {"vectorCount": len(records)} for name, records in state["records"].items()}
            total = sum(map(len, state["records"].values()))
            return self.answer(200, {"namespaces": spaces, "dimension": 2, "indexFullness": 0, "totalVectorCount": total})
        namespace = query["namespace"][0]
        records = state["records"].get(namespace, {})
        if path == "/data/vectors/list":
            start, ids = int(query.get("paginationToken", ["0"])[0]), sorted(records)
            page = {"vectors": [{"id": id} for id in ids[start:start + PAGE]], "namespace": namespace}
            if start + PAGE < len(ids):
                page["pagination"] = {"next": str(start + PAGE)}
            return self.answer(200, page)
        if path == "/data/vectors/fetch":
            return self.answer(200, {"vectors": {id: records[id] for id in query["ids"]}, "namespace": namespace})
        return self.answer(404, {})

    def index(self):
        host = f"http://127.0.0.1:{self.server.server_port}/data"
        return {**state["index"], "host": host, "status": {"ready": True, "state": "Ready"}}

    do_GET = do_POST = do_DELETE = handle_one


server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
