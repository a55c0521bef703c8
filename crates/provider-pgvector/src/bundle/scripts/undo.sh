#!/usr/bin/env bash
# Drops the table that load.sh made, and its marks. Needs bash and psql.
#
#   bash undo.sh         asks first
#   bash undo.sh --yes   does not ask
#
# PGHOST, ..., PSQL   as for load.sh
@COMMON@
case ${1:-} in
  --yes) ;;
  '')
    printf 'Drop the table of this bundle with all its rows? Type yes: ' >&2
    read -r reply || reply=no
    if [ "$reply" != yes ]; then
      say "nothing was dropped"
      exit 1
    fi
    ;;
  *) die "unknown option $1; the only one is --yes" ;;
esac
run_sql -f "$here/undo.sql" || die "the table could not be dropped"
say "dropped"
