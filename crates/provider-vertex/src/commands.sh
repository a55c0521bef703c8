need gcloud
folder=${VERTEX_GCS:?set it to a folder of Cloud Storage for the batch alone, as gs://BUCKET/FOLDER}
folder=${folder%/}
region=${VERTEX_REGION:?set it to the region of the index}
name=$(plain "$collection")
place() { printf 'vertex index %s from %s' "$name" "$folder"; }

# ai WORDS..: gcloud ai, in the region and project.
ai() {
  gcloud ai "$@" --region "$region" ${VERTEX_PROJECT:+--project "$VERTEX_PROJECT"} 2>"$answer.said" ||
    die "gcloud ai $1 $2: $(head -c 600 "$answer.said")"
}

index() { ai indexes list --filter "displayName=\"$name\"" --format 'value(name)' | head -n 1; }

is_there() {
  local found
  gcloud storage ls "$folder/**" >"$answer" 2>&1 && return 0
  grep -q 'matched no objects' "$answer" || die "gcloud storage: $(head -c 600 "$answer")"
  found=$(index) || exit 2
  [ -n "$found" ]
}

create() { :; }

put() { gcloud storage cp "$1" "$folder/" >"$answer.$$" 2>&1 || { cp "$answer.$$" "$answer"; return 1; }; }

finish() {
  local found
  found=$(index) || exit 2
  if [ -n "$found" ]; then return 0; fi
  sed "s|CONTENTS_DELTA_URI|$folder|" "$here/index.json" >"$answer.index"
  ai indexes create --display-name "$name" --metadata-file "$answer.index" >"$answer"
}

counts() {
  local found refused count
  found=$(index) || exit 2
  [ -n "$found" ] || die "there is no index called $name yet; it takes about an hour"
  ai operations list --index "${found##*/}" --format json >"$answer"
  refused=$({ grep -Eo '"invalid(Sparse)?RecordCount"[[:space:]]*:[[:space:]]*"?[0-9]+' "$answer" || true; } |
    { grep -Eo '[0-9]+$' || true; } | awk '{ sum += $1 } END { print sum + 0 }')
  compare 'refused records' 0 "$refused"
  count=$(ai indexes describe "${found##*/}" --format 'value(indexStats.vectorsCount)') || exit 2
  compare records "$records" "$(printf '%s' "$count" | tr -dc '0-9')"
}

pull() {
  local file
  mkdir -p "$pages/batch"
  gcloud storage cp "$folder/*" "$pages/batch/" >"$answer" 2>&1 || die "gcloud storage: $(head -c 600 "$answer")"
  for file in "$pages"/batch/*; do mv "$file" "$pages/page-$(basename "$file")"; done
  rmdir "$pages/batch"
}

remove() {
  local found
  found=$(index) || exit 2
  if [ -n "$found" ]; then ai indexes delete "${found##*/}" --quiet >"$answer"; fi
  gcloud storage rm "$folder/**" >"$answer" 2>&1 || die "gcloud storage: $(head -c 600 "$answer")"
}
