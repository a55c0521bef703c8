#!/usr/bin/env bash
# Deletes the keys that load.sh made, and the index. Needs bash and redis-cli.
#
#   bash undo.sh         asks first
#   bash undo.sh --yes   does not ask
#
# REDIS_HOST, ..., STATE_DIR   as for load.sh
@COMMON@
state=${STATE_DIR:-$here/.loaded}
case ${1:-} in
  --yes) ;;
  '')
    printf 'Delete all keys %s of %s? Type yes: ' "$pattern" "${server[*]}" >&2
    read -r reply || reply=no
    if [ "$reply" != yes ]; then
      say "nothing was deleted"
      exit 1
    fi
    ;;
  *) die "unknown option $1; the only one is --yes" ;;
esac

if [ "$form" = hash ]; then
  # There may be no index, or no module for one.
  cli --pipe <"$here/drop-index.resp" >/dev/null 2>&1 || true
fi
deleted=$(walk "$pattern" "$unlink_page") || exit 2
find "$state" -name '*.done' -exec rm -f {} + 2>/dev/null || true
rm -f "$state/server"
say "deleted $deleted keys"
