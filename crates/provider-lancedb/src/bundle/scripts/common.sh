#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"

: "${LANCEDB_URI:?set LANCEDB_URI to the database: a directory, s3://bucket/prefix, or db://name}"
if ! python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("lancedb") is None)'; then
    echo "the lancedb client is needed: pip install lancedb" >&2
    exit 1
fi
