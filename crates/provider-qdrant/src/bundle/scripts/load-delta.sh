#!/usr/bin/env bash
# Brings a collection from the set that this delta was made from to the next one: deletes, then writes. Needs bash and curl.
#
#   bash load.sh             refuses a collection that does not hold the points that the delta was made from
#   bash load.sh --resume    goes on: sends what has not been acknowledged yet
#
# QDRANT_URL       server, default http://127.0.0.1:6333
# QDRANT_API_KEY   key, if the server wants one
# JOBS             bodies on their way at a time, default 2
# STATE_DIR        where acknowledged bodies are marked, default .loaded beside this script
# RETRIES, RETRY_SECONDS, REQUEST_SECONDS   patience: 8 tries, first pause 1 s, 900 s for one request
@COMMON@
state=${STATE_DIR:-$here/.loaded}
case $state in
  /*) ;;
  *) state=$PWD/$state ;;
esac
base=@BASE@
result=@ROWS@
cd "$here"

# Sends one body; xargs runs this script again for each.
if [ "${1:-}" = --body ]; then
  case $2 in
    data/deletes-*) status=$(request POST "$api/points/delete?wait=true" "$answer" --data-binary "@$2") ;;
    *) status=$(request PUT "$api/points?wait=true" "$answer" --data-binary "@$2") ;;
  esac
  if [ "$status" = 200 ]; then
    : >"$state/$(basename "$2").done"
    exit 0
  fi
  say "error: $2: $(explain "$status" "$answer")"
  exit 255 # makes xargs start no further body
fi

resume=no
for argument in "$@"; do
  case $argument in
    --resume) resume=yes ;;
    *) die "unknown option $argument; the only one is --resume" ;;
  esac
done

bodies() { { find data -name "$1-*.json" 2>/dev/null || true; } | LC_ALL=C sort; }
if [ "$(bodies points | wc -l)" -ne @BODIES@ ] || [ "$(bodies deletes | wc -l)" -ne @DELETES@ ]; then
  die "data/ does not hold @BODIES@ bodies of points and @DELETES@ of deletes; copy the bundle again"
fi

mkdir -p "$state"
if [ -e "$state/server" ] && [ "$(cat "$state/server")" != "$api" ]; then
  die "$state belongs to $(cat "$state/server"); set STATE_DIR to another directory for $api"
fi
status=$(request GET "$api" "$answer")
case $status in
  200) ;;
  404) die "there is no collection $api; this bundle only changes one" ;;
  *) die "$(explain "$status" "$answer")" ;;
esac

count() {
  send POST "$api/points/count" --data-binary '{"exact":true}'
  sed -n 's/.*"count"[[:space:]]*:[[:space:]]*\([0-9][0-9]*\).*/\1/p' "$answer"
}
if [ "$resume" = no ]; then
  if [ -e "$state/server" ]; then
    die "this delta was begun before; go on with: bash load.sh --resume"
  fi
  found=$(count)
  if [ "$found" != "$base" ]; then
    die "the collection holds ${found:-no} points, the delta was made from $base; load the set that it was made from first"
  fi
fi
printf '%s' "$api" >"$state/server"

# waiting KIND: the bodies that have no mark
waiting() {
  bodies "$1" | while IFS= read -r body; do
    if [ ! -e "$state/$(basename "$body").done" ]; then printf '%s\n' "$body"; fi
  done
}
# A delete that is sent again must not be the last word on a point that was written since.
if [ "$(waiting deletes | wc -l)" -gt 0 ]; then
  find "$state" -name 'points-*.json.done' -exec rm -f {} +
fi
for kind in deletes points; do
  left=$(waiting $kind | wc -l)
  say "$left bodies of $kind to send"
  if [ "$left" -gt 0 ]; then
    waiting $kind | STATE_DIR=$state xargs -n 1 -P "${JOBS:-2}" bash "$here/load.sh" --body ||
      die "not all bodies were taken; mend the cause and run: bash load.sh --resume"
  fi
done
found=$(count)
if [ "$found" != "$result" ]; then
  die "the collection holds ${found:-no} points, $result should be there: somebody else writes to it, or it was another set"
fi
say "the collection holds $result points as the delta says. Next: bash check.sh SOURCE, where SOURCE is the new set"
