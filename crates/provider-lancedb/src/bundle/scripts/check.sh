@COMMON@
python3 -W ignore::DeprecationWarning check.py
