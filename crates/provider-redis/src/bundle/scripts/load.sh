#!/usr/bin/env bash
# Loads this bundle into Redis or Valkey. Needs bash and redis-cli.
#
#   bash load.sh             sends all records; refuses if there are keys of this collection already
#   bash load.sh --resume    goes on: sends what has not been acknowledged yet
#
# REDIS_HOST, REDIS_PORT, REDIS_DB, REDIS_SOCKET, REDIS_USER, REDIS_TLS=yes   the server; REDISCLI_AUTH its password
# INDEX       no: do not create the search index
# CHECKSUMS   no: do not compare the files with files.tsv first
# STATE_DIR   where acknowledged files are marked, default .loaded beside this script
# REDIS_CLI   the binary, default redis-cli
@COMMON@
state=${STATE_DIR:-$here/.loaded}
case $state in
  /*) ;;
  *) state=$PWD/$state ;;
esac
files=@FILES@
cd "$here"

resume=no
for argument in "$@"; do
  case $argument in
    --resume) resume=yes ;;
    *) die "unknown option $argument; the only one is --resume" ;;
  esac
done

present=$({ find data -name 'commands-*.resp' 2>/dev/null || true; } | wc -l)
if [ "$present" -ne "$files" ]; then
  die "data/ holds $present files, this bundle has $files; copy the bundle again"
fi
if [ "${CHECKSUMS:-yes}" != no ] && [ "$files" -gt 0 ] && command -v sha256sum >/dev/null 2>&1; then
  awk -F '\t' '{ print $3 "  " $1 }' files.tsv | sha256sum --check --quiet >&2 ||
    die "a file is not what it was; copy the bundle again"
fi

mkdir -p "$state"
name="${server[*]}"
if [ -e "$state/server" ] && [ "$(cat "$state/server")" != "$name" ]; then
  die "$state belongs to $(cat "$state/server"); set STATE_DIR to another directory for $name"
fi
found=$(walk "$pattern" "$count_page") || exit 2
if [ "$found" -eq 0 ]; then
  # Marks of records that are gone say nothing.
  find "$state" -name '*.done' -exec rm -f {} +
elif [ "$resume" = no ]; then
  die "there are $found keys of this collection already. Go on with --resume, or remove them with undo.sh"
fi
printf '%s' "$name" >"$state/server"

# send FILE REPLIES: by --pipe; every reply must be there and none an error
send() {
  local answer status=0
  answer=$(cli --pipe <"$1" 2>&1) || status=$?
  case $answer in
    *"errors: 0, replies: $2") return "$status" ;;
  esac
  printf '%s\n' "$answer" | tail -n 5 >&2
  return 1
}

while IFS=$'\t' read -r file records _ <&3; do
  mark=$state/$(basename "$file").done
  if [ -e "$mark" ]; then continue; fi
  send "$file" "$records" || die "$file was not taken; mend the cause and run: bash load.sh --resume"
  : >"$mark"
done 3<files.tsv

if [ "$form" = hash ] && [ "${INDEX:-yes}" != no ] && [ ! -e "$state/index.done" ]; then
  answer=$(cli --pipe <index.resp 2>&1) || true
  case $answer in
    *"errors: 0, replies: 1" | *'Index already exists'*) : >"$state/index.done" ;;
    *'unknown command'*)
      die "all records are loaded, but this server has no search module for the index; INDEX=no leaves it out"
      ;;
    *) die "all records are loaded, but the index could not be created: $answer" ;;
  esac
fi
say "loaded @ROWS@ records. Next: bash check.sh"
