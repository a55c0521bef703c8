"""A tranship hook for any server that speaks the OpenAI embeddings API. Protocol: README.md beside this file.

    OPENAI_API_KEY=.. tranship reembed SRC DST --with 'python docs/hooks/openai_http.py --model text-embedding-3-small --dims 1536' \\
        --batch 256 --concurrency 4 --price 0.00002 --max-cost 5

Only the standard library. The network is this script's alone: tranship itself opens no connection. A server that is busy or failing
(429, 5xx, no answer) makes the batch fail, and tranship asks it again after a pause; an answer that says the request itself is wrong (other 4xx) is
looked into text by text, so that one bad text does not take its batch with it.
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request


class Refused(Exception):
    """The server says that the request is wrong."""


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--dims", type=int, required=True)
    parser.add_argument("--url", default=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))
    parser.add_argument("--shorten", action="store_true", help="ask the server for --dims dimensions")
    parser.add_argument("--normalised", action="store_true", help="the server gives vectors of unit length")
    parser.add_argument("--timeout", type=float, default=120)
    return parser.parse_args()


def embed(args, texts):
    """Vectors in the order of the texts, and the tokens of all of them."""
    body = {"model": args.model, "input": texts, "encoding_format": "float"}
    if args.shorten:
        body["dimensions"] = args.dims
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("OPENAI_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{args.url.rstrip('/')}/embeddings", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=args.timeout) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        said = f"{error.code} {error.read(500).decode(errors='replace')}"
        if error.code in (400, 413, 422):
            raise Refused(said) from error
        raise OSError(said) from error
    rows = sorted(answer["data"], key=lambda row: row["index"])
    return [row["embedding"] for row in rows], answer.get("usage", {}).get("total_tokens")


def answer(args, asked):
    texts = asked["texts"]
    try:
        vectors, tokens = embed(args, texts)
        out = {"batch": asked["batch"], "vectors": vectors}
        if tokens is not None:
            # The server counts the batch; each text gets its share, and the first what is left over.
            share = tokens // len(texts)
            out["tokens"] = [tokens - share * (len(texts) - 1)] + [share] * (len(texts) - 1)
        return out
    except Refused as refused:
        if len(texts) == 1:
            return {"batch": asked["batch"], "vectors": [None], "errors": [str(refused)]}
    parts = [answer(args, {"batch": asked["batch"], "texts": [text]}) for text in texts]
    return {
        "batch": asked["batch"],
        "vectors": [part["vectors"][0] for part in parts],
        "errors": [part.get("errors", [None])[0] for part in parts],
    }


def main():
    args = arguments()
    json.loads(sys.stdin.readline())
    about = {"model": args.model, "dims": args.dims, "normalised": args.normalised}
    print(json.dumps({"tranship_hook": 1, **about}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            out = answer(args, asked)
        except (OSError, ValueError, KeyError) as error:
            out = {"batch": asked["batch"], "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(out), flush=True)


if __name__ == "__main__":
    main()
