#!/usr/bin/env bash
# Checks a loaded table: exact counts, then every row copied back and compared. Needs bash and psql, and tranship for the
# comparison.
#
#   bash check.sh [SOURCE]   SOURCE is what tranship reads, default this bundle
#
# Ends with GO (exit 0), NO-GO (exit 1), or exit 2 if it could not be found out.
#
# PGHOST, ..., PSQL   as for load.sh
# PULLED     directory for the rows, default pulled beside this script; about as large as data/
# TRANSHIP   the binary, default tranship
@COMMON@
pulled=${PULLED:-$here/pulled}
tranship=${TRANSHIP:-tranship}
source=${1:-pgvector:$here}
wrong=0

counts=$(run_sql -At -f "$here/check.sql") || die "the rows could not be counted"
if [ -n "$counts" ]; then
  say "WRONG counts (which, wanted, found):"
  say "$counts"
  wrong=1
else
  say "ok     all counts; @ROWS@ rows"
fi

mkdir -p "$pulled"
rm -f "$pulled/rows-00000.bin"
cp "$here/mapping.json" "$pulled/mapping.json"
(cd "$pulled" && run_sql -f "$here/pull.sql") || die "the rows could not be copied back"

if ! command -v "$tranship" >/dev/null 2>&1; then
  say "tranship is not here; compare where it is, with:"
  say "  tranship verify $source pgvector:$pulled --mapping $here/mapping.json"
  if [ "$wrong" -gt 0 ]; then
    say "NO-GO: counts are wrong"
    exit 1
  fi
  exit 2
fi
verdict=0
"$tranship" verify "$source" "pgvector:$pulled" --mapping "$here/mapping.json" || verdict=$?
case $verdict in
  0) ;;
  1) wrong=1 ;;
  *) die "tranship verify could not compare (exit $verdict)" ;;
esac
if [ "$wrong" -gt 0 ]; then
  say "NO-GO: the table is not the source's"
  exit 1
fi
say "GO: every record is there"
