"""What the stand-ins for services share. `serve(work)` answers HTTP on a free port, which it prints: every third call
fails with 429 before or 503 after the work. `state()` keeps what programs called one after another leave behind.
The variable REFUSE makes a stand-in refuse one item of a load in the service's own way."""
import fcntl, json, os, re, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

REFUSE = bool(os.environ.get("REFUSE"))
FAIL_EVERY = int(os.environ.get("FAIL_EVERY", "0"))
KEY = os.environ.get("STAND_IN_KEY", "")


def serve(work, key_header):
    calls, lock = [0], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, result):
            body = result if isinstance(result, bytes) else json.dumps(result, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def handle_call(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                calls[0] += 1
                trouble = FAIL_EVERY and calls[0] % FAIL_EVERY == 0
                if KEY not in (self.headers.get(key_header) or ""):
                    return self.answer(401, {"error": "no key"})
                if trouble and calls[0] % (2 * FAIL_EVERY):
                    return self.answer(429, {"error": "too many requests"})
                parts = urlsplit(self.path)
                status, result = work(self.command, unquote(parts.path), unquote(parts.query), body)
                if trouble:
                    return self.answer(503, {"error": "done, but you will not hear of it"})
                self.answer(status, result)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_call

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


class state:
    """The dictionary that a program works on, one program at a time."""

    def __enter__(self):
        self.path = os.path.join(os.environ["STAND_IN_DIR"], "state.json")
        self.lock = open(self.path + ".lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.data = json.load(open(self.path)) if os.path.exists(self.path) else {}
        return self.data

    def __exit__(self, *_):
        with open(self.path, "w") as file:
            json.dump(self.data, file)
        self.lock.close()
