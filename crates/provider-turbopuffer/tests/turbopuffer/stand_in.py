"""A stand-in for turbopuffer: writes, queries by id, counts, metadata and deletion of namespaces."""
import json, re
from service import REFUSE, serve

namespaces = {}


def work(method, path, _query, body):
    version, name, verb = re.fullmatch(r"/(v\d)/namespaces/([A-Za-z0-9-_.]{1,128})(/\w+)?", path).groups()
    if method == "POST" and verb is None:
        body = json.loads(body)
        assert body["distance_metric"] in ("cosine_distance", "euclidean_squared") and body["schema"]["id"] == "string"
        rows = namespaces.setdefault(name, {})
        rows.update({row["id"]: row for row in body["upsert_rows"]})
        return 200, {"rows_affected": len(body["upsert_rows"]) - REFUSE, "message": "ok"}
    if method == "DELETE":
        namespaces.pop(name, None)
        return 200, {"status": "ok"}
    if name not in namespaces:
        return 404, {"error": "no such namespace"}
    if verb == "/metadata":
        return 200, {"approx_row_count": len(namespaces[name])}
    query = json.loads(body)
    if "aggregate_by" in query:
        return 200, {"aggregations": {key: len(namespaces[name]) for key in query["aggregate_by"]}}
    after = query["filters"][2] if "filters" in query else ""
    ids = sorted(key for key in namespaces[name] if key > after)[:2]
    return 200, {"rows": [namespaces[name][key] | {"$dist": 0.0} for key in ids]}


serve(work, "Authorization")
