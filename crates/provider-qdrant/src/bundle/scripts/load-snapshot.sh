#!/usr/bin/env bash
# Loads this bundle into Qdrant: uploads its snapshot, which creates the collection. Needs bash and curl.
#
#   bash load.sh             refuses if the collection is already there
#   bash load.sh --resume    after an interruption: uploads once more, unless that was done already
#
# QDRANT_URL       server, default http://127.0.0.1:6333
# QDRANT_API_KEY   key, if the server wants one
# STATE_DIR        where the finished upload is marked, default .loaded beside this script
# RETRIES, RETRY_SECONDS, REQUEST_SECONDS   patience: 2 tries, first pause 1 s, a day for the upload
RETRIES=${RETRIES:-2}
REQUEST_SECONDS=${REQUEST_SECONDS:-86400}
@COMMON@
state=${STATE_DIR:-$here/.loaded}
case $state in
  /*) ;;
  *) state=$PWD/$state ;;
esac
snapshot=data/collection.snapshot
bytes=@BYTES@
sha256=@SHA256@
records=@ROWS@
cd "$here"

resume=no
for argument in "$@"; do
  case $argument in
    --resume) resume=yes ;;
    *) die "unknown option $argument; the only one is --resume" ;;
  esac
done

present=$(wc -c <"$snapshot" 2>/dev/null || printf 0)
if [ "$present" -ne "$bytes" ]; then
  die "$snapshot has $present bytes, this bundle's has $bytes; copy the bundle again"
fi

mkdir -p "$state"
if [ -e "$state/server" ] && [ "$(cat "$state/server")" != "$api" ]; then
  die "$state belongs to $(cat "$state/server"); set STATE_DIR to another directory for $api"
fi

mark=$state/collection.snapshot.done
status=$(request GET "$api" "$answer")
case $status in
  200)
    if [ "$resume" = no ]; then
      die "the collection is already there: $api. Go on with --resume, or remove it with undo.sh"
    fi
    ;;
  404) rm -f "$mark" ;;
  *) die "$(explain "$status" "$answer")" ;;
esac
printf '%s' "$api" >"$state/server"

if [ ! -e "$mark" ]; then
  say "uploading $bytes bytes"
  # curl writes the content type of the form itself, with its boundary.
  json_type=$content_type content_type='X-Bundle: snapshot'
  status=$(request POST "$api/snapshots/upload?wait=true&priority=snapshot&checksum=$sha256" "$answer" \
    --form "snapshot=@$snapshot;type=application/octet-stream")
  content_type=$json_type
  if [ "$status" != 200 ]; then
    die "the snapshot was not taken: $(explain "$status" "$answer"). What it left behind goes with: bash undo.sh --yes"
  fi
  : >"$mark"
fi

for body in payload-index-*.json; do
  if [ -e "$body" ]; then send PUT "$api/index?wait=true" --data-binary "@$body"; fi
done
send POST "$api/points/count" --data-binary '{"exact":true}'
found=$(sed -n 's/.*"count"[[:space:]]*:[[:space:]]*\([0-9][0-9]*\).*/\1/p' "$answer")
if [ "$found" != "$records" ]; then
  die "the server counts ${found:-no} points of $records. Is it Qdrant 1.14 or newer? Take it back with: bash undo.sh"
fi
say "loaded $records points; Qdrant builds its index now. Next: bash check.sh"
