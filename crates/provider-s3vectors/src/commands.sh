need aws
bucket=${S3VECTORS_BUCKET:?set it to the name of the vector bucket}
index=$(plain "$collection")
vectors() { aws s3vectors "$@" --vector-bucket-name "$bucket" --index-name "$index" --output json; }
place() { printf 's3vectors %s/%s' "$bucket" "$index"; }

is_there() {
  if vectors get-index >"$answer" 2>&1; then return 0; fi
  grep -q 'NotFoundException' "$answer" || die "get-index: $(head -c 600 "$answer")"
  return 1
}

create() {
  vectors create-index --cli-input-json "file://$here/index.json" >"$answer" 2>&1 ||
    die "create-index: $(head -c 600 "$answer")"
}

# A call takes all of its vectors or none.
put() { vectors put-vectors --cli-input-json "file://$1" >"$answer.$$" 2>&1 || { cp "$answer.$$" "$answer"; return 1; }; }

finish() { :; }

# There is no count but that of a listing.
counts() {
  local found
  found=$(vectors list-vectors --query 'length(vectors)') || die "list-vectors failed"
  compare vectors "$records" "$(printf '%s' "$found" | tr -d '[:space:]')"
}

pull() {
  local page=0 token=() next
  while :; do
    page=$((page + 1))
    vectors list-vectors --no-paginate --max-results 500 --return-data --return-metadata \
      ${token[@]+"${token[@]}"} >"$answer" 2>"$answer.said" || die "list-vectors: $(head -c 600 "$answer.said")"
    cp "$answer" "$pages/page-$(printf '%06d' "$page").json"
    next=$({ grep -ao '^ \{2,4\}"nextToken"[[:space:]]*:[[:space:]]*"[^"]*"' "$answer" || true; } |
      tail -n 1 | sed 's/^[^:]*:[[:space:]]*"//; s/"$//')
    if [ -z "$next" ]; then break; fi
    token=(--next-token "$next")
  done
}

remove() { vectors delete-index >"$answer" 2>&1 || die "delete-index: $(head -c 600 "$answer")"; }
