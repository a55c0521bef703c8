#!/usr/bin/env bash
# Checks what load.sh has loaded: exact counts, then every record pulled back and compared. Needs bash and @NEEDS@,
# and tranship for the comparison.
#
#   bash check.sh [SOURCE]   SOURCE is what tranship reads, default this bundle
#
# Ends with GO (exit 0), NO-GO (exit 1), or exit 2 if it could not be found out.
#
@VARIABLES@
# PAGES      directory for what is pulled, default pulled beside this script; about as large as data/
# TRANSHIP   the binary, default tranship
@COMMON@
@FUNCTIONS@
pages=${PAGES:-$here/pulled}
tranship=${TRANSHIP:-tranship}
source=${1:-@TARGET@:$here}

counts
mkdir -p "$pages"
find "$pages" \( -name 'page-*' -o -name pages.tsv \) -exec rm -f {} +
cp "$here/mapping.json" "$pages/mapping.json"
if [ "$records" -gt 0 ]; then pull; fi
if [ "$records" -eq 0 ] && [ "$wrong" -eq 0 ]; then
  say "GO: the collection is empty, there is nothing to compare"
  exit 0
fi

if ! command -v "$tranship" >/dev/null 2>&1; then
  say "tranship is not here; compare where it is, with:"
  say "  tranship verify $source @TARGET@:$pages --mapping $here/mapping.json"
  if [ "$wrong" -gt 0 ]; then
    say "NO-GO: $wrong counts are wrong"
    exit 1
  fi
  exit 2
fi
verdict=0
"$tranship" verify "$source" "@TARGET@:$pages" --mapping "$here/mapping.json" || verdict=$?
case $verdict in
  0) ;;
  1) wrong=$((wrong + 1)) ;;
  *) die "tranship verify could not compare (exit $verdict)" ;;
esac
if [ "$wrong" -gt 0 ]; then
  say "NO-GO: $(place) is not the source"
  exit 1
fi
say "GO: every record is in $(place)"
