need curl
url=${TYPESENSE_URL:-http://127.0.0.1:8108}
url=${url%/}
api=$url/collections/$collection
curl_config() { header X-TYPESENSE-API-KEY "${TYPESENSE_API_KEY:-}"; }
place() { printf '%s' "$api"; }

is_there() {
  local status
  status=$(request GET "$api" "$answer")
  case $status in
    200) return 0 ;;
    404) return 1 ;;
    *) die "$(explain "$status")" ;;
  esac
}

create() {
  local status
  status=$(request POST "$url/collections" "$answer" --data-binary "@$here/schema.json")
  # 409: the answer to an earlier try was lost on its way.
  case $status in
    200 | 201 | 409) ;;
    *) die "the collection could not be created: $(explain "$status")" ;;
  esac
}

# The status is 200 whatever becomes of the documents; each has a line of its own in the answer.
put() {
  local file rows status taken
  while IFS='|' read -r file rows _; do
    if [ "$file" != "$1" ]; then continue; fi
    status=$(request POST "$api/documents/import?action=upsert&dirty_values=reject" "$answer" \
      --header 'Content-Type: text/plain' --data-binary "@$file")
    taken=$({ grep -Eac '"success"[[:space:]]*:[[:space:]]*true' "$answer" || true; } | head -n 1)
    if [ "$status" = 200 ] && [ "$taken" = "$rows" ] && ! grep -Eaq '"success"[[:space:]]*:[[:space:]]*false' "$answer"; then
      return 0
    fi
    { grep -Ea '"success"[[:space:]]*:[[:space:]]*false' "$answer" || cat "$answer"; } | head -n 3 >"$answer.first"
    cp "$answer.first" "$answer"
    say "HTTP $status, $taken of $rows documents taken"
    return 1
  done < <(tr '\t' '|' <"$here/files.tsv")
  return 1
}

finish() { :; }

counts() {
  send GET "$api"
  compare documents "$records" "$(number num_documents)"
}

pull() {
  send GET "$api/documents/export"
  cp "$answer" "$pages/page-000001.jsonl"
}

remove() { erase "$api"; }
