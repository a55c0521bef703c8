#!/usr/bin/env bash
# Brings a table from the set that this delta was made from to the next one, in one transaction. Needs bash and psql. May be
# stopped and run again at any time.
#
#   bash load.sh             deletes what is gone, writes what is new or changed
#   bash load.sh --resume    the same
#
# PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGOPTIONS   psql's own; or DATABASE_URL, seen in the process list
# CHECKSUMS              no: do not compare the files with data.sha256 first
# PSQL                   the binary, default psql
# RETRIES, RETRY_SECONDS patience with a lost connection: 8 tries, first pause 1 s
@COMMON@
cd "$here"
for argument in "$@"; do
  case $argument in
    --resume) ;;
    *) die "unknown option $argument; the only one is --resume" ;;
  esac
done
present=$({ find data -name 'rows-*.bin' -o -name 'deletes-*.txt' 2>/dev/null || true; } | wc -l)
if [ "$present" -ne @FILES@ ]; then
  die "data/ holds $present files, this bundle has @FILES@; copy the bundle again"
fi
if [ "${CHECKSUMS:-yes}" != no ] && [ "$present" -gt 0 ] && command -v sha256sum >/dev/null 2>&1; then
  sha256sum --check --quiet data.sha256 >&2 || die "a file is not what it was; copy the bundle again"
fi
run_sql -f delta.sql || die "the delta was not taken, and the table is as it was; mend the cause and run again"
say "the table is @ROWS@ rows now. Next: bash check.sh SOURCE, where SOURCE is the new set"
