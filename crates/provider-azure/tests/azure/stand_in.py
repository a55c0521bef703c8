"""A stand-in for Azure AI Search: indexes with declared fields, batches with a status per document, paged search."""
import json, re
from service import REFUSE, serve

indexes = {}
TYPES = {"Edm.String": str, "Edm.Int64": int, "Edm.Double": (int, float), "Edm.Single": (int, float), "Edm.Boolean": bool}


def fits(kind, value):
    if kind.startswith("Collection("):
        return isinstance(value, list) and all(fits(kind[11:-1], item) for item in value)
    return isinstance(value, TYPES[kind])


def fault(fields, document):
    assert document.pop("@search.action") == "upload"
    if not re.fullmatch(r"(?!_)[A-Za-z0-9_=-]{1,1024}", document["id"]):
        return "key"
    return next((key for key, value in document.items() if key not in fields or not fits(fields[key]["type"], value)), None)


def work(method, path, query, body):
    assert query == "api-version=2024-07-01", query
    name, rest = re.fullmatch(r"/indexes/([a-z0-9-]+)(.*)", path).groups()
    if method == "PUT":
        wanted = json.loads(body)
        assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,127}", field["name"]) for field in wanted["fields"])
        indexes.setdefault(name, ({field["name"]: field for field in wanted["fields"]}, {}))
        return 201, wanted
    if name not in indexes:
        return 404, {"error": {"message": "no such index"}}
    fields, documents = indexes[name]
    if method == "DELETE":
        indexes.pop(name)
        return 204, b""
    if rest == "/docs/index":
        items = []
        for number, document in enumerate(json.loads(body)["value"]):
            bad = "refused" if REFUSE and number == 1 else fault(fields, document)
            if not bad:
                documents[document["id"]] = document
            items.append({"key": document["id"], "status": not bad, "errorMessage": bad, "statusCode": 400 if bad else 201})
        return (200 if all(item["status"] for item in items) else 207), {"value": items}
    if rest == "/docs/$count":
        return 200, b"\xef\xbb\xbf" + str(len(documents)).encode()
    if rest == "/docs/search":
        asked = json.loads(body)
        after = re.fullmatch(r"id gt '(.*)'", asked["filter"]).group(1) if "filter" in asked else ""
        keys = sorted(key for key in documents if key > after)[:3]
        absent = {key: [] if field["type"].startswith("Collection(Edm.S") and "dimensions" not in field else None for key, field in fields.items()}
        return 200, {"@odata.context": "x", "value": [{"@search.score": 1.0} | absent | documents[key] for key in keys]}
    return 200, {"name": name}


serve(work, "api-key")
