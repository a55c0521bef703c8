#!/usr/bin/env bash
# Imports this bundle into a Pinecone index. Needs bash and curl; the folders below data/ must lie in object storage.
#
#   bash load.sh             creates the index, starts the import and waits for its end
#   bash load.sh --resume    waits for the import that was started, or starts it if none was
#
# PINECONE_API_KEY          key
# PINECONE_IMPORT_URI       where data/ was copied to: s3://BUCKET/DIR, gs://BUCKET/DIR or an Azure address
# PINECONE_INTEGRATION_ID   storage integration, for private buckets
# STATE_DIR                 where the import's id is kept, default .loaded beside this script
# POLL_SECONDS              pause between two looks, default 30
# RETRIES, RETRY_SECONDS, REQUEST_SECONDS   patience: 8 tries, first pause 1 s, 300 s for one request
@COMMON@
resume=no
for argument in "$@"; do
  case $argument in
    --resume) resume=yes ;;
    *) die "unknown option $argument; the only one is --resume" ;;
  esac
done
if [ ! -e "$here/schema.json" ]; then
  say "the collection is empty and has no dimensions: nothing to load"
  exit 0
fi
uri=${PINECONE_IMPORT_URI:-}
if [ -z "$uri" ]; then die "set PINECONE_IMPORT_URI to where data/ was copied to"; fi
case "$uri${PINECONE_INTEGRATION_ID:-}" in
  *[\"\\]*) die "PINECONE_IMPORT_URI and PINECONE_INTEGRATION_ID may not contain quotes or backslashes" ;;
esac

mkdir -p "$state"
if find_host; then
  if [ "$resume" = no ]; then
    die "the index is already there: $index. Go on with --resume, or remove it with undo.sh"
  fi
else
  rm -f "$state/import"
  send POST "$control/indexes" --data-binary "@$here/schema.json"
  say "created $index"
  find_host || die "the index that was created is not there"
fi
while :; do
  find_host || die "the index is gone"
  if LC_ALL=C grep -aq '"ready"[[:space:]]*:[[:space:]]*true' "$answer"; then break; fi
  say "waiting for the index"
  sleep "${POLL_SECONDS:-30}"
done

if [ ! -e "$state/import" ]; then
  if [ "$records" -eq 0 ]; then
    say "the collection is empty: nothing to import"
    exit 0
  fi
  integration=
  if [ -n "${PINECONE_INTEGRATION_ID:-}" ]; then
    integration=",\"integrationId\":\"$PINECONE_INTEGRATION_ID\""
  fi
  # Without abort, bad records are left out and nobody says which.
  send POST "$host/bulk/imports" --data-binary "{\"uri\":\"$uri\"$integration,\"errorMode\":{\"onError\":\"abort\"}}"
  started=$(field id)
  if [ -z "$started" ]; then die "the import has no id: $(head -c 600 "$answer")"; fi
  printf '%s' "$started" >"$state/import"
fi
started=$(cat "$state/import")
say "import $started is under way"
while :; do
  send GET "$host/bulk/imports/$started"
  status=$(field status)
  case $status in
    Completed) break ;;
    Failed | Cancelled)
      rm -f "$state/import"
      die "import $started: $status: $(head -c 600 "$answer"). Its namespaces must be empty for the next: bash undo.sh, then bash load.sh"
      ;;
    Pending | InProgress) ;;
    *) die "import $started has a status that is unknown here: $(head -c 600 "$answer")" ;;
  esac
  say "$status, $(field percentComplete) %"
  sleep "${POLL_SECONDS:-30}"
done
imported=$(field recordsImported)
if [ "$imported" != "$records" ]; then
  die "the import took $imported of $records records"
fi
say "imported $records records; they can be seen in about ten minutes. Next: bash check.sh"
