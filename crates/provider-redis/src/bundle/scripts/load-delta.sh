#!/usr/bin/env bash
# Brings keys from the set that this delta was made from to the next one: deletes, then writes. Needs bash and redis-cli.
#
#   bash load.sh             refuses hashes that are not as many as the delta was made from
#   bash load.sh --resume    goes on: sends what has not been acknowledged yet
#
# REDIS_HOST, REDIS_PORT, REDIS_DB, REDIS_SOCKET, REDIS_USER, REDIS_TLS=yes   the server; REDISCLI_AUTH its password
# CHECKSUMS   no: do not compare the files with files.tsv and deletes.tsv first
# STATE_DIR   where acknowledged files are marked, default .loaded beside this script
# REDIS_CLI   the binary, default redis-cli
@COMMON@
state=${STATE_DIR:-$here/.loaded}
case $state in
  /*) ;;
  *) state=$PWD/$state ;;
esac
cd "$here"

resume=no
for argument in "$@"; do
  case $argument in
    --resume) resume=yes ;;
    *) die "unknown option $argument; the only one is --resume" ;;
  esac
done

present=$({ find data -name '*.resp' 2>/dev/null || true; } | wc -l)
if [ "$present" -ne @FILES@ ]; then
  die "data/ holds $present files, this bundle has @FILES@; copy the bundle again"
fi
if [ "${CHECKSUMS:-yes}" != no ] && [ "$present" -gt 0 ] && command -v sha256sum >/dev/null 2>&1; then
  cat deletes.tsv files.tsv | awk -F '\t' '{ print $3 "  " $1 }' | sha256sum --check --quiet >&2 ||
    die "a file is not what it was; copy the bundle again"
fi

mkdir -p "$state"
name="${server[*]}"
if [ -e "$state/server" ] && [ "$(cat "$state/server")" != "$name" ]; then
  die "$state belongs to $(cat "$state/server"); set STATE_DIR to another directory for $name"
fi
# counted WANTED WHEN: a hash is a key; a vector set is one key for many
counted() {
  local found
  if [ "$form" = hash ]; then
    found=$(walk "$pattern" "$count_page") || exit 2
    if [ "$found" -ne "$1" ]; then die "there are $found keys of this collection, $1 should be there $2"; fi
  fi
}
if [ "$resume" = no ]; then
  if [ -e "$state/server" ]; then
    die "this delta was begun before; go on with: bash load.sh --resume"
  fi
  counted @BASE@ "before the delta: load the set that it was made from first"
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

for list in deletes.tsv files.tsv; do
  while IFS=$'\t' read -r file commands _ <&3; do
    mark=$state/$(basename "$file").done
    if [ -e "$mark" ]; then continue; fi
    if [ "$list" = deletes.tsv ]; then
      # A delete that is sent again must not be the last word on a record that was written since.
      find "$state" -name 'commands-*.done' -exec rm -f {} +
    fi
    send "$file" "$commands" || die "$file was not taken; mend the cause and run: bash load.sh --resume"
    : >"$mark"
  done 3<"$list"
done
counted @ROWS@ "after the delta: somebody else writes to them"
say "all is written. Next: bash check.sh SOURCE, where SOURCE is the new set"
