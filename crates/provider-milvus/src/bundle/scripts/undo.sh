@COMMON@
call collections/drop "$(body "{\"collectionName\": \"$collection\"}")"
rm -rf .loaded
echo "$collection is dropped"
