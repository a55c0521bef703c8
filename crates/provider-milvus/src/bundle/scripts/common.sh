#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"

: "${MILVUS_URI:?set MILVUS_URI, as in http://127.0.0.1:19530}"
collection='@COLLECTION@'
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# The token goes to curl through a pipe, so that it stands in no process list and in no file.
curl_config() {
    if [ -n "${MILVUS_TOKEN:-}" ]; then
        printf 'header = "Authorization: Bearer %s"\n' "${MILVUS_TOKEN//\"/\\\"}"
    fi
}

# call PATH BODY_FILE: posts, retries 429 and 5xx, and stops at an error that Milvus reports within an answer of 200.
call() {
    local path=$1 body=$2 try status
    for try in 1 2 3 4 5; do
        status=$(curl_config | curl --silent --show-error --config - --output "$answer" --write-out '%{http_code}' \
            -X POST "$MILVUS_URI/v2/vectordb/$path" -H 'Content-Type: application/json' --data-binary @"$body") || status=000
        case $status in
            429 | 5?? | 000) sleep $((try * try)) ;;
            *) break ;;
        esac
    done
    if [ "$status" != 200 ] || ! grep -qE '"code": ?0[,}]' "$answer"; then
        echo "$path: HTTP $status: $(cat "$answer")" >&2
        return 1
    fi
}

body() {
    printf '%s' "$1" >"$answer.body"
    echo "$answer.body"
}

# field NAME: the value of a text or number in the last answer.
field() {
    sed -E 's/.*"'"$1"'": ?"?([^",}]*)"?.*/\1/' "$answer"
}

# The rows that the collection has.
count() {
    call entities/query "$(body "{\"collectionName\": \"$collection\", \"filter\": \"\", \"outputFields\": [\"count(*)\"], \"consistencyLevel\": \"Strong\"}")"
    grep -oE '"count\(\*\)": ?[0-9]+' "$answer" | grep -oE '[0-9]+$' || echo none
}

drop() {
    call collections/drop "$(body "{\"collectionName\": \"$collection\"}")"
}
