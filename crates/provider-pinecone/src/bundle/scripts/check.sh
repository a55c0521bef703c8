#!/usr/bin/env bash
# Checks an imported index: counts per namespace, then every record fetched back and compared. Needs bash and curl, and
# tranship for the comparison.
#
#   bash check.sh [SOURCE]   SOURCE is what tranship reads, default this bundle
#
# Ends with GO (exit 0), NO-GO (exit 1), or exit 2 if it could not be found out.
#
# PINECONE_API_KEY   as for load.sh
# PAGES      directory for the fetched pages, default pages beside this script
# TRANSHIP   the binary, default tranship
@COMMON@
pages=${PAGES:-$here/pages}
tranship=${TRANSHIP:-tranship}
source=${1:-pinecone:$here}
wrong=0

if [ ! -e "$here/schema.json" ] && [ "$records" -eq 0 ]; then
  say "GO: the collection is empty and has no dimensions; there is nothing to compare"
  exit 0
fi
find_host || die "there is no index $index; load it with load.sh"

mkdir -p "$pages"
find "$pages" -name 'page-*.json' -exec rm -f {} +
cp "$here/mapping.json" "$pages/stored.json"

send POST "$host/describe_index_stats" --data-binary '{}'
total=$(field totalVectorCount)
if [ "$total" = "$records" ]; then
  say "ok     records: $total"
else
  say "WRONG  records: ${total:-no count} of $records"
  wrong=$((wrong + 1))
fi

# plain TEXT: a JSON string's content without its escapes; ids are printable ASCII.
plain() {
  local text=$1
  text=${text//\\u0026/&}
  text=${text//\\u003c/<}
  text=${text//\\u003C/<}
  text=${text//\\u003e/>}
  text=${text//\\u003E/>}
  text=${text//\\u0027/\'}
  text=${text//\\\//\/}
  text=${text//\\\"/\"}
  printf '%s' "${text//\\\\/\\}"
}

page=0
while IFS=$'\t' read -r namespace wanted <&3; do
  found=0
  token=
  while :; do
    arguments=(--get --data-urlencode "namespace=$namespace" --data-urlencode limit=100)
    if [ -n "$token" ]; then arguments+=(--data-urlencode "paginationToken=$token"); fi
    send GET "$host/vectors/list" "${arguments[@]}"
    token=$({ LC_ALL=C grep -ao '"next"[[:space:]]*:[[:space:]]*"[^"]*"' "$answer" || true; } | tail -n 1 |
      sed 's/^[^:]*:[[:space:]]*"//; s/"$//')
    arguments=(--get --data-urlencode "namespace=$namespace")
    ids=0
    while IFS= read -r id; do
      arguments+=(--data-urlencode "ids=$(plain "$id")")
      ids=$((ids + 1))
    done < <({ LC_ALL=C grep -aoE '"id"[[:space:]]*:[[:space:]]*"([^"\\]|\\.)*"' "$answer" || true; } |
      sed 's/^"id"[[:space:]]*:[[:space:]]*"//; s/"$//')
    if [ "$ids" -gt 0 ]; then
      send GET "$host/vectors/fetch" "${arguments[@]}"
      page=$((page + 1))
      cp "$answer" "$pages/page-$(printf '%05d' "$page").json"
      found=$((found + ids))
    fi
    if [ -z "$token" ]; then break; fi
  done
  if [ "$found" = "$wanted" ]; then
    say "ok     namespace $namespace: $found"
  else
    say "WRONG  namespace $namespace: $found of $wanted"
    wrong=$((wrong + 1))
  fi
done 3<"$here/counts.tsv"
say "fetched $page pages into $pages"

if ! command -v "$tranship" >/dev/null 2>&1; then
  say "tranship is not here; compare where it is, with:"
  say "  tranship verify $source pinecone:$pages --mapping $here/mapping.json"
  if [ "$wrong" -gt 0 ]; then
    say "NO-GO: $wrong counts are wrong"
    exit 1
  fi
  exit 2
fi
verdict=0
"$tranship" verify "$source" "pinecone:$pages" --mapping "$here/mapping.json" || verdict=$?
case $verdict in
  0) ;;
  1) wrong=$((wrong + 1)) ;;
  *) die "tranship verify could not compare (exit $verdict)" ;;
esac
if [ "$wrong" -gt 0 ]; then
  say "NO-GO: the index $index is not the source's"
  exit 1
fi
say "GO: every record is in $index"
