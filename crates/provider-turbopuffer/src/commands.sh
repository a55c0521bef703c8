need curl
url=${TURBOPUFFER_URL:-https://${TURBOPUFFER_REGION:-gcp-us-central1}.turbopuffer.com}
url=${url%/}
curl_config() { header Authorization "Bearer ${TURBOPUFFER_API_KEY:-}"; }
place() { printf '%s/v2/namespaces/%s' "$url" "$(plain "$collection")"; }

# target ENCODED: turbopuffer's name for a namespace of the source.
target() {
  local encoded name _
  while IFS='|' read -r encoded name _; do
    if [ "$encoded" = "$1" ]; then printf '%s' "$name"; fi
  done < <(tr '\t' '|' <"$here/namespaces.tsv")
}

is_there() {
  local name status
  while IFS='|' read -r _ name _; do
    status=$(request GET "$url/v1/namespaces/$name/metadata" "$answer")
    case $status in
      200) return 0 ;;
      404) ;;
      *) die "$(explain "$status")" ;;
    esac
  done < <(tr '\t' '|' <"$here/namespaces.tsv")
  return 1
}

create() { :; } # the first row makes the namespace

put() {
  local file rows encoded status found
  while IFS='|' read -r file rows encoded; do
    if [ "$file" != "$1" ]; then continue; fi
    status=$(request POST "$url/v2/namespaces/$(target "$encoded")" "$answer" --data-binary "@$file")
    found=$(number rows_affected)
    if [ "$status" = 200 ] && [ "$found" = "$rows" ]; then return 0; fi
    say "HTTP $status, ${found:-no} of $rows rows written"
    return 1
  done < <(tr '\t' '|' <"$here/files.tsv")
  return 1
}

finish() { :; }

counts() {
  local name wanted
  while IFS='|' read -r _ name wanted _ <&3; do
    send POST "$url/v2/namespaces/$name/query" --data-binary '{"aggregate_by":{"tranship":["Count","id"]}}'
    compare "namespace $name" "$wanted" "$(number tranship)"
  done 3< <(tr '\t' '|' <"$here/namespaces.tsv")
}

pull() {
  local name json page=0 file last filter
  while IFS=$'\t' read -r _ name _ json <&3; do
    filter=
    while :; do
      page=$((page + 1))
      file=page-$(printf '%06d' "$page").json
      send POST "$url/v2/namespaces/$name/query" \
        --data-binary "{\"rank_by\":[\"id\",\"asc\"],\"limit\":1000,\"include_attributes\":true$filter}"
      cp "$answer" "$pages/$file"
      printf '%s\t%s\n' "$file" "$json" >>"$pages/pages.tsv"
      # A quote within a text is escaped, so this is an id and no part of one.
      last=$({ LC_ALL=C grep -ao '[{,][[:space:]]*"id"[[:space:]]*:[[:space:]]*"\([^"\\]\|\\.\)*"' "$answer" || true; } |
        tail -n 1 | sed 's/^[^:]*:[[:space:]]*//')
      if [ -z "$last" ]; then break; fi
      filter=",\"filters\":[\"id\",\"Gt\",$last]"
    done
  done 3< <(sed 's/^\t/-\t/' "$here/namespaces.tsv")
}

remove() {
  local name
  while IFS='|' read -r _ name _ <&3; do
    erase "$url/v2/namespaces/$name"
  done 3< <(tr '\t' '|' <"$here/namespaces.tsv")
}
