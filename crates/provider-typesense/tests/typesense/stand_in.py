"""A stand-in for Typesense: collections with declared fields, import line by line, export and deletion."""
import json, re
from service import REFUSE, serve

collections = {}
TYPES = {"string": str, "int64": int, "float": (int, float), "bool": bool}


def fits(kind, value):
    if kind.endswith("[]"):
        return isinstance(value, list) and all(fits(kind[:-2], item) for item in value)
    return isinstance(value, TYPES[kind])


def fault(collection, document):
    if not isinstance(document.get("id"), str) or re.search(r"[^A-Za-z0-9_-]", document["id"]):
        return "id"
    for key, value in document.items():
        field = collection["fields"].get(key)
        if key != "id" and (field is None or not fits(field["type"], value)):
            return key
        if field and field.get("num_dim") and len(value) != field["num_dim"]:
            return key


def work(method, path, query, body):
    if path == "/collections":
        schema = json.loads(body)
        if schema["name"] in collections:
            return 409, {"message": "already exists"}
        collections[schema["name"]] = {"fields": {field["name"]: field for field in schema["fields"]}, "documents": {}}
        return 201, schema
    name, rest = re.fullmatch(r"/collections/([^/]+)(.*)", path).groups()
    if name not in collections:
        return 404, {"message": "Not Found"}
    collection = collections[name]
    documents = collection["documents"]
    if method == "DELETE":
        return 200, collections.pop(name)["fields"]
    if rest == "/documents/import":
        assert "action=upsert" in query
        lines = []
        for number, line in enumerate(body.decode().splitlines()):
            document = json.loads(line)
            bad = "refused" if REFUSE and number == 1 else fault(collection, document)
            if bad:
                lines.append(json.dumps({"code": 400, "success": False, "error": bad}))
            else:
                documents[document["id"]] = line
                lines.append('{"success":true}')
        return 200, "\n".join(lines).encode()
    if rest == "/documents/export":
        return 200, "\n".join(documents.values()).encode()
    return 200, {"name": name, "num_documents": len(documents), "fields": list(collection["fields"].values())}


serve(work, "X-TYPESENSE-API-KEY")
