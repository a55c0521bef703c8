@COMMON@
# Brings a collection from the set that this delta was made from to the next one: deletes, then imports. Needs bash and curl.
#
#   MILVUS_PREFIX=PREFIX bash load.sh    --resume goes on after an interruption
: "${MILVUS_PREFIX:?set MILVUS_PREFIX to where the files of data/ lie in the bucket of the server}"

if [ -e .loaded/begun ] && [ "${1:-}" != --resume ]; then
    echo "this delta was begun before: bash load.sh --resume goes on with it" >&2
    exit 1
fi
mkdir -p .loaded
if [ ! -e .loaded/begun ]; then
    found=$(count)
    if [ "$found" != @BASE@ ]; then
        echo "$collection has $found rows, the delta was made from @BASE@: load the set that it was made from first" >&2
        exit 1
    fi
    touch .loaded/begun
fi
# Before the import only: a delete that is sent after it would take out what it has written.
if [ ! -e .loaded/import ]; then
    for ids in data/deletes-*.txt; do
        mark=.loaded/$(basename "$ids").done
        if [ ! -e "$ids" ] || [ -e "$mark" ]; then continue; fi
        { printf '{"collectionName": "%s", "filter": "@KEY@ in [' "$collection"; tr -d '\n' <"$ids"; printf ']"}'; } >"$answer.delete"
        call entities/delete "$answer.delete"
        touch "$mark"
    done
fi
if [ @UPSERTS@ -gt 0 ] && [ ! -e .loaded/import ]; then
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
            echo "mend the cause, remove .loaded/import, and go on with --resume" >&2
            exit 1
            ;;
        *) sleep 5 ;;
    esac
done
echo "$collection: the delta is in; TRANSHIP_SOURCE=archive:new.tranship bash check.sh proves it"
