need mongoimport mongoexport mongosh
: "${MONGODB_URI:?set it to the address with the database in it}"
export MONGODB_URI
name=$(plain "$collection")

# The address goes to the tools through a file that nobody else may read, so that it stands in no process list.
config=$answer.config
escaped=${MONGODB_URI//\\/\\\\}
(umask 077 && printf 'uri: "%s"\n' "${escaped//\"/\\\"}" >"$config")

place() { printf 'mongodb collection %s' "$name"; }

shell() {
  TRANSHIP_COMMAND=$1 mongosh --nodb --quiet "$here/commands.js" >"$answer" 2>"$answer.said" ||
    die "mongosh, $1: $(head -c 600 "$answer.said" "$answer" 2>/dev/null)"
  tail -n 1 "$answer"
}

is_there() {
  local there
  there=$(shell is_there) || exit 2
  [ "$there" = yes ]
}

create() { shell create >/dev/null; }

put() {
  local file rows imported
  while IFS='|' read -r file rows _; do
    if [ "$file" != "$1" ]; then continue; fi
    if ! mongoimport --config "$config" --collection "$name" --type json --mode upsert --stopOnError --file "$file" \
      >"$answer" 2>&1; then
      return 1
    fi
    imported=$(sed -n 's/.*[^0-9]\([0-9][0-9]*\) document(s) imported successfully\. 0 document(s) failed.*/\1/p' "$answer")
    if [ "$imported" = "$rows" ]; then return 0; fi
    say "${imported:-not all} of $rows documents imported"
    return 1
  done < <(tr '\t' '|' <"$here/files.tsv")
  return 1
}

finish() { shell index >/dev/null; }

counts() {
  local found
  found=$(shell count) || exit 2
  compare documents "$records" "$found"
}

pull() {
  mongoexport --config "$config" --collection "$name" --out "$pages/page-000001.jsonl" >"$answer" 2>&1 ||
    die "mongoexport: $(head -c 600 "$answer")"
}

remove() { shell remove >/dev/null; }
