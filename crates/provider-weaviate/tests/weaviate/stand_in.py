"""A stand-in for Weaviate: classes with declared properties and vectors, tenants, batches with a status per object, the
cursor, and numbers as Go prints them."""
import json, re, uuid
from service import REFUSE, serve

classes = {}
NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,230}")
TYPES = {"text": str, "int": int, "number": (int, float), "boolean": bool}


def fits(kind, value):
    if kind.endswith("[]"):
        return isinstance(value, list) and value and all(fits(kind[:-2], item) for item in value)
    return isinstance(value, TYPES[kind]) and isinstance(value, bool) == (kind == "boolean")


def class_fault(body):
    if not re.fullmatch(r"[A-Z][_0-9A-Za-z]{0,254}", body["class"]):
        return "not a valid class name"
    names = [p["name"] for p in body["properties"]]
    if len({name.lower() for name in names}) != len(names):
        return "conflict for property"
    for name in names:
        if not NAME.fullmatch(name) or name in ("id", "_id", "_additional"):
            return f"{name!r} is not a valid property name"
    if "vectorConfig" in body and {"vectorizer", "vectorIndexType", "vectorIndexConfig"} & body.keys():
        return "creating a class with both a class level vector index and named vectors is forbidden"
    return "default is reserved" if "default" in body.get("vectorConfig", {}) else None


def object_fault(held, item):
    if item["class"] != held["class"]:
        return "class"
    if str(uuid.UUID(item["id"])) != item["id"]:
        return "id is no UUID"
    if (item.get("tenant") in held["tenants"]) != bool(held.get("multiTenancyConfig")):
        return "tenant not found"
    for key, value in item["properties"].items():
        kind = next((p["dataType"][0] for p in held["properties"] if p["name"] == key), None)
        if kind is None or not fits(kind, value):
            return f"invalid property {key}"
    named = held.get("vectorConfig")
    if named is None and "vectors" in item or named is not None and "vector" in item:
        return "vector and vectors"
    for name, value in item.get("vectors", {}).items():
        if name not in named:
            return f"no vector {name}"
        if ("multivector" in named[name]["vectorIndexConfig"]) != isinstance(value[0], list):
            return f"vector {name} has the wrong shape"


def as_go(value):
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value) if value or str(value)[0] != "-" else value
    if isinstance(value, list):
        return [as_go(item) for item in value]
    return value


def answer_of(item, vectors):
    out = {"class": item["class"], "creationTimeUnix": 1, "id": item["id"], "lastUpdateTimeUnix": 2}
    out["properties"] = {key: as_go(value) for key, value in item["properties"].items()}
    for key in ("vector", "vectors") if vectors else ():
        if key in item:
            out[key] = item[key]
    out["vectorWeights"] = None
    return out


def batch(body):
    results = []
    for number, item in enumerate(json.loads(body)["objects"]):
        held = classes.get(item["class"])
        bad = "refused" if REFUSE and number == 1 else "no class" if held is None else object_fault(held, item)
        result = {"status": "SUCCESS"}
        if bad:
            result = {"errors": {"error": [{"message": bad}]}, "status": "FAILED"}
        else:
            held["objects"].setdefault(item.get("tenant"), {})[item["id"]] = item
        results.append(answer_of(item, True) | {"result": result})
    return 200, results


def work(method, path, query, body):
    if path == "/v1/schema":
        new = json.loads(body)
        if new["class"] in classes:
            return 422, {"error": [{"message": "class already exists"}]}
        bad = class_fault(new)
        if bad:
            return 422, {"error": [{"message": bad}]}
        classes[new["class"]] = new | {"objects": {}, "tenants": []}
        return 200, new
    if path == "/v1/batch/objects":
        return batch(body)
    if path == "/v1/graphql":
        found = re.fullmatch(r'\{Aggregate\{(\w+)(?:\(tenant:"([\w-]+)"\))?\{meta\{count\}\}\}\}', json.loads(body)["query"])
        held = classes[found[1]]
        count = len(held["objects"].get(found[2], {}))
        return 200, {"data": {"Aggregate": {found[1]: [{"meta": {"count": count}}]}}}
    if path == "/v1/objects":
        asked = dict(pair.split("=", 1) for pair in query.split("&"))
        of_tenant = classes[asked["class"]]["objects"].get(asked.get("tenant"), {})
        ids = sorted(id for id in of_tenant if id > asked["after"])[: min(int(asked["limit"]), 2)]
        page = [answer_of(of_tenant[id], asked.get("include") == "vector") for id in ids]
        return 200, {"deprecations": None, "objects": page, "totalResults": len(page)}
    name, rest = re.fullmatch(r"/v1/schema/([^/]+)(.*)", path).groups()
    if name not in classes:
        return 404, b""
    if rest == "/tenants":
        held = classes[name]["tenants"]
        if method == "GET":
            return 200, [{"name": tenant, "activityStatus": "HOT"} for tenant in held]
        new = [tenant["name"] for tenant in json.loads(body)]
        if not all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tenant) for tenant in new):
            return 422, {"error": [{"message": "invalid tenant"}]}
        held.extend(tenant for tenant in new if tenant not in held)
        return 200, json.loads(body)
    if method == "DELETE":
        del classes[name]
        return 200, b""
    return 200, {"class": name}


serve(work, "Authorization")
