"""A tranship hook: wordllama's static vectors, offline and fast. Protocol: README.md beside this file.

    pip install wordllama==0.4.0.post1
    tranship reembed SRC DST --with 'python docs/hooks/wordllama_static.py'

The package brings the weights of 256 dimensions.
"""

import json
import pathlib
import sys
from importlib.metadata import version

import wordllama

DIMS = 256


def main():
    json.loads(sys.stdin.readline())
    # The package looks for its own tokenizer where it keeps downloads only, so that is where it is told to look.
    package = pathlib.Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(dim=DIMS, cache_dir=package, disable_download=True)
    about = {"model": f"wordllama-l2-supercat-{DIMS} {version('wordllama')}", "dims": DIMS, "normalised": True}
    print(json.dumps({"tranship_hook": 1, **about}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        vectors = model.embed(asked["texts"], norm=True)
        print(json.dumps({"batch": asked["batch"], "vectors": [vector.tolist() for vector in vectors]}), flush=True)


if __name__ == "__main__":
    main()
