need curl
url=${url%/}
api=$url/$collection
place() { printf '%s' "$api"; }

# login USER:PASSWORD: one line of curl's configuration.
login() {
  local value=${1//\\/\\\\}
  printf 'user = "%s"\n' "${value//\"/\\\"}"
}

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
  status=$(request PUT "$api" "$answer" --data-binary "@$here/index.json")
  # It exists: the answer to an earlier try was lost on its way.
  if [ "$status" != 200 ] && ! { [ "$status" = 400 ] && grep -Eaq 'resource_already_exists_exception' "$answer"; }; then
    die "the index could not be created: $(explain "$status")"
  fi
}

# The status is 200 whatever becomes of the items; each has a status of its own in the answer. An item's 429 says that
# a queue was full: the same documents go again under the same ids.
put() {
  local file rows status taken attempt=0 pause=$first_pause
  while IFS='|' read -r file rows _; do
    if [ "$file" != "$1" ]; then continue; fi
    while :; do
      status=$(request POST "$api/_bulk?filter_path=errors,items.*.status,items.*.error" "$answer" --data-binary "@$file")
      taken=$({ LC_ALL=C grep -Eao '"status"[[:space:]]*:[[:space:]]*20[01]([^0-9]|$)' "$answer" || true; } | wc -l)
      if [ "$status" = 200 ] && [ "$taken" -eq "$rows" ] &&
        LC_ALL=C grep -Eaq '"errors"[[:space:]]*:[[:space:]]*false' "$answer"; then
        return 0
      fi
      attempt=$((attempt + 1))
      if [ "$status" != 200 ] || [ "$attempt" -gt "$retries" ] ||
        ! LC_ALL=C grep -Eaq '"status"[[:space:]]*:[[:space:]]*429' "$answer"; then
        break
      fi
      say "a queue of the server is full, sending $file again in $pause s ($attempt of $retries)"
      sleep "$pause"
      pause=$((pause * 2))
    done
    say "HTTP $status, $taken of $rows documents taken"
    { LC_ALL=C grep -Eao '"error"[[:space:]]*:[[:space:]]*\{.{0,300}' "$answer" || head -c 900 "$answer"; } |
      head -n 3 >"$answer.first"
    cp "$answer.first" "$answer"
    return 1
  done < <(tr '\t' '|' <"$here/files.tsv")
  return 1
}

finish() {
  send PUT "$api/_settings" \
    --data-binary "{\"index\":{\"number_of_replicas\":${REPLICAS:-1},\"refresh_interval\":null}}"
  send POST "$api/_refresh"
}

counts() {
  local wanted name body
  send POST "$api/_refresh"
  send POST "$api/_count" --data-binary '{"query":{"match_all":{}}}'
  compare documents "$records" "$(number count)"
  if [ ! -e "$here/counts.tsv" ]; then return 0; fi
  while IFS=$'\t' read -r wanted name body <&3; do
    send POST "$api/_count" --data-binary "$body"
    compare "namespace $name" "$wanted" "$(number count)"
  done 3<"$here/counts.tsv"
}

# A scroll goes on with every answer, also one that is lost on its way: then it begins anew.
pull() {
  local attempt=0
  until scroll; do
    attempt=$((attempt + 1))
    [ "$attempt" -le "$retries" ] || die "the scroll broke off: $(head -c 600 "$answer" 2>/dev/null || true)"
    say "the scroll broke off, beginning anew ($attempt of $retries)"
    find "$pages" -name 'page-*' -exec rm -f {} +
    sleep "$first_pause"
  done
}

search() {
  request POST "$api/_search?scroll=10m" "$answer" \
    --data-binary "{\"size\":${PAGE_DOCUMENTS:-500},\"sort\":[\"_doc\"],$with_vectors\"query\":{\"match_all\":{}}}"
}

# next_page SCROLL: prints the status. Only what was turned away at the door may be asked for again.
next_page() {
  local attempt=0 pause=$first_pause status
  while :; do
    status=$(
      retries=0
      request POST "$url/_search/scroll" "$answer" --data-binary "{\"scroll\":\"10m\",\"scroll_id\":\"$1\"}"
    )
    attempt=$((attempt + 1))
    if [ "$status" != 429 ] || [ "$attempt" -gt "$retries" ]; then break; fi
    sleep "$pause"
    pause=$((pause * 2))
  done
  printf '%s' "$status"
}

scroll() {
  local page=0 id='' status
  status=$(search)
  # Before 9.2 there is no such setting, and vectors are always there.
  if [ "$status" = 400 ] && [ -n "$with_vectors" ]; then
    with_vectors=
    status=$(search)
  fi
  [ "$status" = 200 ] || die "$(explain "$status")"
  while LC_ALL=C grep -Eaq '"_id"[[:space:]]*:' "$answer"; do
    page=$((page + 1))
    cp "$answer" "$pages/page-$(printf '%06d' "$page").json"
    id=$({ LC_ALL=C grep -Eao '"_scroll_id"[[:space:]]*:[[:space:]]*"[^"]*"' "$answer" || true; } | sed -n '1s/^[^:]*:[[:space:]]*"//; 1s/"$//p')
    status=$(next_page "$id")
    [ "$status" = 200 ] || return 1
  done
  if [ -n "$id" ]; then
    request DELETE "$url/_search/scroll" "$answer.closed" --data-binary "{\"scroll_id\":\"$id\"}" >"$answer.status" || true
  fi
}

remove() { erase "$api"; }
