@COMMON@
drop
rm -rf .loaded
echo "$collection is dropped"
