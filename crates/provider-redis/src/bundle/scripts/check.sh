#!/usr/bin/env bash
# Checks a loaded collection: counts, then a dump of the server compared record by record. Needs bash and redis-cli, and
# tranship for the comparison.
#
#   bash check.sh [SOURCE]   SOURCE is what tranship reads, default this bundle
#
# Ends with GO (exit 0), NO-GO (exit 1), or exit 2 if it could not be found out.
#
# REDIS_HOST, ..., REDIS_CLI   as for load.sh
# PULLED     directory for the dump of the whole server, default pulled beside this script
# TRANSHIP   the binary, default tranship
@COMMON@
pulled=${PULLED:-$here/pulled}
tranship=${TRANSHIP:-tranship}
source=${1:-redis:$here}
wrong=0

while IFS=$'\t' read -r wanted name keys <&3; do
  if [ "$form" = hash ]; then
    found=$(walk "$keys" "$count_page") || exit 2
  else
    found=$(cli --raw VCARD "$keys")
  fi
  if [ "$wanted" = "$found" ]; then
    say "ok     namespace $name: $found"
  else
    say "WRONG  namespace $name: ${found:-no count} of $wanted"
    wrong=$((wrong + 1))
  fi
done 3<"$here/counts.tsv"

if [ "$form" = vset ]; then
  if [ "$wrong" -gt 0 ]; then
    say "NO-GO: $wrong counts are wrong"
    exit 1
  fi
  say "the counts are right; tranship reads no vector sets, so vectors and attributes were not compared"
  exit 2
fi

mkdir -p "$pulled"
rm -f "$pulled/dump.rdb"
cli --rdb "$pulled/dump.rdb" >&2 || die "the server gave no dump"

if ! command -v "$tranship" >/dev/null 2>&1; then
  say "tranship is not here; compare where it is, with:"
  say "  tranship verify $source redis:$pulled/dump.rdb --option-b bundle=$here/mapping.json --option-b db=${REDIS_DB:-0} --mapping $here/mapping.json"
  if [ "$wrong" -gt 0 ]; then
    say "NO-GO: $wrong counts are wrong"
    exit 1
  fi
  exit 2
fi
verdict=0
"$tranship" verify "$source" "redis:$pulled/dump.rdb" --option-b "bundle=$here/mapping.json" --option-b "db=${REDIS_DB:-0}" \
  --mapping "$here/mapping.json" || verdict=$?
case $verdict in
  0) ;;
  1) wrong=$((wrong + 1)) ;;
  *) die "tranship verify could not compare (exit $verdict)" ;;
esac
if [ "$wrong" -gt 0 ]; then
  say "NO-GO: the keys are not the source's"
  exit 1
fi
say "GO: every record is there"
