"""JSONL -> JSONL with a field raised by one and a field renamed, record by record. usage: IN.jsonl OUT.jsonl"""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as lines, open(sys.argv[2], "w", encoding="utf-8") as out:
    for line in lines:
        record = json.loads(line)
        metadata = record["metadata"]
        metadata["page"] += 1
        metadata["lang"] = metadata.pop("language")
        out.write(json.dumps(record, ensure_ascii=False) + "\n")
