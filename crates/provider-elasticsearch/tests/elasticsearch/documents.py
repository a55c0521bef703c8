"""What the stand-ins for Elasticsearch and OpenSearch share: indices that are not dynamic, `_bulk` with a status per item,
refresh, `_count`, and scrolls that go on with every answer."""
import json, re
from service import REFUSE, serve

indices, scrolls, bulks = {}, {}, [0]


def fits(kind, value):
    if value is None:
        return True
    if isinstance(value, list):
        return all(fits(kind, item) for item in value)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "long":
        return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    if kind == "double":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, (str, int, float))


def vector_fault(field, value):
    if len(value) != field.get("dims", field.get("dimension")):
        return "wrong dims"
    metric = field.get("similarity") or field["method"]["space_type"]
    if metric.startswith("cosine") and not any(value):
        return "zero magnitude"
    if field.get("element_type", field.get("data_type")) == "byte" and not all(isinstance(v, int) for v in value):
        return "no bytes"


def fault(index, id, source):
    if not id or len(id.encode()) > 512:
        return "id is too long"
    for key, value in source.items():
        if not key.strip() or "." in key or (key.startswith("_") and not key.startswith("_tranship_")):
            return f"field name {key!r}"
        field = index["mappings"]["properties"].get(key)
        if field is None:
            continue
        if field["type"] in ("dense_vector", "knn_vector"):
            bad = vector_fault(field, value)
            if bad:
                return bad
        elif not fits(field["type"], value):
            return f"failed to parse field [{key}] of type [{field['type']}]"


def bulk(index, body):
    assert body.endswith(b"\n") and len(body) <= 100_000_000
    lines = body.decode().split("\n")[:-1]
    bulks[0] += 1
    items = []
    for number, (action, source) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        id = json.loads(action)["index"]["_id"]
        bad = "refused" if REFUSE and number == 1 else fault(index, id, json.loads(source))
        if bad:
            item = {"status": 400, "error": {"type": "document_parsing_exception", "reason": bad}}
        elif bulks[0] == 1 and number == 0:
            item = {"status": 429, "error": {"type": "es_rejected_execution_exception"}}
        else:
            item = {"status": 201 if id not in index["new"] else 200}
            index["new"][id] = source
        items.append({"index": item})
    return 200, {"errors": any("error" in item["index"] for item in items), "items": items}


def counted(index, query):
    documents = [json.loads(source) for source in index["seen"].values()]
    if "term" in query:
        ((key, value),) = query["term"].items()
        return sum(document.get(key) == value for document in documents)
    if "bool" in query:
        key = query["bool"]["must_not"]["exists"]["field"]
        return sum(document.get(key) is None for document in documents)
    return len(documents)


def hits(index, names, visible):
    vectors = [key for key, field in index["mappings"]["properties"].items() if field["type"] == "dense_vector"]
    found = []
    for name in names:
        source = index["seen"][name]
        # Spliced in as it was, but where vectors are taken out of it.
        if not visible and any(key in json.loads(source) for key in vectors):
            source = json.dumps({key: value for key, value in json.loads(source).items() if key not in vectors})
        found.append('{"_index":"i","_id":%s,"_score":null,"_source":%s,"sort":[0]}' % (json.dumps(name), source))
    return ",".join(found)


def page(name):
    index, names, visible = scrolls[name]
    now, scrolls[name] = names[:3], (index, names[3:], visible)
    return 200, ('{"_scroll_id":"%s","timed_out":false,"hits":{"total":{"value":%d},"hits":[%s]}}'
                 % (name, len(index["seen"]), hits(index, now, visible))).encode()


def stand_in(hides_vectors, key_header="Authorization"):
    def work(method, path, query, body):
        asked = json.loads(body) if body and not path.endswith("/_bulk") else {}
        if path == "/_search/scroll":
            if method == "DELETE":
                return 200, {"succeeded": scrolls.pop(asked["scroll_id"], None) is not None}
            return page(asked["scroll_id"])
        name, rest = re.fullmatch(r"/([^/_][^/]*)(.*)", path).groups()
        if method == "PUT" and not rest:
            if name in indices:
                return 400, {"error": {"type": "resource_already_exists_exception"}, "status": 400}
            assert asked["mappings"]["dynamic"] is False
            indices[name] = {"mappings": asked["mappings"], "settings": asked["settings"]["index"], "new": {}, "seen": {}}
            return 200, {"acknowledged": True}
        if name not in indices:
            return 404, {"error": {"type": "index_not_found_exception"}, "status": 404}
        index = indices[name]
        if rest == "/_bulk":
            assert index["settings"]["refresh_interval"] == "-1" and index["settings"]["number_of_replicas"] == 0
            return bulk(index, body)
        if rest == "/_refresh":
            index["seen"] = dict(index["new"])
            return 200, {"_shards": {"failed": 0}}
        if rest == "/_settings":
            index["settings"].update(asked["index"])
            return 200, {"acknowledged": True}
        if rest == "/_count":
            assert index["settings"]["refresh_interval"] is None and index["settings"]["number_of_replicas"] == 1
            return 200, {"count": counted(index, asked["query"]), "_shards": {"failed": 0}}
        if rest == "/_search":
            source = asked.get("_source", {})
            if source and not hides_vectors:
                return 400, {"error": {"reason": "Unknown key for a VALUE_BOOLEAN in [exclude_vectors]."}}
            scroll = f"c2Nyb2xs{len(scrolls)}=="
            scrolls[scroll] = (index, sorted(index["seen"]), not hides_vectors or source.get("exclude_vectors") is False)
            return page(scroll)
        if method == "DELETE":
            del indices[name]
        return 200, {name: {}}

    serve(work, key_header)
