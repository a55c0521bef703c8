#!/usr/bin/env bash
# Deletes the index that load.sh made. Needs bash and curl.
#
#   bash undo.sh         asks first
#   bash undo.sh --yes   does not ask
@COMMON@
case ${1:-} in
  --yes) ;;
  '')
    printf 'Delete the index %s with all its records? Type yes: ' "$index" >&2
    read -r reply || reply=no
    if [ "$reply" != yes ]; then
      say "nothing was deleted"
      exit 1
    fi
    ;;
  *) die "unknown option $1; the only one is --yes" ;;
esac
send DELETE "$control/indexes/$index"
rm -f "$state/import"
say "deleted $index"
