@COMMON@
: "${MILVUS_PREFIX:?set MILVUS_PREFIX to where the files of data/ lie in the bucket of the server}"

if [ -e .loaded/import ] && [ "${1:-}" != --resume ]; then
    echo "an import was begun before: bash load.sh --resume goes on with it" >&2
    exit 1
fi
mkdir -p .loaded
if [ ! -e .loaded/created ]; then
    call collections/create schema.json
    touch .loaded/created
fi
if [ @ROWS@ -gt 0 ] && [ ! -e .loaded/import ]; then
    # Only ever one import: the server does not look at keys, and a second one would double the rows.
    sed "s|@PREFIX@|${MILVUS_PREFIX%/}|" import.json >"$answer.import"
    call jobs/import/create "$answer.import"
    field jobId >.loaded/import
fi
while [ -e .loaded/import ] && [ ! -e .loaded/imported ]; do
    call jobs/import/describe "$(body "{\"jobId\": \"$(cat .loaded/import)\"}")"
    case $(field state) in
        Completed) touch .loaded/imported ;;
        Failed)
            echo "the import failed: $(cat "$answer")" >&2
            echo "undo.sh drops the collection; then load again" >&2
            exit 1
            ;;
        *) sleep 5 ;;
    esac
done
if [ ! -e .loaded/indexed ]; then
    call indexes/create indexes.json
    touch .loaded/indexed
fi
call collections/load "$(body "{\"collectionName\": \"$collection\"}")"
echo "$collection: @ROWS@ rows imported, indexes are being built; bash check.sh proves it"
