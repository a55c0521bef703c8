@COMMON@
python3 -W ignore::DeprecationWarning load.py "$@"
