"""Checks a directory against RFC 8493 with bagit-python: every payload and tag file, sizes and digests.

usage: python bag_validate.py DIR

Exit code 0 when the bag is valid; 1, with the reason on stderr, when it is not.
"""

import argparse
import sys

import bagit


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("directory")
    options = arguments.parse_args()
    try:
        bagit.Bag(options.directory).validate(completeness_only=False)
    except bagit.BagError as error:
        sys.exit(f"{options.directory}: {error}")
    print("valid")


if __name__ == "__main__":
    main()
