need curl
url=${WEAVIATE_URL:-http://127.0.0.1:8080}
url=${url%/}
api=$url/v1/schema/$collection
curl_config() {
  if [ -n "${WEAVIATE_API_KEY:-}" ]; then header Authorization "Bearer $WEAVIATE_API_KEY"; fi
}
place() { printf '%s' "$api"; }

# has_class: true if the class is there.
has_class() {
  local status
  status=$(request GET "$api" "$answer")
  case $status in
    200) return 0 ;;
    404) return 1 ;;
    *) die "$(explain "$status")" ;;
  esac
}

is_there() {
  has_class || return 1
  # A load that ended between the class and its tenants goes on with them.
  if [ -e "$state/tenants.begun" ] && [ "${resume:-no}" = yes ]; then create_tenants; fi
}

create() {
  local status
  if [ -e "$here/namespaces.tsv" ]; then : >"$state/tenants.begun"; fi
  status=$(request POST "$url/v1/schema" "$answer" --data-binary "@$here/class.json")
  if [ "$status" != 200 ]; then
    cp "$answer" "$answer.refused"
    # 422 may mean that the answer to an earlier try was lost on its way.
    if [ "$status" != 422 ] || ! has_class; then
      cp "$answer.refused" "$answer"
      die "the class could not be created: $(explain "$status")"
    fi
  fi
  create_tenants
}

create_tenants() {
  local body status wanted found
  if [ ! -e "$here/namespaces.tsv" ]; then return 0; fi
  for body in "$here"/tenants-*.json; do
    if [ ! -e "$body" ]; then continue; fi
    status=$(request POST "$api/tenants" "$answer" --data-binary "@$body")
    # 422: some are there already; they are counted below.
    case $status in
      200 | 422) ;;
      *) die "the tenants could not be created: $(explain "$status")" ;;
    esac
  done
  send GET "$api/tenants"
  wanted=$(wc -l <"$here/namespaces.tsv")
  found=$({ grep -ao '"name"[[:space:]]*:' "$answer" || true; } | wc -l)
  [ "$found" -ge "$wanted" ] || die "the class has $found of $wanted tenants: $(head -c 600 "$answer")"
  rm -f "$state/tenants.begun"
}

# The status is 200 whatever becomes of the objects; each has a result of its own in the answer. Properties hold no
# objects and quotes within texts are escaped, so nothing else looks like a result.
put() {
  local file rows status taken
  while IFS='|' read -r file rows _; do
    if [ "$file" != "$1" ]; then continue; fi
    status=$(request POST "$url/v1/batch/objects" "$answer" --data-binary "@$file")
    taken=$({ LC_ALL=C grep -Eao '"result"[[:space:]]*:[[:space:]]*\{[^{}]*"status"[[:space:]]*:[[:space:]]*"SUCCESS"' "$answer" || true; } | wc -l)
    if [ "$status" = 200 ] && [ "$taken" -eq "$rows" ]; then return 0; fi
    say "HTTP $status, $taken of $rows objects taken"
    { LC_ALL=C grep -Eao '"result"[[:space:]]*:[[:space:]]*\{[[:space:]]*"errors"[[:space:]]*:[[:space:]]*\{.{0,300}' "$answer" ||
      head -c 900 "$answer"; } | head -n 3 >"$answer.first"
    cp "$answer.first" "$answer"
    return 1
  done < <(tr '\t' '|' <"$here/files.tsv")
  return 1
}

finish() { :; }

# aggregate ARGUMENTS: the number of objects.
aggregate() {
  send POST "$url/v1/graphql" --data-binary "{\"query\":\"{Aggregate{$collection$1{meta{count}}}}\"}"
  number count
}

counts() {
  local name wanted
  if [ ! -e "$here/namespaces.tsv" ]; then
    compare objects "$records" "$(aggregate '')"
    return 0
  fi
  while IFS='|' read -r _ name wanted _ <&3; do
    compare "tenant $name" "$wanted" "$(aggregate "(tenant:\\\"$name\\\")")"
  done 3< <(tr '\t' '|' <"$here/namespaces.tsv")
}

# list_objects TENANT JSON: all objects by the cursor; a page says first of which tenant it is.
list_objects() {
  local after='' tenant='' file
  if [ -n "$1" ]; then tenant="&tenant=$1"; fi
  while :; do
    send GET "$url/v1/objects?class=$collection&limit=${PAGE_OBJECTS:-500}&include=vector$tenant&after=$after"
    # A property is never called `id`, and a quote within a text is escaped.
    after=$({ LC_ALL=C grep -Eao '"id"[[:space:]]*:[[:space:]]*"[0-9a-fA-F-]{36}"' "$answer" || true; } |
      tail -n 1 | sed 's/^[^:]*:[[:space:]]*"//; s/"$//')
    if [ -z "$after" ]; then break; fi
    page=$((page + 1))
    file=page-$(printf '%06d' "$page").json
    if [ -n "$1" ]; then
      LC_ALL=C sed "1s/^[[:space:]]*{/{\"tenant\":\"$1\",/" "$answer" >"$pages/$file"
      printf '%s\t%s\n' "$file" "$2" >>"$pages/pages.tsv"
    else
      cp "$answer" "$pages/$file"
    fi
  done
}

pull() {
  local page=0 name json
  if [ ! -e "$here/namespaces.tsv" ]; then
    list_objects '' ''
    return 0
  fi
  while IFS=$'\t' read -r _ name _ json <&3; do
    list_objects "$name" "$json"
  done 3< <(sed 's/^\t/-\t/' "$here/namespaces.tsv")
}

remove() { erase "$api"; }
