#!/usr/bin/env bash
# Deletes the collection that load.sh made. Needs bash and curl.
#
#   bash undo.sh         asks first
#   bash undo.sh --yes   does not ask
#
# QDRANT_URL, QDRANT_API_KEY, STATE_DIR   as for load.sh
@COMMON@
state=${STATE_DIR:-$here/.loaded}

case ${1:-} in
  --yes) ;;
  '')
    printf 'Delete %s with all its points? Type yes: ' "$api" >&2
    read -r reply || reply=no
    if [ "$reply" != yes ]; then
      say "nothing was deleted"
      exit 1
    fi
    ;;
  *) die "unknown option $1; the only one is --yes" ;;
esac

send DELETE "$api"
find "$state" -name '*.done' -exec rm -f {} + 2>/dev/null || true
rm -f "$state/server"
say "deleted $api"
