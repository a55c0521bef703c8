set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
control=${PINECONE_CONTROL_URL:-https://api.pinecone.io}
index='@INDEX@'
records=@ROWS@
retries=${RETRIES:-8}
first_pause=${RETRY_SECONDS:-1}
state=${STATE_DIR:-$here/.loaded}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 2
}

# The key goes to curl through a pipe, so that it stands in no process list and in no file.
curl_config() {
  local key=${PINECONE_API_KEY:?set PINECONE_API_KEY}
  key=${key//\\/\\\\}
  printf 'header = "Api-Key: %s"\n' "${key//\"/\\\"}"
}

# request METHOD URL ANSWER [curl options]: prints the HTTP status and leaves the answer in the file ANSWER.
# No connection, 408, 429 and 5xx are tried again with growing pauses.
request() {
  local method=$1 url=$2 answer=$3 attempt=0 pause=$first_pause status
  shift 3
  while :; do
    status=$(curl_config | curl --silent --show-error --globoff --config - --request "$method" \
      --header 'Content-Type: application/json' --header 'X-Pinecone-Api-Version: 2025-10' \
      --max-time "${REQUEST_SECONDS:-300}" --output "$answer" --write-out '%{http_code}' "$@" "$url") || status=000
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

# send METHOD URL [curl options]: a request that must succeed; the answer is left in $answer.
send() {
  local status
  status=$(request "$1" "$2" "$answer" "${@:3}")
  case $status in
    2??) ;;
    000) die "$1 $2: no answer" ;;
    *) die "$1 $2: HTTP $status: $(head -c 600 "$answer" 2>/dev/null || true)" ;;
  esac
}

# field NAME: the first value of that name in the answer, a text without escapes or a number.
field() {
  { LC_ALL=C grep -ao "\"$1\"[[:space:]]*:[[:space:]]*[^,}]*" "$answer" || true; } | head -n 1 |
    sed 's/^[^:]*:[[:space:]]*//; s/^"//; s/"[[:space:]]*$//'
}

answer=$(mktemp "${TMPDIR:-/tmp}/pinecone-answer.XXXXXX")
trap 'rm -f "$answer"' EXIT

# find_host: the index's own address; fails if there is no such index.
find_host() {
  local status
  status=$(request GET "$control/indexes/$index" "$answer")
  case $status in
    200) ;;
    404) return 1 ;;
    *) die "GET $control/indexes/$index: HTTP $status: $(head -c 600 "$answer")" ;;
  esac
  host=$(field host)
  case $host in
    http://* | https://*) ;;
    *) host=https://$host ;;
  esac
}
