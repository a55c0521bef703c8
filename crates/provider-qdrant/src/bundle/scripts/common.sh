set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
server=${QDRANT_URL:-http://127.0.0.1:6333}
server=${server%/}
collection='@COLLECTION@'
api=$server/collections/$collection
retries=${RETRIES:-8}
first_pause=${RETRY_SECONDS:-1}
content_type='Content-Type: application/json'

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 2
}

# The key goes to curl through a pipe, so that it stands in no process list and in no file.
curl_config() {
  if [ -n "${QDRANT_API_KEY:-}" ]; then
    local key=${QDRANT_API_KEY//\\/\\\\}
    printf 'header = "api-key: %s"\n' "${key//\"/\\\"}"
  fi
}

# request METHOD URL ANSWER [curl options]: prints the HTTP status and leaves the answer in the file ANSWER.
# No connection, 408, 429 and 5xx are tried again with growing pauses.
request() {
  local method=$1 url=$2 answer=$3 attempt=0 pause=$first_pause status
  shift 3
  while :; do
    status=$(curl_config | curl --silent --show-error --globoff --config - --request "$method" \
      --header "$content_type" --max-time "${REQUEST_SECONDS:-900}" \
      --output "$answer" --write-out '%{http_code}' "$@" "$url") || status=000
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

# explain STATUS ANSWER: what to tell the user about a refused request.
explain() {
  case $1 in
    000) printf 'no answer from %s; is QDRANT_URL right and the server up?' "$server" ;;
    401 | 403) printf 'HTTP %s; is QDRANT_API_KEY right?' "$1" ;;
    *) printf 'HTTP %s: %s' "$1" "$(head -c 600 "$2" 2>/dev/null || true)" ;;
  esac
}

# send METHOD URL [curl options]: a request that must succeed; the answer is left in $answer.
send() {
  local status
  status=$(request "$1" "$2" "$answer" "${@:3}")
  if [ "$status" != 200 ]; then
    die "$1 $2: $(explain "$status" "$answer")"
  fi
}

answer=$(mktemp "${TMPDIR:-/tmp}/qdrant-answer.XXXXXX")
trap 'rm -f "$answer"' EXIT
