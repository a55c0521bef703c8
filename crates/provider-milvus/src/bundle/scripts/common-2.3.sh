#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"

: "${MILVUS_URI:?set MILVUS_URI, as in http://127.0.0.1:19530}"
collection='@COLLECTION@'
if ! python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("pymilvus") is None)'; then
    echo "pymilvus is needed, for a server of version 2.3 imports over gRPC only: see README.md" >&2
    exit 1
fi

count() {
    python3 load.py --count
}

drop() {
    python3 load.py --drop
}
