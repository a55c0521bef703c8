set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
psql=${PSQL:-psql}
retries=${RETRIES:-8}
first_pause=${RETRY_SECONDS:-1}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 2
}

# run_sql [psql options]: psql without the user's own settings; a lost connection (exit 2) is tried again with growing
# pauses, which every script of this bundle allows.
run_sql() {
  local attempt=0 pause=$first_pause status
  while :; do
    status=0
    if [ -n "${DATABASE_URL:-}" ]; then
      "$psql" -X -q -w -v ON_ERROR_STOP=1 -d "$DATABASE_URL" "$@" || status=$?
    else
      "$psql" -X -q -w -v ON_ERROR_STOP=1 "$@" || status=$?
    fi
    attempt=$((attempt + 1))
    if [ "$status" -ne 2 ] || [ "$attempt" -gt "$retries" ]; then
      return "$status"
    fi
    say "no connection, trying again in $pause s ($attempt of $retries)"
    sleep "$pause"
    pause=$((pause * 2))
    if [ "$pause" -gt 30 ]; then pause=30; fi
  done
}

command -v "$psql" >/dev/null 2>&1 || die "there is no $psql here; it comes with PostgreSQL's client, or set PSQL"
