set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
collection='@COLLECTION@' # percent-encoded
bodies=@BODIES@
records=@ROWS@
retries=${RETRIES:-8}
first_pause=${RETRY_SECONDS:-1}
state=${STATE_DIR:-$here/.loaded}
case $state in
  /*) ;;
  *) state=$PWD/$state ;;
esac
wrong=0

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 2
}

# plain NAME: a percent-encoded name as it is.
plain() { printf '%b' "${1//%/\\x}"; }

# need PROGRAM..: stops if one is not here.
need() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 || die "this needs $program, which is not here"
  done
}

# Lines for curl's configuration; the provider's functions may set it. Keys go to curl through a pipe, so that they
# stand in no process list and in no file.
curl_config() { :; }

# header NAME VALUE: one line of it.
header() {
  local value=${2//\\/\\\\}
  printf 'header = "%s: %s"\n' "$1" "${value//\"/\\\"}"
}

# request METHOD URL ANSWER [curl options]: prints the HTTP status and leaves the answer in the file ANSWER.
# No connection, 408, 429 and 5xx are tried again with growing pauses.
request() {
  local method=$1 url=$2 into=$3 attempt=0 pause=$first_pause status
  shift 3
  while :; do
    status=$(curl_config | curl --silent --show-error --globoff --config - --request "$method" \
      --header 'Content-Type: application/json' --max-time "${REQUEST_SECONDS:-900}" \
      --output "$into" --write-out '%{http_code}' "$@" "$url") || status=000
    case $status in
      000 | 408 | 429 | 5??) ;;
      *) break ;;
    esac
    attempt=$((attempt + 1))
    if [ "$attempt" -gt "$retries" ]; then
      break
    fi
    say "HTTP $status from $method $url, trying again in $pause s ($attempt of $retries)"
    sleep "$pause"
    pause=$((pause * 2))
    if [ "$pause" -gt 30 ]; then pause=30; fi
  done
  printf '%s' "$status"
}

# explain STATUS: what to tell the user about a refused request.
explain() {
  case $1 in
    000) printf 'no answer; is the address right and the service up?' ;;
    401 | 403) printf 'HTTP %s; is the key right?' "$1" ;;
    *) printf 'HTTP %s: %s' "$1" "$(head -c 600 "$answer" 2>/dev/null || true)" ;;
  esac
}

# send METHOD URL [curl options]: a request that must succeed; the answer is left in $answer.
send() {
  local status
  status=$(request "$1" "$2" "$answer" "${@:3}")
  case $status in
    2??) ;;
    *) die "$1 $2: $(explain "$status")" ;;
  esac
}

# erase URL: a DELETE. 404 is as good: the answer to an earlier try may have been lost on its way.
erase() {
  local status
  status=$(request DELETE "$1" "$answer")
  case $status in
    2?? | 404) ;;
    *) die "DELETE $1: $(explain "$status")" ;;
  esac
}

# compare NAME WANTED FOUND
compare() {
  if [ "$2" = "$3" ]; then
    say "ok     $1: $3"
  else
    say "WRONG  $1: ${3:-no count} of $2"
    wrong=$((wrong + 1))
  fi
}

# The number after the first "KEY": in $answer.
number() { sed -n 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*\([0-9][0-9]*\).*/\1/p' "$answer" | head -n 1; }

answer=$(mktemp "${TMPDIR:-/tmp}/tranship-answer.XXXXXX")
trap 'rm -f "$answer" "$answer".*' EXIT

