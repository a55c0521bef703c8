"""A stand-in for the few calls of Qdrant's REST API that bundles use: points in memory, cosine vectors brought to
unit length, floats handled as f32, ids in Qdrant's order, and now and then a 429 or 503 before or after the work. Of an
uploaded snapshot it knows settings and ids, without vectors and payloads. Prints its port. Arguments: fail-every N (0 never). Calls are logged to standard error as METHOD path status."""
import hashlib, io, json, math, re, struct, sys, tarfile, threading, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

FAIL_EVERY = int(sys.argv[1]) if len(sys.argv) > 1 else 0
KEY = sys.argv[2] if len(sys.argv) > 2 else ""
collections, calls, lock = {}, [0], threading.Lock()
f32 = lambda x: struct.unpack("f", struct.pack("f", x))[0]


def unit(vector):
    square = math.fsum(x * x for x in vector)
    if square < 1.19e-7 or abs(square - 1) <= 1e-6:
        return vector
    return [f32(x / math.sqrt(square)) for x in vector]


def stored(config, vector):
    if isinstance(vector, dict):
        return {name: keep(config["vectors"].get(name, {}), value) for name, value in vector.items()}
    return keep(config["vectors"], vector)


def keep(params, value):
    if isinstance(value, dict):
        return value
    if value and isinstance(value[0], list):
        return [keep(params, row) for row in value]
    if len(value) != params["size"]:
        raise ValueError("Vector dimension error")
    value = [f32(x) for x in value]
    return unit(value) if params["distance"] == "Cosine" else value


def point_id(value):
    if isinstance(value, int) and 0 <= value < 2**64:
        return (0, value)
    return (1, str(uuid.UUID(value)))


def matches(condition, payload):
    if "is_empty" in condition:
        return payload.get(condition["is_empty"]["key"]) in (None, [])
    return payload.get(condition["key"]) == condition["match"]["value"]


def uploaded(body, content_type, checksum):
    """The collection of a snapshot, from the only part of a form."""
    boundary = re.fullmatch(r"multipart/form-data; ?boundary=(.+)", content_type).group(1).encode()
    head, _, rest = body.partition(b"\r\n\r\n")
    if not head.startswith(b"--" + boundary) or b'name="snapshot"' not in head:
        raise ValueError("no field `snapshot`")
    content = rest[:rest.rindex(b"\r\n--" + boundary)]
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ValueError("the checksum is another")
    with tarfile.open(fileobj=io.BytesIO(content)) as whole:
        names = whole.getnames()
        config = json.load(whole.extractfile("config.json"))
        if not any(re.fullmatch(r"0/wal/closed-[1-9][0-9]*", name) for name in names):
            raise ValueError("the first updates would be lost")
        points = {}
        for name in names:
            if name.startswith("0/segments/"):
                with tarfile.open(fileobj=whole.extractfile(name)) as segment:
                    ids = segment.extractfile("snapshot/files/mutable_id_tracker.mappings").read()
                while ids:
                    number = ids[0] == 1
                    value = struct.unpack("<Q", ids[1:9])[0] if number else str(uuid.UUID(bytes=ids[1:17]))
                    points[point_id(value)] = {"id": value, "payload": {}, "vector": {}}
                    ids = ids[13 if number else 21:]
    return {"config": {**config["params"], "optimizers_config": config["optimizer_config"]}, "points": points, "indexes": []}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, result):
        ok = "ok" if status == 200 else {"error": str(result)}
        body = json.dumps({"result": result, "status": ok, "time": 0.001}, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        print(self.command, self.path, status, file=sys.stderr, flush=True)

    def handle_call(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with lock:
            calls[0] += 1
            trouble = FAIL_EVERY and calls[0] % FAIL_EVERY == 0
            if KEY and self.headers.get("api-key") != KEY:
                return self.answer(401, "Must provide an API key")
            if trouble and calls[0] % (2 * FAIL_EVERY):
                return self.answer(429, "too many requests")
            is_upload = "/snapshots/upload?" in self.path
            if len(body) > 32 * 1024 * 1024 and not is_upload:
                return self.answer(413, "body too large")
            try:
                status, result = self.upload(body) if is_upload else self.work(json.loads(body) if body else {})
            except (ValueError, KeyError) as problem:
                status, result = 400, repr(problem)
            if trouble:
                return self.answer(503, "done, but you will not hear of it")
            self.answer(status, result)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_call

    def upload(self, body):
        name, checksum = re.fullmatch(
            r"/collections/([^/?]+)/snapshots/upload\?wait=true&priority=snapshot&checksum=(\w+)", self.path).groups()
        collections[unquote(name)] = uploaded(body, self.headers["Content-Type"], checksum)
        return 200, True

    def work(self, body):
        name, rest = re.fullmatch(r"/collections/([^/?]+)(.*?)(?:\?wait=true)?", self.path).groups()
        name = unquote(name)
        if self.command == "PUT" and not rest:
            if name in collections:
                return 409, "already exists"
            collections[name] = {"config": body, "points": {}, "indexes": []}
            return 200, True
        if name not in collections:
            return 404, "not found"
        collection = collections[name]
        points = collection["points"]
        if self.command == "DELETE":
            del collections[name]
            return 200, True
        if self.command == "GET":
            config = collection["config"]
            params = {key: config[key] for key in ("vectors", "sparse_vectors") if key in config}
            return 200, {"status": "green", "config": {
                "params": params, "hnsw_config": {"m": 16, "ef_construct": 100},
                "optimizer_config": config["optimizers_config"]}}
        if self.command == "PATCH":
            collection["config"]["optimizers_config"].update(body["optimizers_config"])
            return 200, True
        if rest == "/index":
            collection["indexes"].append(body)
            return 200, {"status": "completed"}
        if rest == "/points/count":
            conditions = body.get("filter", {}).get("must", [])
            return 200, {"count": sum(all(matches(c, p["payload"]) for c in conditions) for p in points.values())}
        if rest == "/points/scroll":
            order = sorted(points)
            start = order.index(point_id(body["offset"])) if "offset" in body else 0
            chosen = order[start:start + body["limit"] + 1]
            following = chosen[body["limit"]][1] if len(chosen) > body["limit"] else None
            return 200, {"points": [points[key] for key in chosen[:body["limit"]]], "next_page_offset": following}
        if rest == "/points":
            for point in body["points"]:
                vector = stored(collection["config"], point["vector"])
                points[point_id(point["id"])] = {
                    "id": point_id(point["id"])[1], "payload": point["payload"], "vector": vector}
            return 200, {"status": "acknowledged"}
        if rest == "/points/delete":
            for value in body["points"]:
                points.pop(point_id(value), None)
            return 200, {"status": "acknowledged"}
        return 404, "no such call"


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
