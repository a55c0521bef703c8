#!/usr/bin/env bash
# Checks a loaded collection: exact counts, then every point scrolled back and compared. Needs bash and curl, and
# tranship for the comparison.
#
#   bash check.sh [SOURCE]   SOURCE is what tranship reads, default this bundle
#
# Ends with GO (exit 0), NO-GO (exit 1), or exit 2 if it could not be found out.
#
# QDRANT_URL, QDRANT_API_KEY   as for load.sh
# PAGES       directory for the scrolled pages, default pages beside this script; about as large as data/
# PAGE_POINTS points per page, default @PAGE_POINTS@
# TRANSHIP    the binary, default tranship
@COMMON@
pages=${PAGES:-$here/pages}
page_points=${PAGE_POINTS:-@PAGE_POINTS@}
tranship=${TRANSHIP:-tranship}
source=${1:-qdrant:$here}
records=@ROWS@
wrong=0

# count BODY: the exact number of points that it asks for
count() {
  send POST "$api/points/count" --data-binary "$1"
  sed -n 's/.*"count"[[:space:]]*:[[:space:]]*\([0-9][0-9]*\).*/\1/p' "$answer"
}

# compare NAME WANTED FOUND
compare() {
  if [ "$2" = "$3" ]; then
    say "ok     $1: $3"
  else
    say "WRONG  $1: ${3:-no count} of $2"
    wrong=$((wrong + 1))
  fi
}

if [ ! -e "$here/schema.json" ] && [ ! -e "$here/data/collection.snapshot" ] && [ "$records" -eq 0 ]; then
  say "GO: the collection is empty and has no dimensions; there is nothing to compare"
  exit 0
fi

found=$(count '{"exact":true}')
compare points "$records" "$found"
while IFS=$'\t' read -r wanted name body <&3; do
  found=$(count "$body")
  compare "namespace $name" "$wanted" "$found"
done 3<"$here/counts.tsv"

mkdir -p "$pages"
find "$pages" -name 'scroll-*.json' -exec rm -f {} +
send GET "$api"
cp "$answer" "$pages/collection.json"
page=1
offset=
while :; do
  file=$pages/scroll-$(printf '%05d' "$page").json
  send POST "$api/points/scroll" \
    --data-binary "{\"limit\":$page_points,\"with_payload\":true,\"with_vector\":true$offset}"
  cp "$answer" "$file"
  # The key stands behind the points, so the last one in the tail is not part of a payload.
  next=$(tail -c 4096 "$file" | LC_ALL=C grep -ao '"next_page_offset"[[:space:]]*:[[:space:]]*[^],} ]*' | tail -n 1 |
    sed 's/^[^:]*:[[:space:]]*//') || next=
  case $next in
    '' | null) break ;;
  esac
  offset=",\"offset\":$next"
  page=$((page + 1))
done
say "scrolled $page pages into $pages"

if ! command -v "$tranship" >/dev/null 2>&1; then
  say "tranship is not here; compare where it is, with:"
  say "  tranship verify $source qdrant:$pages --mapping $here/mapping.json"
  if [ "$wrong" -gt 0 ]; then
    say "NO-GO: $wrong counts are wrong"
    exit 1
  fi
  exit 2
fi
verdict=0
"$tranship" verify "$source" "qdrant:$pages" --mapping "$here/mapping.json" || verdict=$?
case $verdict in
  0) ;;
  1) wrong=$((wrong + 1)) ;;
  *) die "tranship verify could not compare (exit $verdict)" ;;
esac
if [ "$wrong" -gt 0 ]; then
  say "NO-GO: the collection at $api is not the source's"
  exit 1
fi
say "GO: every record is at $api"
