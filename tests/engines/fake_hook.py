"""A hook for tests, in the standard library alone: vectors out of a digest of the text, and every way to misbehave.

fake_hook.py [--mode MODE] [--dims N] [--log FILE] [--flag FILE] [--sleep-ms N] [--idle FILE] [--model NAME]

The log gets one JSON line for each text that the hook is asked, before it answers. FILE of --idle gets, at the end, the seconds that the hook
waited for questions after its first answer, and the seconds since. A mode with a flag misbehaves once: until the flag file is there.
"""

import argparse
import hashlib
import json
import os
import select
import sys
import time


def digest_vector(text, dims):
    numbers = []
    for block in range((dims + 15) // 16):
        raw = hashlib.sha256(f"{block}:{text}".encode()).digest()
        numbers += [int.from_bytes(raw[at : at + 2], "little") / 32768 - 1 for at in range(0, 32, 2)]
    return numbers[:dims]


def reflected(text):
    """The numbers that the text itself consists of, mirrored: an orthogonal map."""
    x = [float(word) for word in text.split()]
    u = [((7 * at) % 11 - 5) / 10 + 0.05 for at in range(len(x))]
    factor = 2 * sum(a * b for a, b in zip(u, x)) / sum(a * a for a in u)
    return [a - factor * b for a, b in zip(x, u)]


class Questions:
    """Lines of standard input, with a look ahead."""

    def __init__(self):
        self.rest = b""

    def next(self, timeout=None):
        while b"\n" not in self.rest:
            if timeout is not None and not select.select([0], [], [], timeout)[0]:
                return None
            read = os.read(0, 1 << 20)
            if not read:
                return None
            self.rest += read
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)


def say(value):
    sys.stdout.write((value if isinstance(value, str) else json.dumps(value)) + "\n")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", default="good")
    parser.add_argument("--dims", type=int, default=8)
    parser.add_argument("--log")
    parser.add_argument("--flag")
    parser.add_argument("--sleep-ms", type=float, default=0)
    parser.add_argument("--idle")
    parser.add_argument("--model", default="fake")
    args = parser.parse_args()
    mode = args.mode
    again = args.flag and os.path.exists(args.flag)
    if args.flag:
        open(args.flag, "a").close()
    questions = Questions()
    hello = questions.next()
    if mode == "deaf":
        time.sleep(600)
    if mode == "silent-death":
        sys.exit("no model here")
    if mode == "chatty":
        say("Loading weights..")
    model = "another" if mode == "turncoat" and again else args.model
    version = 2 if mode == "version" else hello["tranship_hook"]
    say({"tranship_hook": version, "model": model, "dims": args.dims})
    log = os.open(args.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if args.log else None
    waited, first, asked = 0.0, None, 0
    while True:
        before = time.perf_counter()
        question = questions.next()
        now = time.perf_counter()
        if question is None:
            break
        if first is not None:
            waited += now - before
        asked += 1
        if log is not None:
            os.write(log, "".join(json.dumps(text) + "\n" for text in question["texts"]).encode())
        if mode == "hang":
            time.sleep(600)
        if mode == "die" or (mode in ("die-once", "turncoat") and not again and asked == 3):
            print("out of memory", file=sys.stderr)
            os._exit(9)
        time.sleep(args.sleep_ms / 1000)
        batches = [question]
        if mode == "disorder":
            ahead = questions.next(timeout=0.3)
            if ahead is not None:
                if log is not None:
                    os.write(log, "".join(json.dumps(text) + "\n" for text in ahead["texts"]).encode())
                batches.insert(0, ahead)
        for batch in batches:
            answer(mode, args, batch)
        first = first or time.perf_counter()
    if args.idle and first is not None:
        with open(args.idle, "w") as out:
            json.dump({"waited": waited, "seconds": before - first}, out)


def answer(mode, args, question):
    embed = reflected if mode == "reflect" else lambda text: digest_vector(text, args.dims)
    vectors = [embed(text) for text in question["texts"]]
    out = {"batch": question["batch"], "vectors": vectors}
    if mode == "dims":
        vectors[0] = vectors[0] + [1.0]
    if mode == "nan":
        vectors[0][0] = float("nan")
    if mode == "few":
        vectors.pop()
    if mode == "unasked":
        out["batch"] = 99_999
    if mode == "busy":
        out = {"batch": question["batch"], "error": "429 too many requests"}
    if mode == "refuse":
        bad = ["refuse" in text for text in question["texts"]]
        out["vectors"] = [None if no else vector for no, vector in zip(bad, vectors)]
        out["errors"] = ["not allowed" if no else None for no in bad]
    say("Traceback (most recent call last):" if mode == "garbage" else out)


main()
