#!/usr/bin/env bash
# Joins the parts of this bundle into one index; the options are those of load.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "${PYTHON:-python3}" "$here/load.py" "$@"
