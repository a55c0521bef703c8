need vespa
target=${VESPA_TARGET:-local}
type=$(plain "$collection")
place() { printf 'vespa %s, document type %s' "$target" "$type"; }

# visit [options]: every document of the type, one per line.
visit() { vespa visit --target "$target" --selection "$type" "$@"; }

is_there() {
  visit --field-set '[id]' >"$answer" 2>"$answer.said" ||
    die "vespa visit: $(head -c 600 "$answer.said"); is the application deployed? vespa deploy --wait 300 app"
  [ -s "$answer" ]
}

create() { :; } # the application makes the type

# A number out of the metrics that the feeder prints.
metric() { sed -n 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*\([0-9][0-9]*\).*/\1/p' "$answer" | tail -n 1; }

put() {
  local file rows
  while IFS='|' read -r file rows _; do
    if [ "$file" != "$1" ]; then continue; fi
    if ! vespa feed --target "$target" "$file" >"$answer" 2>"$answer.said"; then
      cat "$answer.said" >>"$answer"
      return 1
    fi
    if [ "$(metric feeder.ok.count)" = "$rows" ] && [ "$(metric feeder.error.count)" = 0 ]; then return 0; fi
    cat "$answer.said" >>"$answer"
    say "$(metric feeder.ok.count) of $rows documents fed, $(metric feeder.error.count) errors"
    return 1
  done < <(tr '\t' '|' <"$here/files.tsv")
  return 1
}

finish() { :; }

counts() {
  visit --field-set '[id]' >"$answer" 2>"$answer.said" || die "vespa visit: $(head -c 600 "$answer.said")"
  compare documents "$records" "$(grep -c . "$answer" || true)"
}

pull() {
  visit >"$pages/page-000001.jsonl" 2>"$answer.said" || die "vespa visit: $(head -c 600 "$answer.said")"
}

remove() {
  visit --field-set '[id]' >"$answer" 2>"$answer.said" || die "vespa visit: $(head -c 600 "$answer.said")"
  # A quote within an id is escaped, so the first unescaped one ends it.
  sed -n 's/^.*"id"[[:space:]]*:[[:space:]]*\("id:\([^"\\]\|\\.\)*"\).*$/{"remove":\1}/p' "$answer" >"$answer.remove"
  if [ -s "$answer.remove" ]; then
    vespa feed --target "$target" "$answer.remove" >"$answer" 2>"$answer.said" ||
      die "vespa feed: $(head -c 600 "$answer.said")"
  fi
}
