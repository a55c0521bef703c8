@COMMON@
: "${MILVUS_PREFIX:?set MILVUS_PREFIX to where the files of data/ lie in the storage of the server}"

if [ -e .loaded/created ] && [ "${1:-}" != --resume ]; then
    echo "a load was begun before: bash load.sh --resume goes on with it" >&2
    exit 1
fi
python3 load.py
