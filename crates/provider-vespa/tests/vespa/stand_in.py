"""A stand-in for the Vespa CLI: documents of one type, where empty texts are nothing and tensors come back typed."""
import json, re, sys
from service import REFUSE, state

verb, words = sys.argv[2], sys.argv[3:]


def stored(fields):
    kept = {}
    for key, value in fields.items():
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        for text in texts:
            assert not isinstance(text, str) or not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", text), (key, text)
        if value not in ("", [], {}):
            kept[key] = {"type": "tensor<float>(x[3])"} | value if isinstance(value, dict) else value
    return kept


with state() as documents:
    if verb == "feed":
        counts = {"feeder.ok.count": 0, "feeder.error.count": 0}
        for number, line in enumerate(open(words[-1], encoding="utf-8")):
            operation = json.loads(line)
            if REFUSE and number == 1:
                counts["feeder.error.count"] += 1
                continue
            counts["feeder.ok.count"] += 1
            if "put" in operation:
                assert operation["put"].startswith("id:tranship:notes::"), operation
                documents[operation["put"]] = stored(operation["fields"])
            else:
                del documents[operation["remove"]]
        print(json.dumps(counts, indent=2))
    else:
        assert verb == "visit" and words[words.index("--selection") + 1] == "notes"
        ids = "--field-set" in words
        for key, fields in documents.items():
            print(json.dumps({"id": key, "fields": {} if ids else fields}))
