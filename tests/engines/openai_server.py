"""A server with the embeddings API of OpenAI on this machine, for one test: openai_server.py PORT_FILE

It is busy (429) on the first request, and finds a request wrong (400) if one of its texts says "refuse". A vector begins with its text's length.
"""

import http.server
import json
import os
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    requests = 0

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Handler.requests += 1
        if self.path != "/v1/embeddings":
            return self.answer(404, {"error": "no such page"})
        if Handler.requests == 1:
            return self.answer(429, {"error": "slow down"})
        if any("refuse" in text for text in asked["input"]):
            return self.answer(400, {"error": "not allowed"})
        rows = [{"index": at, "embedding": [len(text), 0, 1, 2]} for at, text in enumerate(asked["input"])]
        # The order of rows is the index's business.
        self.answer(200, {"data": rows[::-1], "usage": {"total_tokens": 7 * len(rows)}})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + ".new", "w") as out:
    out.write(str(server.server_port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
