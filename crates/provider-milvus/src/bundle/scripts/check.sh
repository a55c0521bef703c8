@COMMON@
found=$(count)
if [ "$found" != @ROWS@ ]; then
    echo "NO-GO: $collection has $found rows, @ROWS@ were to be loaded"
    exit 1
fi
echo "count: $found rows, as expected"
if ! python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("pymilvus") is None)' 2>/dev/null || ! command -v tranship >/dev/null; then
    echo "for the comparison of every row: pip install pymilvus, then"
    echo "  python3 check.py > pulled.jsonl"
    echo "  tranship verify SOURCE jsonl:pulled.jsonl --mapping mapping.json"
    echo "NO-GO until then: counts alone prove little"
    exit 1
fi
python3 check.py >pulled.jsonl
: "${TRANSHIP_SOURCE:=$PWD}"
if tranship verify "$TRANSHIP_SOURCE" jsonl:pulled.jsonl --mapping mapping.json; then
    echo GO
else
    echo NO-GO
    exit 1
fi
