set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
redis_cli=${REDIS_CLI:-redis-cli}
form=@FORM@
server=(-n "${REDIS_DB:-0}")
if [ -n "${REDIS_SOCKET:-}" ]; then
  server+=(-s "$REDIS_SOCKET")
else
  server+=(-h "${REDIS_HOST:-127.0.0.1}" -p "${REDIS_PORT:-6379}")
fi
if [ -n "${REDIS_USER:-}" ]; then server+=(--user "$REDIS_USER"); fi
if [ "${REDIS_TLS:-no}" = yes ]; then server+=(--tls); fi

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 2
}

cli() { "$redis_cli" "${server[@]}" "$@"; }

command -v "$redis_cli" >/dev/null 2>&1 || die "there is no $redis_cli here; set REDIS_CLI (valkey-cli will do)"
pong=$(cli ping 2>&1) || die "no answer from the server: $pong"
[ "$pong" = PONG ] || die "the server says: $pong (REDISCLI_AUTH holds the password)"
IFS= read -r pattern <"$here/pattern.txt"

# walk PATTERN SCRIPT: runs a Lua script on the server for every page of keys; prints the sum of what it returns. Keys
# are any bytes, so they never come here. SCAN may tell a key twice while the server grows its table: a count that is too
# high may be counted again.
walk() {
  local cursor=0 sum=0 reply
  while :; do
    reply=$(cli --raw EVAL "local r = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000) $2" 0 "$cursor" "$1")
    case $reply in
      *[!0-9$'\n']* | '') die "the server says: $reply" ;;
    esac
    cursor=${reply%%$'\n'*}
    sum=$((sum + ${reply##*$'\n'}))
    if [ "$cursor" = 0 ]; then break; fi
  done
  printf '%s' "$sum"
}
count_page='return {r[1], #r[2]}'
unlink_page="for _, key in ipairs(r[2]) do redis.call('UNLINK', key) end return {r[1], #r[2]}"
