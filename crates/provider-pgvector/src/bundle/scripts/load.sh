#!/usr/bin/env bash
# Loads this bundle into PostgreSQL with pgvector. Needs bash and psql. May be stopped and run again at any time.
#
#   bash load.sh             creates the table, loads what has no mark yet, builds keys and indexes
#   bash load.sh --resume    the same
#
# PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGOPTIONS   psql's own; or DATABASE_URL, seen in the process list
# JOBS                   files on their way at a time, default 2
# MAINTENANCE_WORK_MEM   memory for building an index, as in 8GB: the graph should fit into it
# CHECKSUMS              no: do not compare the files with data.sha256 first
# PSQL                   the binary, default psql
# RETRIES, RETRY_SECONDS patience with a lost connection: 8 tries, first pause 1 s
@COMMON@
files=@FILES@
cd "$here"

for argument in "$@"; do
  case $argument in
    --resume) ;;
    *) die "unknown option $argument; the only one is --resume" ;;
  esac
done

present=$({ find data -name 'rows-*.bin' 2>/dev/null || true; } | wc -l)
if [ "$present" -ne "$files" ]; then
  die "data/ holds $present files, this bundle has $files; copy the bundle again"
fi
if [ "${CHECKSUMS:-yes}" != no ] && [ "$files" -gt 0 ] && command -v sha256sum >/dev/null 2>&1; then
  sha256sum --check --quiet data.sha256 >&2 || die "a file is not what it was; copy the bundle again"
fi

run_sql -f schema.sql || die "the table could not be created"

workers=${JOBS:-2}
pids=()
for ((worker = 0; worker < workers; worker++)); do
  run_sql -v "workers=$workers" -v "worker=$worker" -f data.sql &
  pids+=("$!")
done
failed=0
for pid in "${pids[@]}"; do
  wait "$pid" || failed=1
done
if [ "$failed" -ne 0 ]; then
  die "not all files were taken; mend the cause and run again: bash load.sh"
fi

if [ -n "${MAINTENANCE_WORK_MEM:-}" ]; then
  run_sql -v "maintenance_work_mem=$MAINTENANCE_WORK_MEM" -f index.sql || die "the indexes could not be built; run again"
else
  run_sql -f index.sql || die "the indexes could not be built; run again"
fi
say "loaded @ROWS@ rows. Next: bash check.sh"
