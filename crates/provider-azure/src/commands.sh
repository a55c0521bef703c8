need curl
url=${AZURE_SEARCH_URL:?set it to the address of the service}
url=${url%/}
version=api-version=${AZURE_SEARCH_VERSION:-2024-07-01}
api=$url/indexes/$collection
curl_config() { header api-key "${AZURE_SEARCH_API_KEY:-}"; }
place() { printf '%s' "$api"; }

is_there() {
  local status
  status=$(request GET "$api?$version" "$answer")
  case $status in
    200) return 0 ;;
    404) return 1 ;;
    *) die "$(explain "$status")" ;;
  esac
}

create() { send PUT "$api?$version" --data-binary "@$here/index.json"; }

# 207 says that some documents were not taken, and the answer which and why.
put() {
  local file rows status taken
  while IFS='|' read -r file rows _; do
    if [ "$file" != "$1" ]; then continue; fi
    status=$(request POST "$api/docs/index?$version" "$answer" --data-binary "@$file")
    taken=$({ grep -Eao '"status"[[:space:]]*:[[:space:]]*true' "$answer" || true; } | wc -l)
    if [ "$status" = 200 ] && [ "$taken" -eq "$rows" ]; then return 0; fi
    say "HTTP $status, $taken of $rows documents taken"
    { grep -Eao '\{[^{}]*"status"[[:space:]]*:[[:space:]]*false[^{}]*\}' "$answer" || cat "$answer"; } |
      head -n 3 >"$answer.first"
    cp "$answer.first" "$answer"
    return 1
  done < <(tr '\t' '|' <"$here/files.tsv")
  return 1
}

finish() { :; }

counts() {
  local attempt=0 found
  while :; do
    send GET "$api/docs/\$count?$version"
    found=$(tr -dc '0-9' <"$answer")
    attempt=$((attempt + 1))
    if [ "$found" = "$records" ] || [ "$attempt" -ge "${COUNT_TRIES:-10}" ]; then break; fi
    sleep "$first_pause" # documents are counted some seconds after they were taken
  done
  compare documents "$records" "$found"
}

pull() {
  local page=0 last filter=
  while :; do
    page=$((page + 1))
    send POST "$api/docs/search?$version" \
      --data-binary "{\"search\":\"*\",\"orderby\":\"id asc\",\"top\":500,\"count\":false$filter}"
    # A key needs no escape, and a quote within a text has one, so this is a key and no part of a text.
    last=$({ LC_ALL=C grep -ao '[{,][[:space:]]*"id"[[:space:]]*:[[:space:]]*"[^"\\]*"' "$answer" || true; } |
      tail -n 1 | sed 's/^[^:]*:[[:space:]]*"//; s/"$//')
    cp "$answer" "$pages/page-$(printf '%06d' "$page").json"
    if [ -z "$last" ]; then break; fi
    filter=",\"filter\":\"id gt '$last'\""
  done
}

remove() { erase "$api?$version"; }
