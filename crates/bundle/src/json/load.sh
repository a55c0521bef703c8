#!/usr/bin/env bash
# Loads this bundle. Needs bash and @NEEDS@.
#
#   bash load.sh             creates what is needed and loads it; refuses if it is already there
#   bash load.sh --resume    goes on: sends what has not been acknowledged yet
#
@VARIABLES@
# JOBS             files on their way at a time, default 2
# STATE_DIR        where acknowledged files are marked, default .loaded beside this script
# RETRIES, RETRY_SECONDS, REQUEST_SECONDS   patience: 8 tries, first pause 1 s, 900 s for one request
@COMMON@
@FUNCTIONS@
cd "$here"
mark() { printf '%s/%s.done' "$state" "$(basename "$1")"; }

# Sends one file; xargs runs this script again for each.
if [ "${1:-}" = --file ]; then
  if put "$2"; then
    : >"$(mark "$2")"
    exit 0
  fi
  say "error: $2 was not taken: $(head -c 600 "$answer" 2>/dev/null || true)"
  exit 255 # makes xargs start no further file
fi

resume=no
for argument in "$@"; do
  case $argument in
    --resume) resume=yes ;;
    *) die "unknown option $argument; the only one is --resume" ;;
  esac
done
present=0
while IFS=$'\t' read -r file _ _; do
  [ -e "$file" ] || die "$file is missing; copy the bundle again"
  present=$((present + 1))
done <files.tsv
[ "$present" -eq "$bodies" ] || die "files.tsv lists $present files, this bundle has $bodies; copy it again"

mkdir -p "$state"
if [ -e "$state/place" ] && [ "$(cat "$state/place")" != "$(place)" ]; then
  die "$state belongs to $(cat "$state/place"); set STATE_DIR to another directory for $(place)"
fi
if is_there; then
  [ "$resume" = yes ] || die "there is something already: $(place). Go on with --resume, or remove it with undo.sh"
else
  # Marks of an earlier load say nothing about what is made now.
  find "$state" -name '*.done' -exec rm -f {} +
  create
  say "made $(place)"
fi
place >"$state/place"

waiting() {
  while IFS=$'\t' read -r file _ _; do
    if [ ! -e "$(mark "$file")" ]; then printf '%s\n' "$file"; fi
  done <files.tsv
}
left=$(waiting | wc -l)
say "$left of $bodies files to send"
if [ "$left" -gt 0 ]; then
  waiting | STATE_DIR=$state xargs -n 1 -P "${JOBS:-2}" bash "$here/load.sh" --file ||
    die "not all files were taken; mend the cause and run: bash load.sh --resume"
fi
finish
say "loaded $records records. Next: bash check.sh"
