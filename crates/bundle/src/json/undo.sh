#!/usr/bin/env bash
# Deletes what load.sh made. Needs bash and @NEEDS@.
#
#   bash undo.sh         asks first
#   bash undo.sh --yes   does not ask
#
@VARIABLES@
# STATE_DIR        as for load.sh
@COMMON@
@FUNCTIONS@
case ${1:-} in
  --yes) ;;
  '')
    printf 'Delete %s with all its records? Type yes: ' "$(place)" >&2
    read -r reply || reply=no
    if [ "$reply" != yes ]; then
      say "nothing was deleted"
      exit 1
    fi
    ;;
  *) die "unknown option $1; the only one is --yes" ;;
esac

cd "$here"
remove
find "$state" -name '*.done' -exec rm -f {} + 2>/dev/null || true
rm -f "$state/place"
say "deleted $(place)"
