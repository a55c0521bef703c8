#!/usr/bin/env bash
# Loads this bundle into Qdrant. Needs bash and curl.
#
#   bash load.sh             creates the collection and loads it; refuses if it is already there
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
bodies=@BODIES@
cd "$here"

# Sends one body; xargs runs this script again for each.
if [ "${1:-}" = --body ]; then
  status=$(request PUT "$api/points?wait=true" "$answer" --data-binary "@$2")
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

present=$({ find data -name 'points-*.json' 2>/dev/null || true; } | wc -l)
if [ "$present" -ne "$bodies" ]; then
  die "data/ holds $present bodies, this bundle has $bodies; copy the bundle again"
fi
if [ ! -e schema.json ] && [ "$bodies" -eq 0 ]; then
  say "the collection is empty and has no dimensions: nothing to load"
  exit 0
fi

mkdir -p "$state"
if [ -e "$state/server" ] && [ "$(cat "$state/server")" != "$api" ]; then
  die "$state belongs to $(cat "$state/server"); set STATE_DIR to another directory for $api"
fi

status=$(request GET "$api" "$answer")
case $status in
  200)
    if [ "$resume" = no ]; then
      die "the collection is already there: $api. Go on with --resume, or remove it with undo.sh"
    fi
    ;;
  404)
    if [ ! -e schema.json ]; then
      die "this bundle has no schema.json, for its source knows no dimensions: create the collection yourself, then load.sh --resume"
    fi
    # Marks of an earlier collection of that name say nothing about the new one.
    find "$state" -name 'points-*.json.done' -exec rm -f {} +
    status=$(request PUT "$api" "$answer" --data-binary @schema.json)
    # 409: the answer to an earlier try was lost on its way.
    case $status in
      200 | 409) say "created $api" ;;
      *) die "the collection could not be created: $(explain "$status" "$answer")" ;;
    esac
    ;;
  *) die "$(explain "$status" "$answer")" ;;
esac
printf '%s' "$api" >"$state/server"

waiting() {
  { find data -name 'points-*.json' 2>/dev/null || true; } | LC_ALL=C sort | while IFS= read -r body; do
    if [ ! -e "$state/$(basename "$body").done" ]; then printf '%s\n' "$body"; fi
  done
}
left=$(waiting | wc -l)
say "$left of $bodies bodies to send"
if [ "$left" -gt 0 ]; then
  waiting | STATE_DIR=$state xargs -n 1 -P "${JOBS:-2}" bash "$here/load.sh" --body ||
    die "not all bodies were taken; mend the cause and run: bash load.sh --resume"
fi

for body in payload-index-*.json; do
  if [ -e "$body" ]; then send PUT "$api/index?wait=true" --data-binary "@$body"; fi
done
if [ -e schema-after-load.json ]; then
  send PATCH "$api" --data-binary @schema-after-load.json
fi
say "loaded @ROWS@ points; Qdrant builds its index now. Next: bash check.sh"
